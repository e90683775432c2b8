"""Attends one replica's process from its start until nothing of it is left.

Rule 1: while it loads its port is tried every 10 ms; open is what its own process tree listens on
        (`fleet.cluster.local.listening`).
Rule 2: a retired one gets SIGTERM when nothing runs on it any more, or `patience` seconds later;
        the launcher sees to the grace period, and the attendant to a launcher that does not.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleet.clock import Clock
from fleet.cluster.local import listening, logs
from fleet.cluster.local.listening import Intruder
from fleet.cluster.local.podspec import Launch
from fleet.cluster.local.process import Ending, Process, spawn

__all__ = ["Attendant", "Post"]

_TICK = 0.005
_INTRUDED_TICK = 0.25
_RECHECK = 0.25
_LOG_CHECK = 30.0
_SLACK = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What an attendant attends to."""

    launch: Launch
    marker: str
    log: Path
    address: str
    port: int
    patience: float
    """Seconds from retiring to SIGTERM while requests run."""
    running: Callable[[], int]
    """Requests on it now."""
    opened: Callable[[], None]
    """Called once, when its own process tree listens."""
    intruded: Callable[[Intruder], None]
    """Called while somebody else answers on its address."""


class Attendant:
    """One replica's process."""

    def __init__(self, post: Post, *, clock: Clock, group: asyncio.TaskGroup) -> None:
        self._post = post
        self._clock = clock
        self._group = group
        self._nudge = asyncio.Event()
        self._open = False
        self._retired: float | None = None
        self._hurried = False
        self._kill_at: float | None = None

    def retire(self) -> None:
        """Stop it as soon as nothing runs on it."""
        if self._retired is None:
            self._retired = self._clock.now()
            self._nudge.set()

    def hurry(self) -> None:
        """Stop it now, whatever runs on it."""
        self.retire()
        self._hurried = True
        self._nudge.set()

    def look(self) -> None:
        """What runs on it may have changed."""
        self._nudge.set()

    async def attend(self) -> Ending:
        """Start the process and return when nothing of it is left. Raises `OSError`."""
        post = self._post
        process = await spawn(post.launch, marker=post.marker, log=post.log)
        end = self._group.create_task(process.end(self._clock), name=f"end of {post.marker}")
        end.add_done_callback(lambda _: self._nudge.set())
        try:
            while not end.done():
                self._nudge.clear()
                await self._nudged(self._step(process))
        finally:
            process.kill()
        return end.result()

    async def _nudged(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._nudge.wait()
        except TimeoutError:
            return

    def _step(self, process: Process) -> float:
        """Do what is to be done now; the seconds after which to look again."""
        if self._retired is not None:
            return self._stop(process, self._retired)
        if not self._open:
            return self._try_port(process)
        logs.bound(self._post.log)
        return _LOG_CHECK

    def _try_port(self, process: Process) -> float:
        address, port = self._post.address, self._post.port
        if not listening.answers(address, port):
            return _TICK
        found = listening.intruder(address, port, process.pid)
        if found is not None:
            self._post.intruded(found)
            return _INTRUDED_TICK
        self._open = True
        self._post.opened()
        return _LOG_CHECK

    def _stop(self, process: Process, since: float) -> float:
        now = self._clock.now()
        if self._kill_at is not None:
            if now >= self._kill_at:
                process.kill()
            return _SLACK
        if self._hurried or self._post.running() == 0 or now - since >= self._post.patience:
            process.terminate()
            seconds = self._post.launch.grace + _SLACK
            self._kill_at = now + seconds
            return seconds
        return _RECHECK

"""One replica's process tree: started through the launcher, stopped, and its end in words.

Rule 1: `end` is known only when the whole tree is gone, the launcher killed or not.
Rule 2: the tree dies with the `Process` value's pipe: `kill` closes it, and so does the kernel when
        ebbtide itself is killed.
"""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path

from fleet.clock import Clock
from fleet.cluster.local import launcher
from fleet.cluster.local.podspec import Launch

__all__ = ["MARKER", "Ending", "Process", "spawn"]

MARKER = "REPLICA_OF_EBBTIDE"
"""A variable in the environment of every replica, by which strays are found."""

_SWEEP_AGAIN = 0.02
_LAST_WAIT = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a command ended. All None: it was ended before it could tell."""

    code: int | None = None
    signal: int | None = None
    error: str | None = None
    """Why it could not be executed."""

    def __str__(self) -> str:
        if self.error is not None:
            return f"cannot execute {self.error}"
        if self.code is not None:
            return f"exited with code {self.code}"
        if self.signal is not None:
            return f"killed by {_signal_name(self.signal)}"
        return "its launcher was killed"


class Process:
    """The launcher of one replica and everything below it."""

    def __init__(self, process: asyncio.subprocess.Process, *, marker: str) -> None:
        self._process = process
        self._marker = marker

    @property
    def pid(self) -> int:
        """The launcher's process id: the root of the replica's tree."""
        return self._process.pid

    def terminate(self) -> None:
        """Ask the command to end; the launcher kills what is left after the grace period."""
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            self._process.terminate()

    def kill(self) -> None:
        """Kill the whole tree at once."""
        pipe = self._process.stdin
        if pipe is not None and not pipe.transport.is_closing():
            pipe.transport.abort()

    async def end(self, clock: Clock) -> Ending:
        """Wait until nothing of the tree is left; how the command ended. To be called once.

        When cancelled the tree is killed, and its end waited for a few seconds.
        """
        stdout = self._process.stdout
        try:
            report = await stdout.read() if stdout is not None else b""
            status = await self._process.wait()
        except asyncio.CancelledError:
            self.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WAIT):
                    await self._process.wait()
            raise
        self.kill()
        events = dict(line.partition(b" ")[::2] for line in report.splitlines())
        if status != 0:
            session = int(events.get(b"pid", b"0"))
            while _kill_strays(self._marker, session):
                await clock.sleep(_SWEEP_AGAIN)
        return _ending(events)


async def spawn(launch: Launch, *, marker: str, log: Path) -> Process:
    """Start `launch`, with its output appended to `log`; raises `OSError` when even that fails.

    `marker` must be unlike any other replica's, also those of other ebbtides on this machine.
    """
    order = launcher.order(
        list(launch.argv), {**launch.env, MARKER: marker}, cwd=str(launch.cwd), grace=launch.grace
    )
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            launcher.__file__,
            stdin=PIPE,
            stdout=PIPE,
            stderr=output,
            start_new_session=True,
        )
    if process.stdin is not None:
        process.stdin.write(order)
    return Process(process, marker=marker)


def _ending(events: dict[bytes, bytes]) -> Ending:
    if b"cannot_execute" in events:
        return Ending(error=os.fsdecode(events[b"cannot_execute"]))
    if b"exit" in events:
        return Ending(code=int(events[b"exit"]))
    if b"signal" in events:
        return Ending(signal=int(events[b"signal"]))
    return Ending()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _kill_strays(marker: str, session: int) -> bool:
    """Kill what a killed launcher left behind; whether there was anything."""
    mark = f"{MARKER}={marker}".encode()
    found = False
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark in _read(f"/proc/{name}/environ").split(b"\0") or _in(session, name):
                os.kill(int(name), signal.SIGKILL)
                found = True
        except OSError:
            continue  # it has ended, or is not ours to read
    return found


def _in(session: int, pid: str) -> bool:
    state, _, _, its_session = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:4]
    return session > 0 and int(its_session) == session and state not in (b"Z", b"X")


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()

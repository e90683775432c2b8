"""The leader's Lease in Kubernetes: the shell around `fleet.leases.election`.

Rule 1: whether it is held is worked out anew at every question, on a clock that also counts what
        the machine has slept.
Rule 2: no answer of the API server is waited for beyond the moment at which the Lease would be
        lost: whoever listens hears of it then, and not later.
Rule 3: whoever leaves in order gives it up, so that the next one need not wait until it expires.
        That comes after the last write.
"""

import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Protocol

from fleet.clock import Clock, rfc3339
from fleet.errors import ConflictError, EbbtideError, GoneError, UnavailableError
from fleet.kubernetes.objects import Object
from fleet.leases.election import RETRY, Election, Move
from fleet.leases.record import LASTS, Record, lease_path, made, read_record, taken
from fleet.subscribers import Subscribers
from fleet.telemetry import log

__all__ = ["LEADER_LEASE", "Asking", "KubernetesLease", "make_lease"]

LEADER_LEASE = "ebbtide-autoscaler"
_PATIENCE_S = 5.0
_log = log(__name__)


class Asking(Protocol):
    """What is needed of an `Api`."""

    async def get(self, path: str) -> Object: ...

    async def post(self, path: str, *, body: Object) -> Object: ...

    async def put(self, path: str, *, body: Object) -> Object: ...


async def make_lease(api: Asking, namespace: str, body: Object) -> Object:
    """Make a Lease. Raises `UnavailableError` where its namespace is not there.

    That is nobody else's doing, so that reading again would tell more.
    """
    try:
        return await api.post(lease_path(namespace), body=body)
    except GoneError as error:
        msg = f"{error}; EBBTIDE_NAMESPACE names ebbtide's own namespace, which has to be there"
        raise UnavailableError(msg) from error


class KubernetesLease:
    """A `Lease`. `run` it in a task; `release` it after the last write.

    `me` is this process's alone. `now`: seconds, read anew at each call, what the machine sleeps
    included.
    """

    def __init__(
        self,
        api: Asking,
        namespace: str,
        me: str,
        *,
        clock: Clock,
        now: Callable[[], float],
        luck: Random,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._now = now
        self._luck = luck
        self._election = Election(me=me)
        self._told = False
        self._listeners = Subscribers[bool]()
        self.trouble = ""
        """Why the last question went wrong; empty if it did not."""

    @property
    def term(self) -> int:
        """The highest turn that is known: one's own, while it is held."""
        return self._election.term

    def held(self) -> bool:
        """Whether this process may write."""
        return self._election.held(self._now())

    def subscribe(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """Call `listener` when it is gained (True) or lost."""
        return self._listeners.add(listener)

    async def run(self) -> None:
        """Endless: renew it, or try to get it."""
        while not self._election.over:
            await self._turn()
            self._tell()
            await self._clock.sleep(self._pause())
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Give it up; it never comes back to this process. Never raises."""
        self._election = self._election.gives_up()
        self._tell()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while await self._still_mine():
                    pass
        except (EbbtideError, TimeoutError) as error:
            _log("lease_kept", level=logging.WARNING, lease=LEADER_LEASE, error=repr(error))

    async def _still_mine(self) -> bool:
        """Give it up; True if a renewal of mine, sent before, came in between."""
        await self._read()
        seen = self._election.seen
        if seen is None or seen.holder != self._election.me:
            return False
        free = taken(seen, holder="", at=self._stamp(), lasts=1.0, turns=seen.turns)
        try:
            await self._api.put(self._path, body=free)
        except (ConflictError, GoneError):
            return True
        return False

    @property
    def _path(self) -> str:
        return lease_path(self._namespace, LEADER_LEASE)

    def _pause(self) -> float:
        """Until the next try: nobody shall meet the others' every one, nor miss its own end."""
        pause = RETRY * (0.8 + 0.4 * self._luck.random())
        left = self._election.until - self._now()
        return min(pause, left) if self.held() else pause

    async def _turn(self) -> None:
        held, now = self.held(), self._now()
        left = self._election.until - now if held else _PATIENCE_S
        try:
            async with asyncio.timeout(max(0.0, min(_PATIENCE_S, left))):
                await self._ask()
        except (EbbtideError, TimeoutError) as error:
            self._trouble(str(error) or "no answer in time")
        else:
            self._trouble("")

    async def _ask(self) -> None:
        if not self._election.held(self._now()):
            await self._read()
        move = self._election.move(self._now())
        if move is None:
            return
        try:
            await self._write(move)
        except (ConflictError, GoneError):
            # Somebody else was there first; what they did decides what comes next.
            await self._read()

    async def _read(self) -> None:
        try:
            record: Record | None = read_record(await self._api.get(self._path))
        except GoneError:
            record = None
        self._election = self._election.saw(record, self._now())

    async def _write(self, move: Move) -> None:
        sent = self._now()
        me = self._election.me
        if move.record is None:
            fresh = made(LEADER_LEASE, self._namespace)
            body = taken(fresh, holder=me, at=self._stamp(), lasts=LASTS, turns=move.turn)
            del body["metadata"]["resourceVersion"]
            answer = await make_lease(self._api, self._namespace, body)
        else:
            body = taken(move.record, holder=me, at=self._stamp(), lasts=LASTS, turns=move.turn)
            answer = await self._api.put(self._path, body=body)
        if not self._election.over:
            self._election = self._election.wrote(read_record(answer), sent=sent, now=self._now())

    def _stamp(self) -> str:
        return rfc3339(self._clock.wall())

    def _tell(self) -> None:
        held = self.held()
        if held is self._told:
            return
        self._told = held
        _log("lease_gained" if held else "lease_lost", lease=LEADER_LEASE, term=self.term)
        self._listeners.tell(held)

    def _trouble(self, words: str) -> None:
        if words and words != self.trouble:
            _log("lease_unsure", level=logging.WARNING, lease=LEADER_LEASE, error=words)
        self.trouble = words

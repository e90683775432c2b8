"""Carries out a plan: writes, tells the cluster's users, and writes the journal.

Rule 1: a step ends at its first failed write; the others go on. Nothing is forced: after a conflict
        the revision is decided anew at the next tick.
        Steps are begun in order and do not wait for one another: a hundred wakes are not a queue.
Rule 2: the lease is asked before every write: without it nothing is written any more.
Rule 3: the journal has a line for what was written, not for what was wished.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import assert_never

from autoscaler.core.plan import Action, ClearDrain, Mark, Scale, Step
from fleet.bus import Bus
from fleet.clock import Clock
from fleet.cluster import Cluster
from fleet.errors import ConflictError, EbbtideError, GoneError, UnavailableError
from fleet.leases import Lease
from fleet.messages import Entry
from fleet.names import ModelName, RevisionName
from fleet.reasons import Reason
from fleet.telemetry import log

__all__ = ["Hands", "event_of"]

_log = log(__name__)
_AT_ONCE = 32
"""Steps that are under way together."""


class Hands:
    """What writes: one per autoscaler."""

    def __init__(self, cluster: Cluster, bus: Bus, clock: Clock, lease: Lease) -> None:
        self._cluster = cluster
        self._bus = bus
        self._clock = clock
        self._lease = lease
        self.refused: set[RevisionName] = set()
        """Those that could not be written the last time, though nobody else had written them."""

    async def carry_out(self, steps: Iterable[Step]) -> frozenset[RevisionName]:
        """Do the steps, which share no revision; returns the revisions of those that failed."""
        due, failed = deque(steps), set[RevisionName]()
        self.refused = set()

        async def work() -> None:
            while due:
                step = due.popleft()
                if not await self._succeeds(step):
                    failed.update(action.revision for action in step)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(_AT_ONCE, len(due))):
                group.create_task(work(), name="writes")
        return frozenset(failed)

    async def _succeeds(self, step: Step) -> bool:
        """Do one step, as far as it goes; whether that was to its end."""
        for action in step:
            if not self._lease.held():
                return False
            try:
                await self._write(action)
            except EbbtideError as error:
                if isinstance(error, UnavailableError):
                    self.refused.add(action.revision)
                _log(
                    "write_failed",
                    level=_level(error),
                    revision=action.revision,
                    action=type(action).__name__,
                    error=repr(error),
                )
                return False
            await self._tell(action)
        return True

    async def say(self, entry: Entry) -> None:
        """Write a line of the journal that is not about a write, and tell the cluster."""
        self._append(entry)
        await self._cluster.note(entry.revision, entry.event, _told(entry))

    async def _write(self, action: Action) -> None:
        match action:
            case Mark():
                await self._cluster.mark(action.revision, action.drain, expect=action.expect)
            case ClearDrain():
                await self._cluster.mark(action.revision, None, expect=action.expect)
            case Scale():
                await self._cluster.scale(
                    action.revision, action.after, expect=action.expect, reason=action.reason
                )
            case _:
                assert_never(action)

    async def _tell(self, action: Action) -> None:
        event = event_of(action)
        if event is None:
            return
        revision = self._cluster.fleet().revisions.get(action.revision)
        scaled = action if isinstance(action, Scale) else None
        entry = Entry(
            at=self._clock.wall(),
            revision=action.revision,
            model=revision.model if revision else ModelName(action.revision),
            event=event,
            reason=action.reason,
            message=scaled.message if scaled else "",
            before=scaled.before if scaled else None,
            after=scaled.after if scaled else None,
        )
        _log(event, revision=entry.revision, reason=action.reason.value)
        await self.say(entry)

    def _append(self, entry: Entry) -> None:
        try:
            self._bus.append(entry)
        except EbbtideError as error:
            _log("journal_failed", level=logging.WARNING, event_lost=entry.event, error=repr(error))


def _level(error: EbbtideError) -> int:
    """Somebody else has written, and it is decided again: nothing to worry about."""
    return logging.DEBUG if isinstance(error, ConflictError | GoneError) else logging.WARNING


def _told(entry: Entry) -> str:
    """What there is to say beyond the event's own word."""
    if entry.message and entry.reason is not None and entry.reason.value != entry.event:
        return f"{entry.reason.value}: {entry.message}"
    return entry.message


def event_of(action: Action) -> str | None:
    """The journal's word for a write; None for mere tidying up."""
    match action:
        case Mark():
            return "drained"
        case ClearDrain():
            return "taken_back" if action.reason is Reason.DRAIN_TAKEN_BACK else None
        case Scale():
            return _scaled(action)
        case _:
            assert_never(action)


def _scaled(action: Scale) -> str:
    if action.reason is Reason.EVICTED:
        return "evicted"
    if action.after == 0:
        return "asleep"
    return "woken" if action.before == 0 else "scaled"

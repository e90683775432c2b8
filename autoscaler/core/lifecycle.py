"""The phases a replica goes through, as one table. Pure.

Rule 1: a replica that failed, or has gone, never comes back: what is started anew is another one.
Rule 2: a move that the table does not name is refused with `IllegalMoveError`; a snapshot that
        shows one points at a defect in an adapter.
"""

from collections import deque
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from fleet.errors import EbbtideError
from fleet.model import Phase

__all__ = ["TABLE", "Event", "IllegalMoveError", "move", "path"]


class Event(Enum):
    """What can happen to a replica."""

    WANTED = "wanted"
    PLACED = "placed"
    ANSWERED = "answered"
    MARKED = "marked"
    TAKEN_BACK = "taken_back"
    FAILED = "failed"
    STOPPED = "stopped"
    GONE = "gone"


class IllegalMoveError(EbbtideError):
    """A phase was left in a way that does not exist."""


TABLE: Final[Mapping[tuple[Phase, Event], Phase]] = MappingProxyType(
    {
        (Phase.ASLEEP, Event.WANTED): Phase.PENDING,
        (Phase.PENDING, Event.PLACED): Phase.LOADING,
        (Phase.PENDING, Event.FAILED): Phase.FAILED,
        (Phase.PENDING, Event.GONE): Phase.ASLEEP,
        (Phase.LOADING, Event.ANSWERED): Phase.READY,
        (Phase.LOADING, Event.STOPPED): Phase.DRAINING,
        (Phase.LOADING, Event.MARKED): Phase.DRAINING,
        (Phase.LOADING, Event.FAILED): Phase.FAILED,
        (Phase.READY, Event.MARKED): Phase.DRAINING,
        (Phase.READY, Event.STOPPED): Phase.DRAINING,
        (Phase.READY, Event.FAILED): Phase.FAILED,
        (Phase.DRAINING, Event.TAKEN_BACK): Phase.READY,
        (Phase.DRAINING, Event.FAILED): Phase.FAILED,
        (Phase.DRAINING, Event.GONE): Phase.ASLEEP,
        (Phase.FAILED, Event.GONE): Phase.ASLEEP,
    }
)
"""(phase, event) -> phase. ASLEEP stands for a replica that is not there."""


def move(phase: Phase, event: Event) -> Phase:
    """The phase after `event`. Raises `IllegalMoveError`."""
    after = TABLE.get((phase, event))
    if after is None:
        msg = f"{event.value} in phase {phase.value}"
        raise IllegalMoveError(msg)
    return after


def path(before: Phase, after: Phase) -> tuple[Event, ...]:
    """The fewest events that lead from one phase to another: what happened between two looks.

    Raises `IllegalMoveError` where nothing does without the replica going in between: one that has
    gone comes back only as another.
    """
    if before is after:
        return ()
    queue: deque[tuple[Phase, tuple[Event, ...]]] = deque([(before, ())])
    visited = {before}
    while queue:
        phase, events = queue.popleft()
        for (start, event), end in TABLE.items():
            if start is not phase or end in visited:
                continue
            if end is after:
                return (*events, event)
            visited.add(end)
            if end is not Phase.ASLEEP:
                queue.append((end, (*events, event)))
    msg = f"from {before.value} to {after.value}"
    raise IllegalMoveError(msg)

"""How many slots of each replica are this gateway's: as it was told last, one until then.

Rule 1: what it was told holds until it is told something else, whoever is away meanwhile. What a
        new leader says replaces what the one before it said, replica by replica.
Rule 2: it says what it takes up when it has gone by something new, and again until nothing is over.
Rule 3: who waits although others may have slots to spare is told within some milliseconds.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from activator.core.seats import Seat
from activator.hall import Hall
from fleet.clock import Clock
from fleet.messages import Allot, Held, RevisionSample
from fleet.names import ReplicaName, RevisionName

__all__ = ["Allotment", "Sharer"]

_SOON_S = 0.01


class Sharer(Protocol):
    """Whoever shares out the slots, as a gateway speaks with it."""

    def on_allot(self, listener: Callable[[Allot], None]) -> object:
        """Call `listener` with all that it says."""
        ...

    def hold(self, held: Held) -> None:
        """Tell it what is taken up."""
        ...

    def lack(self, hall: Hall, samples: Sequence[RevisionSample]) -> None:
        """Tell it that more slots would help these revisions of `hall`."""
        ...


class Allotment:
    """Follows what it is told, and says what is taken up and what is lacking."""

    def __init__(self, sharer: Sharer, clock: Clock) -> None:
        self._sharer, self._clock = sharer, clock
        self._slots: dict[ReplicaName, int] = {}
        self._last = Allot(number=0, slots=MappingProxyType({}))
        self._held: Mapping[ReplicaName, int] | None = None
        """What was said last to be taken up."""
        self._hall: Hall | None = None
        self._crowded: dict[RevisionName, None] = {}
        self._soon: asyncio.TimerHandle | None = None
        self._over: asyncio.TimerHandle | None = None
        self._met: set[ReplicaName] = set()
        """Those replicas of them that were here."""
        sharer.on_allot(self._take)

    def use(self, hall: Hall) -> None:
        """The hall that goes by it."""
        self._hall = hall
        if self._last.leader or self._slots:
            self._apply(hall)

    def of(self, replica: ReplicaName) -> int:
        """This gateway's slots on `replica`."""
        return self._slots.get(replica, 1)

    def crowded(self, revision: RevisionName) -> None:
        """Somebody waits there: more slots would help, if others have them."""
        if revision not in self._crowded and self._lacks(revision):
            self._crowded[revision] = None
            if self._soon is None:
                self._soon = asyncio.get_running_loop().call_later(_SOON_S, self._say_crowded)

    def close(self) -> None:
        """Say nothing more."""
        for timer in (self._soon, self._over):
            if timer is not None:
                timer.cancel()

    def _lacks(self, revision: RevisionName) -> bool:
        return any(seat.room < seat.slots for seat in self._seats(revision))

    def _say_crowded(self) -> None:
        crowded, self._crowded, self._soon = self._crowded, {}, None
        hall, now = self._hall, self._clock.now()
        if hall is None:
            return
        lines = [hall.lines[name] for name in crowded if name in hall.lines]
        lacking = [line for line in lines if line.waiting and self._lacks(line.revision.name)]
        if lacking:
            self._sharer.lack(hall, [line.sample(now) for line in lacking])

    def _take(self, allot: Allot) -> None:
        new = bool(allot.slots) or allot.leader != self._last.leader
        self._last = allot
        if not new:
            # Only others' shares have changed.
            if self._held is not None:
                self._hold(self._held)
            return
        if self._hall is not None:
            self._forget_gone(self._hall)
        # Also of a replica that is known later.
        self._slots.update(allot.slots)
        if self._hall is not None:
            self._apply(self._hall)

    def _forget_gone(self, hall: Hall) -> None:
        """Of what was told, keep what is here, and what has not been here yet."""
        here = {one.name for several in hall.fleet.replicas.values() for one in several}
        gone = [name for name in self._met if name not in here]
        for name in gone:
            self._met.discard(name)
            self._slots.pop(name, None)
        self._met.update(name for name in self._slots if name in here)

    def _apply(self, hall: Hall) -> None:
        hall.allot()
        self._say_held()

    def _say_held(self) -> None:
        """What is taken up; again soon while that is more than there should be."""
        if self._over is not None:
            self._over.cancel()
            self._over = None
        held = dict(self._slots)
        for seat in self._seats():
            held[seat.name] = max(seat.room, len(seat.running))
            if len(seat.running) > seat.room and self._over is None:
                self._over = asyncio.get_running_loop().call_later(_SOON_S, self._say_held)
        self._held = MappingProxyType({name: slots for name, slots in held.items() if slots > 1})
        self._hold(self._held)

    def _hold(self, slots: Mapping[ReplicaName, int]) -> None:
        last = self._last
        self._sharer.hold(Held(number=last.number, slots=slots, leader=last.leader))

    def _seats(self, revision: RevisionName | None = None) -> Iterator[Seat]:
        if self._hall is None:
            return
        lines = self._hall.lines
        for line in lines.values() if revision is None else filter(None, [lines.get(revision)]):
            yield from line.ledger.seats.values()

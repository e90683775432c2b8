"""How many slots of each replica are this worker's: as it was told last, one until then."""

import asyncio
from collections.abc import Iterator
from types import MappingProxyType

from activator.core.seats import Seat
from activator.hall import Hall
from ebbtide.workers.messages import Allot, Crowded, Held
from fleet.channel.channel import Channel
from fleet.clock import Clock
from fleet.names import ReplicaName, RevisionName

__all__ = ["Allotment"]

_SOON_S = 0.01


class Allotment:
    """Follows what the process over it says, and tells it what is taken up and what is lacking."""

    def __init__(self, channel: Channel, clock: Clock) -> None:
        self._channel, self._clock = channel, clock
        self._slots: dict[ReplicaName, int] = {}
        self._number = 0
        self._hall: Hall | None = None
        self._crowded: dict[RevisionName, asyncio.TimerHandle] = {}
        self._over: asyncio.TimerHandle | None = None
        channel.handle(Allot, self._take)

    def use(self, hall: Hall) -> None:
        """The hall that goes by it."""
        self._hall = hall
        if self._slots:
            self._apply(hall)

    def of(self, replica: ReplicaName) -> int:
        """This worker's slots on `replica`."""
        return self._slots.get(replica, 1)

    def crowded(self, revision: RevisionName) -> None:
        """Somebody waits there: more slots would help, if others have them."""
        if revision not in self._crowded and self._lacks(revision):
            loop = asyncio.get_running_loop()
            self._crowded[revision] = loop.call_later(_SOON_S, self._say_crowded, revision)

    def close(self) -> None:
        """Say nothing more."""
        for timer in (*self._crowded.values(), *([self._over] if self._over else [])):
            timer.cancel()

    def _lacks(self, revision: RevisionName) -> bool:
        return any(seat.room < seat.slots for seat in self._seats(revision))

    def _say_crowded(self, revision: RevisionName) -> None:
        del self._crowded[revision]
        line = self._hall.lines.get(revision) if self._hall else None
        if line is not None and line.waiting and self._lacks(revision):
            self._channel.send(Crowded(sample=line.sample(self._clock.now())))

    def _take(self, allot: Allot) -> None:
        self._number = allot.number
        if self._hall is None:
            self._slots.update(allot.slots)
            return
        replicas = self._hall.fleet.replicas.values()
        here = {replica.name for several in replicas for replica in several}
        kept = {name: slots for name, slots in self._slots.items() if name in here}
        # Of a replica that is told of later, too.
        self._slots = {**kept, **allot.slots}
        self._apply(self._hall)

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
        self._channel.send(Held(number=self._number, slots=MappingProxyType(held)))

    def _seats(self, revision: RevisionName | None = None) -> Iterator[Seat]:
        if self._hall is None:
            return
        lines = self._hall.lines
        for line in lines.values() if revision is None else filter(None, [lines.get(revision)]):
            yield from line.ledger.seats.values()

"""The hall: a line per revision, one timer for all deadlines, one sample for the autoscaler.

Rule 1: the fleet snapshot is taken over whole, at once, on the event loop.
Rule 2: one timer serves every deadline: it is set for the earliest, and looks at all that wait.
Rule 3: a line stays until its Deployment is gone *and* nothing runs there any more.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from math import inf
from types import MappingProxyType

from activator.core.room import Room
from activator.core.wakes import Wakes
from activator.line import Line
from activator.wiring import Outside, Wiring
from fleet.aged import Aged
from fleet.messages import Sample
from fleet.model import Fleet
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.reasons import Reason
from fleet.settings import Settings
from fleet.subscribers import Subscribers

__all__ = ["Hall"]

_SAMPLE_S = 1.0
_SLICE = 64
"""Lines that are looked at without a pause: requests do not wait for a look at a thousand."""
_TURNS = 5
"""A line at rest is looked at every so many times: whatever happens to it has it looked at too."""
_BREATH_S = 0.01
"""A pause: time for many requests, not for a step of one."""
# A timer may fire a little early (uvloop's clock has steps of 1 ms): look again, do not spin.
_SLACK_S = 0.002


class Hall:
    """Holds requests and wakes models for one gateway process."""

    def __init__(self, name: GatewayName, outside: Outside) -> None:
        self.name = name
        self.fleet = outside.cluster.fleet()
        self._bus = outside.bus
        self._clock = outside.clock
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._timer_at = inf
        self._subscribers = Subscribers[Fleet]()
        self._quieted = Subscribers[ReplicaName]()
        self._lines: dict[RevisionName, Line] = {}
        self._leaving: list[Line] = []
        self._turn = 0
        self._poking: list[RevisionName] | None = None
        """Who is to be poked for, besides the first; None: nobody was poked for just now."""
        self.room = Room()
        """What all lines share of the room to wait."""
        self._wakes = Wakes()
        self.reload(outside.settings)
        self._wiring = Wiring(
            outside=outside,
            publish=self.publish,
            poke=self._poke,
            quiet=self._quieted.tell,
            waits=self._waits,
            room=self.room,
            wakes=self._wakes,
        )
        self._unsubscribe = outside.cluster.subscribe(self._observe)
        self._observe(self.fleet)

    @property
    def lines(self) -> Mapping[RevisionName, Line]:
        """The line of every registered revision."""
        return MappingProxyType(self._lines)

    @property
    def waiting(self) -> int:
        """Requests held, over all revisions."""
        return sum(line.waiting for line in self._lines.values())

    @property
    def running(self) -> int:
        """Requests on a replica, over all revisions."""
        return sum(line.running for line in (*self._lines.values(), *self._leaving))

    def running_on(self, replica: ReplicaName) -> int:
        """Requests on one replica, also one that takes nothing new."""
        lines = (*self._lines.values(), *self._leaving)
        return sum(line.ledger.running_on((replica,)) for line in lines)

    def subscribe(self, listener: Callable[[Fleet], None]) -> Callable[[], None]:
        """Call `listener` after the lines have taken in a snapshot; returns what ends that."""
        return self._subscribers.add(listener)

    def on_quiet(self, listener: Callable[[ReplicaName], None]) -> Callable[[], None]:
        """Call `listener` when nothing runs any more on a replica that takes nothing new."""
        return self._quieted.add(listener)

    def reload(self, settings: Settings) -> None:
        """From now on go by `settings`; whoever waits already stays."""
        self.room.limit(settings.max_waiting, settings.max_waiting_bytes, settings.held_bodies)
        self._wakes.budget = settings.caller_wakes

    def allot(self) -> None:
        """Ask anew how many of each replica's slots are this gateway's."""
        for line in tuple(self._lines.values()):
            line.allot()

    async def run(self) -> None:
        """Endless: once a second look at every line and publish the sample."""
        self.publish()
        while True:
            await self._look()
            self._leaving = [line for line in self._leaving if line.running]
            self.publish()
            await self._clock.sleep(_SAMPLE_S)

    async def _look(self) -> None:
        self._turn = (self._turn + 1) % _TURNS
        lines = tuple(
            line
            for number, line in enumerate(self._lines.values())
            if number % _TURNS == self._turn or not line.resting.lasts
        )
        breath = min(_BREATH_S, _SAMPLE_S * _SLICE / (2 * len(lines) + 1))
        for first in range(0, len(lines), _SLICE):
            if first:
                await self._clock.sleep(breath)
            now = self._clock.now()
            for line in lines[first : first + _SLICE]:
                line.look(now)

    def publish(self) -> None:
        """Publish the sample as it stands now."""
        now = self._clock.now()
        made = {name: line.resting.sample(line.revision, now) for name, line in self._lines.items()}
        self._bus.publish(Sample(gateway=self.name, revisions=Aged(made, now)))

    def refuse_waiting(self, reason: Reason) -> None:
        """Refuse everyone who waits, in every line."""
        for line in tuple(self._lines.values()):
            line.refuse_waiting(reason)

    def close(self) -> None:
        """Stop listening, end the probes and forget the timer."""
        self._unsubscribe()
        for line in (*self._lines.values(), *self._leaving):
            line.close()
        if self._timer is not None:
            self._timer.cancel()

    def _observe(self, fleet: Fleet) -> None:
        self.fleet = fleet
        now = self._clock.now()
        self._wiring.lately.take(fleet, now)
        for name in [name for name in self._lines if name not in fleet.revisions]:
            line = self._lines.pop(name)
            line.remove(fleet, now)
            self._leaving.append(line)
        draining = False
        for name, revision in fleet.revisions.items():
            if name not in self._lines:
                self._lines[name] = Line(revision, self._wiring)
            before = self._lines[name].revision.drain
            self._lines[name].observe(fleet, now)
            draining |= revision.drain is not None and revision.drain != before
        self._subscribers.tell(fleet)
        if draining:
            # The leader waits for the acknowledgement: between processes it would come with the
            # next sample, in one process it comes within the mark's own call.
            self.publish()

    def _poke(self, revision: RevisionName) -> None:
        if self._poking is not None:
            # A hundred models that are called at once are told together.
            self._poking.append(revision)
            return
        self._poking = []
        self._loop.call_soon(self._poke_for_others)
        self._poke_for([revision])

    def _poke_for_others(self) -> None:
        others, self._poking = self._poking, None
        if others:
            self._poke_for(others)

    def _poke_for(self, revisions: Iterable[RevisionName]) -> None:
        # The leader reads the sample: it must show who waits before the pokes arrive.
        self.publish()
        for revision in revisions:
            self._bus.poke(revision)

    def _waits(self, deadline: float | None) -> None:
        if deadline is not None and deadline < self._timer_at:
            self._set_timer(deadline)

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # Kept apart: uvloop's handle for what is due by now does not know when that is.
        self._timer_at = max(deadline, self._loop.time() + _SLACK_S)
        self._timer = self._loop.call_at(self._timer_at, self._expire)

    def _expire(self) -> None:
        self._timer, self._timer_at = None, inf
        now = self._clock.now()
        lines = [line for line in self._lines.values() if line.waiting]
        for line in lines:
            line.expire(now + _SLACK_S)
        deadlines = [line.deadline for line in lines if line.deadline is not None]
        if deadlines:
            self._waits(min(deadlines))

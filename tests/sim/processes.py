"""Halls, a leader and a bus in between, each on what it sees of a scripted Kubernetes."""

import asyncio
import contextlib
from random import Random

from activator.core.ledger import State
from activator.hall import Hall
from activator.wiring import Outside
from autoscaler.loop import Autoscaler
from autoscaler.surroundings import Surroundings
from fleet.bus.memory import MemoryBus
from fleet.clock import LoopClock
from fleet.leases.fixed import Always, Fixed
from fleet.names import GatewayName, RevisionName
from fleet.settings import Settings
from tests.fakes.cluster import revision
from tests.fakes.plane import Plane
from tests.sim.world import ModelUnderTest


class LateBus(MemoryBus):
    """What is said is heard a little later, or never while it is cut."""

    def __init__(self, clock, *, delay=0.005) -> None:
        super().__init__(clock)
        self.delay, self.cut = delay, False
        self._dice = Random(1)
        self._next = 0.0

    def publish(self, sample):
        self._later(super().publish, sample)

    def poke(self, revision):
        self._later(super().poke, revision)

    def looked(self, look):
        self._later(super().looked, look)

    def _later(self, call, message):
        if not self.cut:
            loop = asyncio.get_running_loop()
            at = loop.time() + self._dice.uniform(self.delay, 2 * self.delay)
            # In order, as over one connection.
            self._next = max(self._next, at)
            loop.call_at(self._next, call, message)


class Caller:
    """A `Guest` that runs for `service` seconds once dispatched."""

    def __init__(self, line, service):
        self.line, self.service = line, service
        self.loop = asyncio.get_running_loop()
        self.began, self.dispatched_at, self.ended_at = self.loop.time(), None, None
        self.refusal = None
        self.ticket = line.enter(self)

    def dispatched(self, ticket, seat):
        self.dispatched_at = self.loop.time()
        self.seat = seat
        self.loop.call_later(self.service / 2, self.line.first_byte, ticket)
        self.loop.call_later(self.service, self._done, ticket)

    def refused(self, ticket, refusal):
        self.refusal, self.ended_at = refusal, self.loop.time()

    def leave(self):
        self.line.leave(self.ticket)

    @property
    def served(self):
        return self.refusal is None and self.ended_at is not None

    def _done(self, ticket):
        if ticket.state is not State.LEFT:
            self.line.leave(ticket)
            self.ended_at = self.loop.time()


class Processes:
    """`gateways` halls and, unless `leader` is False, a control loop."""

    def __init__(self, plane: Plane, *, settings=None, load=0.5, bus_delay=0.005, delays=None):
        self.plane, self.loop = plane, plane.loop
        self.clock = LoopClock()
        self.bus = LateBus(self.clock, delay=bus_delay)
        self.settings = settings or Settings(min_residency=0.0)
        self.server = ModelUnderTest(load=load)
        self.delays = delays or {}
        self.halls: list[Hall] = []
        self.leader: Autoscaler | None = None
        self.leading: asyncio.Task | None = None

    def hall(self, group, number):
        name = GatewayName(f"g{number}")
        outside = Outside(
            cluster=self.plane.view(name, **self.delays.get(name, {})),
            bus=self.bus,
            clock=self.clock,
            servers=lambda _: self.server,
            settings=self.settings,
            group=group,
        )
        self.halls.append(Hall(name, outside))
        return self.halls[-1]

    def lead(self):
        around = Surroundings(
            cluster=self.plane.view("leader", **self.delays.get("leader", {})),
            bus=self.bus,
            clock=self.clock,
            servers=lambda _: self.server,
            members=Fixed(lambda: [hall.name for hall in self.halls]),
            lease=Always(),
        )
        self.leader = Autoscaler(around, self.settings)
        self.leading = self.loop.create_task(self.leader.run())

    async def fall(self):
        """The leader is no more."""
        self.leading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.leading

    def call(self, name, *, at=0, service=0.2):
        return Caller(self.halls[at].lines[RevisionName(f"default/{name}")], service)

    async def until(self, happened, *, limit=600.0):
        end = self.loop.time() + limit
        while not happened():
            assert self.loop.time() < end, "it did not happen"
            await asyncio.sleep(0.02)
        return self.loop.time()


@contextlib.asynccontextmanager
async def processes(plane, *, gateways=2, leader=True, **more):
    made = Processes(plane, **more)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(made.hall(group, n + 1).run()) for n in range(gateways)]
        if leader:
            made.lead()
        try:
            yield made
        finally:
            if leader:
                await made.fall()
            for task in running:
                task.cancel()
            for hall in made.halls:
                hall.close()
            for task in asyncio.all_tasks() - {asyncio.current_task(), *running}:
                if task.get_name().startswith("wake"):
                    task.cancel()


def models(plane, count, **changes):
    names = [f"m{number:03}" for number in range(count)]
    for name in names:
        plane.put(revision(name, **changes))
    return names

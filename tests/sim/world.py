"""A whole hall on virtual time: the real hall, a scripted cluster and model server, and guests."""

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager

from activator.core.ledger import Seat, State, Ticket
from activator.core.retries import Attempt, Loss
from activator.hall import Hall
from activator.line import Line
from activator.wiring import Outside, Refusal
from autoscaler.loop import Autoscaler
from autoscaler.surroundings import Surroundings
from fleet.bus.memory import MemoryBus
from fleet.clock import LoopClock
from fleet.leases.fixed import Always, Fixed
from fleet.model import Retry
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.reasons import Reason
from fleet.runtimes import Endpoint, Reading
from fleet.settings import Settings
from tests.fakes.cluster import FakeCluster

BROKEN = Attempt(loss=Loss.RESET, policy=Retry.REPLICA, kept=True, sends=1)
STALE = Attempt(loss=Loss.STALE, policy=Retry.REPLICA, kept=True, sends=1)
REFUSED = Attempt(loss=Loss.REFUSED, policy=Retry.REPLICA, kept=True, sends=0)


class ModelUnderTest:
    """A `ModelServer` whose answers a test sets; `load` seconds after it was first asked: ready."""

    def __init__(self, *, load: float = 0.5, slots: int = 4) -> None:
        self.load = load
        self.slot_count = slots
        self.questions = 0
        self.sequence_idle_s: float | None = None
        self.warm_ups = 0
        self.warm_up_s = 0.2
        self.dead: set[str] = set()
        self._asked: dict[str, float] = {}

    async def ready(self, endpoint: Endpoint, models, *, timeout: float) -> bool:
        self.questions += 1
        now = asyncio.get_running_loop().time()
        begun = self._asked.setdefault(endpoint.address, now)
        return endpoint.address not in self.dead and now - begun >= self.load

    async def slots(self, endpoint: Endpoint, models, *, timeout: float) -> int:
        await asyncio.sleep(0.01)
        return self.slot_count

    async def sequence_idle(self, endpoint: Endpoint, models, *, timeout: float) -> float | None:
        return self.sequence_idle_s

    async def warm_up(self, endpoint: Endpoint, model: str, *, request, timeout: float) -> None:
        self.warm_ups += 1
        await asyncio.sleep(self.warm_up_s)

    async def read(self, endpoint: Endpoint, models, *, timeout: float) -> Reading:
        return Reading()


class Client:
    """A `Guest` that runs for `service` seconds once dispatched, and notes all that happens."""

    def __init__(self, world: "World", service: float) -> None:
        self.world = world
        self.line = world.line
        self.service = service
        self.dispatches: list[tuple[float, Seat]] = []
        self.refusal: Refusal | None = None
        self.ended_at: float | None = None
        self.left = False
        self.lives = 0
        """How often its replica broke: what the broken one would still have done, it does not."""
        self.ticket: Ticket | None = None

    def dispatched(self, ticket: Ticket, seat: Seat) -> None:
        assert not self.left, "dispatched although the client had left"
        assert self.refusal is None
        self.dispatches.append((self.world.now, seat))
        self.world.order.append(self)
        self.world.loop.call_later(self.service / 2, self._first_byte, ticket, self.lives)
        self.world.loop.call_later(self.service, self._done, ticket, self.lives)

    def refused(self, ticket: Ticket, refusal: Refusal) -> None:
        assert self.refusal is None, "refused twice"
        self.refusal = refusal
        self.ended_at = self.world.now

    def leave(self) -> None:
        self.left = True
        self.line.leave(self.ticket)

    def replica_broke(self, name: ReplicaName) -> None:
        """What the request path does when its connection breaks before a byte of the answer."""
        ticket = self.ticket
        if ticket.state is not State.RUNNING or ticket.seat.name != name:
            return
        self.lives += 1
        if not self.line.again(ticket, BROKEN):
            self.left = True
            self.line.leave(ticket)

    @property
    def reason(self) -> Reason | None:
        return None if self.refusal is None else self.refusal.reason

    def _first_byte(self, ticket: Ticket, life: int) -> None:
        if not self.left and life == self.lives:
            self.line.first_byte(ticket)

    def _done(self, ticket: Ticket, life: int) -> None:
        if not self.left and life == self.lives:
            self.ended_at = self.world.now
            self.line.leave(ticket)


class World:
    """Everything one test needs."""

    def __init__(
        self, cluster: FakeCluster, server: ModelUnderTest, hall: Hall, outside: Outside
    ) -> None:
        self.cluster, self.server, self.hall, self.outside = cluster, server, hall, outside
        self.bus: MemoryBus = outside.bus
        self.loop = asyncio.get_running_loop()
        self.order: list[Client] = []
        self.revision = RevisionName("default/demo")

    def autoscaler(self) -> Autoscaler:
        """A control loop over it, which does not run yet."""
        around = Surroundings(
            cluster=self.cluster,
            bus=self.bus,
            clock=LoopClock(),
            servers=lambda _: self.server,
            members=Fixed(lambda: (self.hall.name,)),
            lease=Always(),
        )
        return Autoscaler(around, Settings())

    @contextmanager
    def begun_anew(self) -> Iterator["World"]:
        """Seen by a gateway that starts now: its hall knows nothing of before."""
        hall = Hall(GatewayName("g2"), self.outside)
        try:
            yield World(self.cluster, self.server, hall, self.outside)
        finally:
            hall.close()

    @property
    def now(self) -> float:
        return self.loop.time()

    @property
    def line(self) -> Line:
        return self.hall.lines[self.revision]

    def call(self, *, service: float = 0.1, size: int = 0) -> Client:
        client = Client(self, service)
        client.ticket = self.line.enter(client, size=size)
        return client


@asynccontextmanager
async def world(
    *, gpus: int = 2, start: float = 1.0, server: ModelUnderTest | None = None, **outside
):
    """A hall whose loop runs, over an empty cluster. `outside`: more fields of its `Outside`."""
    cluster = FakeCluster(gpus=gpus, start=start)
    server = server or ModelUnderTest()
    clock = LoopClock()
    bus = MemoryBus(clock)
    async with asyncio.TaskGroup() as group:
        around = Outside(
            cluster=cluster,
            bus=bus,
            clock=clock,
            servers=lambda _: server,
            settings=Settings(),
            group=group,
            **outside,
        )
        hall = Hall(GatewayName("g1"), around)
        running = group.create_task(hall.run())
        try:
            yield World(cluster, server, hall, around)
        finally:
            running.cancel()
            hall.close()
            for task in asyncio.all_tasks() - {asyncio.current_task(), running}:
                if task.get_name().startswith("wake"):
                    task.cancel()

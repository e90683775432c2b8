"""Processes apart, on virtual time: several gateways (real halls) and autoscalers (real loops) over
one cluster, each with a view of its own that comes late, and messages that come late or never.

The cluster acts on a scale a while after it was written, and takes those that are not available
before any that is marked, as Kubernetes does. `Witness` sees everything at once, and notes what
must never be: fewer replicas written while a request runs on one that goes, or a request sent to
one after that. Nor is anything written twice.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from random import Random
from types import MappingProxyType

from activator.core.ledger import Seat, Ticket
from activator.hall import Hall
from activator.line import Line
from activator.wiring import Outside, Refusal
from autoscaler.loop import Autoscaler
from autoscaler.surroundings import Surroundings
from fleet.bus.memory import MemoryBus
from fleet.clock import LoopClock
from fleet.errors import UnavailableError
from fleet.messages import Look, Sample
from fleet.model import Drain, Fleet
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.reasons import Reason
from fleet.settings import Settings
from fleet.subscribers import Subscribers
from tests.fakes.leases import ScriptedLease, ScriptedMembers
from tests.sim.late import Cluster, Road
from tests.sim.world import ModelUnderTest

SOON = 0.02


class View:
    """One process's `Cluster`: what it has been told of the real one, and its way to write."""

    def __init__(self, cluster: Cluster, delay: Callable[[], float]) -> None:
        self.real = cluster
        self.watch = Road(delay)
        self.out: Callable[[], float] = lambda: 0.0
        """Seconds until a write reaches the server."""
        self.away = False
        """The API server cannot be reached."""
        self.mute = False
        """It can, and its answers to writes are lost."""
        self._blind = False
        self._fleet = cluster.fleet()
        self._pods = self._fleet.replicas
        self._subscribers = Subscribers[Fleet]()
        self._end = cluster.subscribe(lambda fleet: self.watch.send(lambda: self._take(fleet)))

    def fleet(self) -> Fleet:
        return self._fleet

    def subscribe(self, listener: Callable[[Fleet], None]) -> Callable[[], None]:
        return self._subscribers.add(listener)

    async def scale(
        self, revision: RevisionName, replicas: int, *, expect: str, reason: Reason
    ) -> str:
        await self._there()
        version = await self.real.scale(revision, replicas, expect=expect, reason=reason)
        self._answered(revision)
        return version

    async def mark(self, revision: RevisionName, drain: Drain | None, *, expect: str) -> str:
        await self._there()
        version = await self.real.mark(revision, drain, expect=expect)
        self._answered(revision)
        return version

    async def note(self, revision: RevisionName, reason: str, message: str) -> None:
        """Nobody reads it."""

    def close(self) -> None:
        self._end()
        self.watch.closed = True

    def see(self, *, pods: bool) -> None:
        """Deployments and pods are watched apart: what is told of pods alone may come late."""
        self._blind = not pods
        if pods:
            self._told(replace(self._fleet, replicas=self._pods))

    async def _there(self) -> None:
        await asyncio.sleep(self.out())
        if self.away:
            raise UnavailableError("away")

    def _answered(self, name: RevisionName) -> None:
        """The answer to a write tells of that one Deployment."""
        if self.mute:
            raise UnavailableError("no answer")
        known = {**self._fleet.revisions, name: self.real.fleet().revisions[name]}
        self._told(replace(self._fleet, revisions=MappingProxyType(known)))

    def _take(self, fleet: Fleet) -> None:
        ahead = {
            name: known
            for name, known in self._fleet.revisions.items()
            if name in fleet.revisions and int(known.version) > int(fleet.revisions[name].version)
        }
        if ahead:
            fleet = replace(fleet, revisions=MappingProxyType({**fleet.revisions, **ahead}))
        self._pods = fleet.replicas
        if self._blind:
            fleet = replace(fleet, replicas=self._fleet.replicas)
        self._told(fleet)

    def _told(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._subscribers.tell(fleet)


class Wire:
    """What all buses are ends of: a Redis that may lose things."""

    def __init__(self, delay: Callable[[], float], *, loses: Callable[[], bool]) -> None:
        self.delay, self.loses = delay, loses
        self.ends: list[End] = []

    def empty(self) -> None:
        """It was started anew, and has nothing."""
        for end in self.ends:
            end.forget()


class End(MemoryBus):
    """One process's bus."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(LoopClock())
        self._wire = wire
        self._lines: dict[End, Road] = {}
        self.cut = False
        self.closed = False
        wire.ends.append(self)

    def publish(self, sample: Sample) -> None:
        self._send(lambda end: MemoryBus.publish(end, sample))

    def poke(self, revision: RevisionName) -> None:
        self._send(lambda end: MemoryBus.poke(end, revision))

    def looked(self, look: Look) -> None:
        self._send(lambda end: MemoryBus.looked(end, look))

    def forget(self) -> None:
        self._samples.clear()

    def close(self) -> None:
        self.closed = True
        self._wire.ends.remove(self)

    def _send(self, message: Callable[["End"], None]) -> None:
        for end in () if self.cut or self.closed else tuple(self._wire.ends):
            if end is not self and not self._wire.loses():
                line = self._lines.setdefault(end, Road(self._wire.delay))
                line.send(lambda end=end: None if end.cut or end.closed else message(end))


class Call:
    """A request: runs for `service` seconds once it was sent."""

    def __init__(self, gateway: "Gateway", line: Line, service: float) -> None:
        self.gateway, self.line, self.service = gateway, line, service
        self.seat: Seat | None = None
        self.ticket: Ticket | None = None
        self.refusal: Refusal | None = None
        self.done = False

    def dispatched(self, ticket: Ticket, seat: Seat) -> None:
        self.seat = seat
        self.gateway.witness.sent(self.line.revision.name, seat.name, self.gateway)
        loop = asyncio.get_running_loop()
        loop.call_later(self.service / 2, self.line.first_byte, ticket)
        loop.call_later(self.service, self._end, ticket)

    def refused(self, ticket: Ticket, refusal: Refusal) -> None:
        self.refusal = refusal

    def _end(self, ticket: Ticket) -> None:
        # A process that is dead does nothing more.
        if not self.gateway.dead:
            self.done = True
            self.line.leave(ticket)


class Witness:
    """Sees what no process can: all at the same moment."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.gateways: list[Gateway] = []
        self.doomed: dict[ReplicaName, RevisionName] = {}
        """Those that were written away, and have not come out alive."""
        self.wrongs: list[str] = []
        self.lowered = 0
        cluster.lowered.append(self._lowered)
        cluster.acted.append(self._acted)

    def sent(self, revision: RevisionName, replica: ReplicaName, gateway: "Gateway") -> None:
        if replica in self.doomed:
            self._wrong(f"{gateway.name} sent to {replica}, which was written away")

    def _lowered(self, revision: RevisionName, going: tuple[ReplicaName, ...]) -> None:
        self.lowered += 1
        for replica in going:
            self.doomed[replica] = revision
            for gateway in self.gateways:
                running = gateway.hall.running_on(replica)
                if running:
                    self._wrong(f"{running} of {gateway.name} ran on {replica}, written away")

    def _acted(self, revision: RevisionName) -> None:
        """Who is there still when the newest write was acted on stays."""
        found = self.cluster.fleet().revisions.get(revision)
        living = self.cluster.living(revision)
        if found is None or (found.enacted and len(living) <= found.replicas):
            for replica in living:
                self.doomed.pop(replica.name, None)

    def _wrong(self, words: str) -> None:
        self.wrongs.append(f"{asyncio.get_running_loop().time():.3f}: {words}")


class Gateway:
    """A gateway process: a member before it reads the cluster for the first time."""

    def __init__(self, world: "Apart", name: str) -> None:
        self.name = GatewayName(name)
        self.witness = world.witness
        world.there.add(self.name)
        self.view = View(world.cluster, world.delay)
        self.end = End(world.wire)
        self.calls: list[Call] = []
        self.dead = False
        self._up = asyncio.Event()
        self._server = world.server
        self._task = asyncio.get_running_loop().create_task(self._live())

    async def up(self) -> "Gateway":
        await self._up.wait()
        self.witness.gateways.append(self)
        return self

    async def _live(self) -> None:
        async with asyncio.TaskGroup() as group:
            outside = Outside(
                cluster=self.view,
                bus=self.end,
                clock=LoopClock(),
                servers=lambda _: self._server,
                settings=Settings(),
                group=group,
                dice=Random(1).randrange,
            )
            self.hall = Hall(self.name, outside)
            self._up.set()
            await self.hall.run()

    def call(self, name: RevisionName, *, service: float = 0.5) -> Call:
        line = self.hall.lines[name]
        call = Call(self, line, service)
        self.calls.append(call)
        call.ticket = line.enter(call)
        return call

    async def kill(self) -> None:
        """It is gone at once, with all that it held. Its Lease stays."""
        self.witness.gateways.remove(self)
        self.dead = True
        self.hall.close()
        self.view.close()
        self.end.close()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


class Leader:
    """An autoscaler process."""

    def __init__(self, world: "Apart") -> None:
        self.view = View(world.cluster, world.delay)
        self.end = End(world.wire)
        self.lease = ScriptedLease()
        self.members = ScriptedMembers()
        self.members.there = world.there
        self._server = world.server
        around = Surroundings(
            cluster=self.view,
            bus=self.end,
            clock=LoopClock(),
            servers=lambda _: self._server,
            members=self.members,
            lease=self.lease,
        )
        self.control = Autoscaler(around, world.settings)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self.control.run()), loop.create_task(self._members())]

    async def _members(self) -> None:
        """Counts them now and then."""
        while True:
            with contextlib.suppress(UnavailableError):
                await self.members.confirm()
            await asyncio.sleep(2.0)

    async def kill(self) -> None:
        self.lease.take()
        self.view.close()
        self.end.close()
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class Apart:
    """All of it. `delay`: how late views are; `wire`: how late messages are, and which are lost."""

    def __init__(
        self,
        *,
        gpus: int = 2,
        delay: Callable[[], float] = lambda: SOON,
        loses: Callable[[], bool] = lambda: False,
        settings: Settings | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.delay = delay
        self.settings = settings or Settings()
        self.cluster = Cluster(gpus=gpus)
        self.server = ModelUnderTest(load=0.3)
        self.server.warm_up_s = 0.05
        self.wire = Wire(delay, loses=loses)
        self.there: set[GatewayName] = set()
        self.witness = Witness(self.cluster)
        self.gateways: list[Gateway] = []
        self.leaders: list[Leader] = []

    async def gateway(self, name: str) -> Gateway:
        made = await Gateway(self, name).up()
        self.gateways.append(made)
        return made

    def leader(self) -> Leader:
        made = Leader(self)
        self.leaders.append(made)
        return made

    async def kill(self, gateway: Gateway, *, pod_gone: bool) -> None:
        self.gateways.remove(gateway)
        await gateway.kill()
        if pod_gone:
            self.there.discard(gateway.name)

    async def close(self) -> None:
        for gateway in tuple(self.gateways):
            await self.kill(gateway, pod_gone=True)
        for leader in self.leaders:
            await leader.kill()

    def revision(self, name: RevisionName):
        return self.cluster.fleet().revisions[name]

    async def until(self, happened: Callable[[], object], *, limit: float = 60.0) -> float:
        end = self.loop.time() + limit
        while not happened():
            assert self.loop.time() < end, "it did not happen"
            await asyncio.sleep(0.01)
        return self.loop.time()


@contextlib.asynccontextmanager
async def apart(**how):
    """Opened and closed; nothing that must never be has been."""
    world = Apart(**how)
    try:
        yield world
    finally:
        await world.close()
    assert world.witness.wrongs == world.cluster.repeated == []

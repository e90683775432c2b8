"""What a process of a cluster stands on, scripted: every touch of it can be cut by hand."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from ebbtide.kubernetes.ground import Ground
from fleet.bus.memory import MemoryBus
from fleet.clock import LoopClock
from fleet.messages import CostReport, DecisionReport
from fleet.names import GatewayName, RevisionName
from fleet.settings import Settings
from fleet.tls import Certificates
from tests.fakes.cluster import FakeCluster


@dataclass
class FakeTouch:
    """A `Touch`, cut until it is met, and whenever a test says so."""

    cut_since: float | None = None
    trouble: str = ""


@dataclass
class FakeTalk(FakeTouch):
    """A `Talk`."""

    refused: bool = False
    unled_since: float | None = None
    lost: dict[str, int] = field(default_factory=lambda: {"odd": 0, "crowded": 0})


class FakeMembership(FakeTouch):
    """A `Membership`."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.given = asyncio.Event()
        self._log = log

    async def taken(self) -> None:
        await self.given.wait()

    async def release(self) -> None:
        self._log.append("released")


class AllSlots:
    """`Slots` that are all this gateway's."""

    def of(self, replica: object) -> None:
        return None

    def crowded(self, revision: object) -> None:
        """There are no more."""

    def use(self, hall: object) -> None:
        """Nothing ever changes."""


@dataclass
class FakeLeadership:
    """A `Leadership` that a test gives and takes."""

    log: list[str]
    leads: bool = False
    term: int = 1
    listeners: list = field(default_factory=list)
    runs: bool = False

    def held(self) -> bool:
        return self.leads

    def subscribe(self, listener):
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    async def run(self) -> None:
        self.runs = True
        await asyncio.Event().wait()

    async def release(self) -> None:
        self.leads = False
        self.log.append("released")


class FakeMembers:
    """`Members` as a test says."""

    def __init__(self) -> None:
        self.now: set[GatewayName] = set()

    def names(self) -> Collection[GatewayName]:
        return frozenset(self.now)

    async def confirm(self) -> Collection[GatewayName]:
        return self.names()


@dataclass
class Published:
    """What another process, which leads, has published."""

    decisions: dict[RevisionName, DecisionReport] = field(default_factory=dict)
    account: CostReport = field(
        default_factory=lambda: CostReport(currency="EUR", seconds=5.0, lines=())
    )

    def decision(self, revision: RevisionName) -> DecisionReport | None:
        return self.decisions.get(revision)

    def cost(self) -> CostReport:
        return self.account


@dataclass
class Grounded:
    """A `Ground`, and what steers it."""

    cluster: FakeCluster
    ground: Ground
    read: asyncio.Event
    """Set: there is a first snapshot."""
    cluster_touch: FakeTouch
    bus_touch: FakeTalk
    members: FakeMembers
    published: Published
    log: list[str]
    reads: bool = False
    """It has begun to read the cluster."""


def grounded(group: asyncio.TaskGroup, server: object, settings: Settings) -> Grounded:
    """Nothing is known yet, and all is in touch."""
    cluster = FakeCluster(gpus=4, start=0.01)
    clock = LoopClock()
    read = asyncio.Event()
    cluster_touch, bus_touch = FakeTouch(), FakeTalk()
    members, published = FakeMembers(), Published()

    async def known() -> None:
        found.reads = True
        await read.wait()

    ground = Ground(
        name=GatewayName("models/gateway-1"),
        cluster=cluster,
        read=known,
        cluster_touch=cluster_touch,
        bus=MemoryBus(clock),
        bus_touch=bus_touch,
        reports=published,
        publish=lambda _: None,
        clock=clock,
        group=group,
        servers=lambda _runtime: server,  # type: ignore[arg-type,return-value]
        certificates=Certificates(settings),
    )
    found = Grounded(
        cluster=cluster,
        ground=ground,
        read=read,
        cluster_touch=cluster_touch,
        bus_touch=bus_touch,
        members=members,
        published=published,
        log=[],
    )
    return found

"""Whoever leads shares out the slots: from when, among whom, and until when."""

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import pytest

from ebbtide.sharing.overbus import SlotLeader
from fleet.bus.redis.gatewaylog import Reported
from fleet.clock import LoopClock
from fleet.errors import UnavailableError
from fleet.messages import Held, ReplicaSample
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.subscribers import Subscribers
from tests.fakes.adminview import sample
from tests.fakes.leases import ScriptedLease, ScriptedMembers
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio

A, R = RevisionName("default/a"), ReplicaName("r")
SLOTS = 8


@pytest.fixture
def anyio_backend():
    return VIRTUAL


@dataclass
class Bus:
    """What is said on it, and who listens."""

    reports: Subscribers = field(default_factory=Subscribers[Reported])
    terms: list[int] = field(default_factory=list)
    leads: bool = False
    shares: dict = field(default_factory=dict)
    dropped: set = field(default_factory=set)

    def on_report(self, listener):
        return self.reports.add(listener)

    def lead(self, term):
        self.terms.append(term)
        self.leads = True
        return f"life{term}"

    def follow(self):
        self.leads = False

    def allot(self, gateway, allot):
        assert self.leads
        self.shares[gateway] = allot.slots[R]
        return True

    def drop(self, replicas=(), gateways=()):
        assert self.leads
        self.dropped |= set(gateways)

    def samples(self):
        return {}


class Rig:
    """A loop that would lead, over what a test steers."""

    def __init__(self, *names: str) -> None:
        self.bus, self.lease, self.members = Bus(), ScriptedLease(), ScriptedMembers(*names)
        self.loop = SlotLeader(self.bus, self.lease, self.members, LoopClock())

    async def begin(self, term: int) -> None:
        self.lease.give(term)
        await asyncio.sleep(0.01)

    def say(self, *, life: str = "life1", **waiting: int) -> None:
        """Each gateway says what waits, and that it holds one slot."""
        for name, count in waiting.items():
            replica = ReplicaSample(name=R, running=0, busy_s=0.0, slots=SLOTS, ready_for=9.0)
            told = Reported(
                gateway=GatewayName(name),
                revisions={A: replace(sample(A, waiting=count), replicas=(replica,))},
                gone=(),
                held=Held(number=0, slots=MappingProxyType({}), leader=life),
                at=0.0,
            )
            self.bus.reports.tell(told)


@contextlib.asynccontextmanager
async def running(*names: str):
    rig = Rig(*names)
    task = asyncio.ensure_future(rig.loop.run())
    try:
        await asyncio.sleep(0.01)
        yield rig
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_it_shares_among_the_members_from_the_moment_it_leads():
    async with running("g1", "g2") as rig:
        rig.say(g1=9, g2=0)
        assert (rig.bus.terms, rig.bus.shares) == ([], {})
        await rig.begin(1)
        assert (rig.bus.terms, rig.members.confirmed) == ([1], 1)
        rig.say(g1=9, g2=0)
        assert rig.bus.shares == {"g1": 7}


async def test_whom_the_slots_are_among_is_asked_for_until_it_is_told():
    async with running("g1", "g2") as rig:
        rig.members.error = UnavailableError("away")
        await rig.begin(1)
        await asyncio.sleep(3.0)
        assert rig.bus.terms == []
        rig.members.error = None
        await asyncio.sleep(0.5)
        assert rig.bus.terms == [1]


async def test_who_loses_the_lease_says_no_more_at_once():
    async with running("g1") as rig:
        await rig.begin(1)
        rig.lease.take(2)
        assert not rig.bus.leads
        rig.say(g1=9)
        await asyncio.sleep(2.0)
        assert (rig.bus.terms, rig.bus.shares) == ([1], {})
        await rig.begin(3)
        rig.say(life="life3", g1=9)
        assert (rig.bus.terms, rig.bus.shares) == ([1, 3], {"g1": 8})


async def test_a_lease_that_has_run_out_unnoticed_gives_no_more():
    async with running("g1") as rig:
        await rig.begin(1)
        # A loop that was stopped: what it holds has run out, and nobody could tell it.
        rig.lease._held = False
        rig.say(g1=9)
        assert rig.bus.shares == {}
        await asyncio.sleep(0.5)
        assert not rig.bus.leads


async def test_a_new_term_is_a_new_turn_though_nobody_told_of_the_end_of_the_old_one():
    async with running("g1") as rig:
        await rig.begin(1)
        rig.lease.term = 2
        await asyncio.sleep(0.5)
        assert rig.bus.terms == [1, 2]


@pytest.mark.parametrize("term", [None, 3])
async def test_a_lease_lost_while_the_members_are_asked_for_begins_nothing(term):
    async with running("g1") as rig:
        asked, known = asyncio.Event(), rig.members.confirm

        async def late():
            asked.set()
            await asyncio.sleep(5.0)
            return await known()

        rig.members.confirm = late
        rig.lease.give(1)
        await asked.wait()
        rig.lease.take()
        if term is not None:
            rig.lease.give(term)
        rig.members.confirm = known
        await asyncio.sleep(10.0)
        assert rig.bus.terms == ([] if term is None else [term])


async def test_who_comes_shares_and_who_is_gone_gives_its_slots_back():
    async with running("g1", "g2") as rig:
        await rig.begin(1)
        rig.say(g1=9, g2=0)
        assert rig.bus.shares == {"g1": 7}
        rig.members.known = {GatewayName("g1"), GatewayName("g3")}
        await asyncio.sleep(0.5)
        assert rig.bus.dropped == {"g2"}
        rig.say(g3=9)
        # What g1 has not said it gave back is nobody else's.
        assert rig.bus.shares == {"g1": 4}


async def test_members_that_are_not_known_for_a_moment_are_not_gone():
    async with running("g1", "g2") as rig:
        await rig.begin(1)
        rig.say(g1=9, g2=0)
        rig.members.known = set()
        await asyncio.sleep(2.0)
        assert rig.bus.dropped == set()
        assert rig.bus.shares == {"g1": 7}


async def test_at_its_end_it_says_no_more_and_hears_no_more():
    async with running("g1") as rig:
        await rig.begin(1)
    assert not rig.bus.leads
    rig.say(g1=9)
    rig.lease.take(2)
    assert rig.bus.shares == {}
    assert not rig.bus.reports._listeners

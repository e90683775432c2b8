"""Who tells what of Deployments, as the lead goes from one process to another."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from autoscaler.news import Newsroom
from autoscaler.surroundings import Surroundings
from fleet.bus.memory import MemoryBus
from fleet.clock import LoopClock
from fleet.leases.fixed import Fixed
from fleet.model import Fleet, Problem
from tests.fakes.cluster import revision
from tests.fakes.servers import ScriptedServers
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio
A, B = revision("a"), revision("b")
_WRONG = Problem(source="", deployment="default/c", key="k", value="v", allowed="1 to 9")


@pytest.fixture
def anyio_backend():
    return VIRTUAL


class Lead:
    """A Lease that goes where the test says."""

    term = 1

    def __init__(self):
        self.here = False

    def held(self):
        return self.here

    def subscribe(self, _listener):
        return lambda: None


class Told:
    """A cluster that is what the test says, and hears what is noted."""

    def __init__(self):
        self.now = Fleet()
        self.notes = []

    def fleet(self):
        return self.now

    def has(self, *revisions, **changes):
        known = MappingProxyType({one.name: one for one in revisions})
        self.now = replace(self.now, revisions=known, **changes)

    async def note(self, name, reason, message):
        self.notes.append((name, reason, message))


def room():
    clock, cluster, lead = LoopClock(), Told(), Lead()
    bus = MemoryBus(clock)
    around = Surroundings(
        cluster=cluster,
        bus=bus,
        clock=clock,
        servers=ScriptedServers(),
        members=Fixed(lambda: ()),
        lease=lead,
    )
    return Newsroom(around), cluster, lead, bus


async def test_who_does_not_lead_tells_nothing_and_later_only_what_is_new():
    news, cluster, lead, bus = room()
    cluster.has(A)
    await news.look()
    cluster.has(A, B)
    await news.look()
    assert cluster.notes == []
    lead.here = True
    await news.look()
    assert cluster.notes == [], "another one has told it"
    cluster.has(B)
    await news.look()
    cluster.has(A, B)
    await news.look()
    assert cluster.notes == [(A.name, "registered", "as a")]
    assert [entry.event for entry in bus.tail(10)] == ["registered"]


@pytest.mark.parametrize("seen_first", [True, False])
async def test_what_is_wrong_is_told_by_each_leader_once(seen_first):
    news, cluster, lead, bus = room()
    cluster.has(replace(A, second_writer="HorizontalPodAutoscaler x"), problems=(_WRONG,))
    if seen_first:
        await news.look()
        assert cluster.notes == []
    lead.here = True
    await news.look()
    told = [
        ("default/c", "refused", "k: 'v': 1 to 9"),
        (A.name, "second_writer", "HorizontalPodAutoscaler x"),
    ]
    assert cluster.notes == told
    await news.look()
    assert cluster.notes == told
    lead.here = False
    await news.look()
    lead.here = True
    await news.look()
    assert cluster.notes == told * 2
    assert [entry.event for entry in bus.tail(10)] == ["refused", "second_writer"] * 2

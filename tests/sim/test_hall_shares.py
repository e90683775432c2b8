"""A hall that has only a part of each replica's slots, on virtual time."""

import asyncio

import pytest

from fleet.model import Policy, WarmUp
from fleet.names import ReplicaName, RevisionName
from tests.fakes.cluster import revision
from tests.sim.loop import VIRTUAL
from tests.sim.world import world

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


class Allotment:
    """What others leave to this gateway, and how often it asked for more."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.asked: list[RevisionName] = []

    def of(self, replica: ReplicaName) -> int:
        return self.slots


def demo():
    return revision("demo", replicas=1, policy=Policy(slots=8, warm_up=WarmUp.NONE))


def shared(allotment: Allotment):
    return world(allotted=allotment.of, crowded=allotment.asked.append)


async def test_no_more_run_than_its_share_and_more_is_asked_for():
    allotment = Allotment(1)
    async with shared(allotment) as w:
        w.cluster.put(demo())
        await asyncio.sleep(5)
        assert not allotment.asked
        calls = [w.call(service=1.0) for _ in range(4)]
        assert (w.line.running, w.line.waiting) == (1, 3)
        assert allotment.asked == [w.revision] * 3
        allotment.slots = 3
        w.hall.allot()
        assert (w.line.running, w.line.waiting) == (3, 1)
        await asyncio.sleep(5)
        assert all(call.ended_at for call in calls)


async def test_with_less_nothing_new_starts_until_enough_have_ended():
    allotment = Allotment(3)
    async with shared(allotment) as w:
        w.cluster.put(demo())
        await asyncio.sleep(5)
        for service in (1.0, 2.0, 3.0, 4.0):
            w.call(service=service)
        allotment.slots = 1
        w.hall.allot()
        for expected in ((3, 1), (2, 1), (1, 1), (1, 0)):
            assert (w.line.running, w.line.waiting) == expected
            await asyncio.sleep(1.001)


async def test_a_share_over_the_slots_is_the_slots_and_the_sample_tells_all_slots():
    allotment = Allotment(100)
    async with shared(allotment) as w:
        w.cluster.put(demo())
        await asyncio.sleep(5)
        for _ in range(10):
            w.call(service=1.0)
        assert (w.line.running, w.line.waiting) == (8, 2)
        allotment.slots = 2
        w.hall.allot()
        (replica,) = w.line.sample(w.now).replicas
        assert replica.slots == 8


async def test_the_first_request_still_goes_alone_whatever_the_share():
    allotment = Allotment(4)
    async with shared(allotment) as w:
        w.cluster.put(revision("demo", policy=Policy(slots=8, warm_up=WarmUp.NONE)))
        calls = [w.call(service=0.4) for _ in range(6)]
        while not any(call.dispatches for call in calls):
            await asyncio.sleep(0.001)
        w.hall.allot()
        assert (w.line.running, w.line.waiting) == (1, 5)
        await asyncio.sleep(0.25)
        assert (w.line.running, w.line.waiting) == (4, 2)

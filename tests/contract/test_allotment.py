"""A worker's side of shared slots: what it lacks and what it takes up, told over a channel."""

import asyncio
from types import MappingProxyType

import pytest

from ebbtide.sharing.allotment import Allotment
from ebbtide.workers.messages import Crowded, codec
from ebbtide.workers.slots import Sharer
from fleet.clock import LoopClock
from fleet.messages import Allot, Held
from fleet.model import Policy, WarmUp
from tests.contract.channels import channels
from tests.fakes.cluster import revision
from tests.sim.world import ModelUnderTest, world

pytestmark = pytest.mark.anyio


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


def allot(number: int, replica, slots: int) -> Allot:
    return Allot(number=number, slots=MappingProxyType({replica: slots}))


async def test_a_lack_is_told_at_once_a_share_is_gone_by_and_what_is_over_it_is_told_as_it_ends():
    async with channels(codec()) as (near, far):
        crowded: list[Crowded] = []
        held: list[Held] = []
        far.handle(Crowded, crowded.append)
        far.handle(Held, held.append)
        allotment = Allotment(Sharer(near), LoopClock())
        server = ModelUnderTest(load=0.0)
        async with world(
            start=0.01, server=server, allotted=allotment.of, crowded=allotment.crowded
        ) as w:
            allotment.use(w.hall)
            policy = Policy(slots=8, warm_up=WarmUp.NONE)
            w.cluster.put(revision("demo", replicas=1, policy=policy))
            await until(lambda: any(seat.proved for seat in w.line.ledger.seats.values()))
            (replica,) = w.line.ledger.seats
            calls = [w.call(service=0.3 * n) for n in range(1, 5)]
            assert (w.line.running, w.line.waiting) == (1, 3)
            await until(lambda: crowded)
            # Three that wait are one message.
            assert [told.sample.waiting for told in crowded] == [3]
            far.send(allot(7, replica, 3))
            await until(lambda: w.line.running == 3)
            await until(lambda: held == [Held(number=7, slots={replica: 3})])
            far.send(allot(8, replica, 1))
            await until(lambda: held[-1] == Held(number=8, slots={replica: 3}))
            await until(lambda: held[-1] == Held(number=8, slots={}))
            await until(lambda: all(call.ended_at for call in calls))
        allotment.close()


async def test_a_share_that_comes_before_the_hall_or_its_replica_counts_when_they_come():
    async with channels(codec()) as (near, far):
        held: list[Held] = []
        far.handle(Held, held.append)
        allotment = Allotment(Sharer(near), LoopClock())
        far.send(allot(1, "default/demo-1", 5))
        await until(lambda: near.heard)
        async with world(server=ModelUnderTest(load=0.0)) as w:
            allotment.use(w.hall)
            assert allotment.of("default/demo-1") == 5
            far.send(allot(2, "default/demo-2", 6))
            await until(lambda: held and held[-1].number == 2)
            assert allotment.of("default/demo-2") == 6
            assert allotment.of("default/demo-3") == 1
            assert held[-1].slots["default/demo-2"] == 6
        allotment.close()

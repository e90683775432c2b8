"""What a policy says counts in the real control loop: two models that differ in it alone."""

import asyncio

import pytest

from fleet.reasons import Reason
from fleet.settings import Settings
from tests.sim.control import A, B, C, World
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


@pytest.mark.parametrize(("spared", "taken"), [(A, B), (B, A)])
async def test_the_lowest_priority_is_evicted_first(spared, taken):
    async with World(gpus=2) as world:
        world.add(spared, priority=1, keep_alive=3600.0)
        world.add(taken, C, keep_alive=3600.0)
        # Unused longer than the other: were they equal, it would be the one to go.
        for name in (spared, taken):
            world.gateway.arrive(name)
            await world.until(lambda name=name: world.gateway.rows[name].completions)
            await asyncio.sleep(10)
        world.gateway.arrive(C)
        await world.until(lambda: world.gateway.rows[C].completions)
        assert (world.replicas(spared), world.replicas(taken)) == (1, 0)
        assert (taken, 0, Reason.EVICTED) in world.cluster.writes


@pytest.mark.parametrize(("first", "last"), [(A, B), (B, A)])
async def test_the_newcomer_of_the_highest_priority_is_served_first(first, last):
    async with World(gpus=1, service_s=30.0) as world:
        world.add(C, last)
        world.add(first, priority=1)
        world.gateway.arrive(C)
        await world.until(lambda: world.gateway.rows[C].running)
        # Waits longer than the other: were they equal, it would be the one to get the GPU.
        world.gateway.arrive(last)
        await asyncio.sleep(5)
        world.gateway.arrive(first)
        await world.until(lambda: world.replicas(first) + world.replicas(last))
        assert (world.replicas(first), world.replicas(last)) == (1, 0)
        await world.until(lambda: world.gateway.rows[last].completions)
        assert world.gateway.lost == 0


async def test_a_model_is_billed_at_its_own_price_or_else_at_the_usual_one():
    async with World(gpus=3, settings=Settings(gpu_price=2.0)) as world:
        world.add(A, replicas=1, pinned=True)
        world.add(B, replicas=1, pinned=True, gpu_price=5.0)
        world.add(C, replicas=1, pinned=True, gpu_price=0.0)
        await world.at(361.0)
        money = {
            line.revision: line.money(line.allocated) for line in world.autoscaler.cost().lines
        }
        # Six minutes each, give or take the tick that began it.
        assert money[A] == pytest.approx(0.2, rel=0.01)
        assert money[B] == pytest.approx(0.5, rel=0.01)
        assert money[C] == 0.0

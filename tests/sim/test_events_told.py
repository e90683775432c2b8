"""What is done to a model is told at its Deployment: the word, and why, for whom, since when."""

import asyncio

import pytest

from tests.fakes.cluster import revision
from tests.sim.control import A, B, World
from tests.sim.loop import VIRTUAL
from tests.sim.world import world as one_hall

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


def told(world, name):
    """(reason, message) of what was told of it, in order."""
    return [(reason, message) for of, reason, message in world.cluster.notes if of == name]


async def test_who_gives_its_gpu_is_told_for_whom_and_who_sleeps_why():
    async with World(gpus=1) as world:
        world.add(A, B, keep_alive=60.0)
        world.gateway.arrive(A)
        await world.until(lambda: world.gateway.rows[A].completions)
        await asyncio.sleep(3.3)
        world.gateway.arrive(B)
        await world.until(lambda: world.gateway.rows[B].completions)
        assert told(world, A)[-1] == ("evicted", "for b")
        assert "woken" in dict(told(world, B))
        await world.until(lambda: world.replicas(B) == 0, limit=70.0)
        reason, message = told(world, B)[-1]
        assert reason == "asleep"
        assert message.startswith("keep_alive: ")


async def test_who_cannot_start_is_told_with_the_server_s_own_words():
    async with World() as world:
        world.add(A)
        world.gateway.probing = False
        world.gateway.arrive(A)
        await world.fail_starts(A, 3, message="no such file")
        await world.until(lambda: world.replicas(A) == 0, limit=3)
        (failed,) = (message for reason, message in told(world, A) if reason == "failed")
        assert failed.startswith("start_failed: ")
        assert "no such file" in failed


async def test_who_waits_for_a_gpu_is_told_so():
    async with World(gpus=1) as world:
        world.add(A, pinned=True)
        await world.until(lambda: world.ready(A))
        world.add(B)
        world.gateway.arrive(B)
        await asyncio.sleep(30)
        (held,) = told(world, B)
        assert held == ("held", "no_free_gpu: demand, but no GPU is free for it")


async def test_a_gateway_tells_of_the_wake_that_it_writes():
    async with one_hall(gpus=1) as w:
        w.cluster.put(revision())
        w.call()
        await asyncio.sleep(3)
        assert told(w, w.revision) == [("woken", "")]

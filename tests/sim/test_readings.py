"""Whom a look asks for its load, and that nobody loses anything unasked, on virtual time."""

import pytest

from autoscaler import readings
from fleet.reasons import Reason
from fleet.runtimes import Reading
from tests.fakes.cluster import revision
from tests.sim.control import World
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio

AT_REST = 2
NAMES = [revision(f"m{number:02}").name for number in range(12 * AT_REST)]
NEWCOMER = revision("newcomer").name
BUSY = Reading(pending=3, completions=0)


@pytest.fixture
def anyio_backend():
    return VIRTUAL


@pytest.fixture(autouse=True)
def _a_few(monkeypatch):
    monkeypatch.setattr(readings, "AT_REST", AT_REST)


async def crowd(world, **policy):
    """More models than one look asks, each with a replica that is ready and idle."""
    world.add(*NAMES, replicas=1, **{"keep_alive": 3600.0, **policy})
    await world.until(lambda: all(map(world.ready, NAMES)))
    await world.at(world.loop.time() + 20.0)


def address(world, name):
    (replica,) = world.cluster.fleet().of(name)
    return replica.address


def writes(world, name):
    return [(count, reason) for who, count, reason in world.cluster.writes if who == name]


async def test_of_those_at_rest_a_look_asks_a_few_in_turn():
    async with World(gpus=len(NAMES)) as world:
        await crowd(world)
        looks, before = world.bus.last_look().look.number, world.servers.asked
        world.servers.asked_at.clear()
        await world.until(lambda: world.bus.last_look().look.number == looks + 12)
        assert world.servers.asked - before == len(NAMES)
        assert set(world.servers.asked_at.values()) == {1}, "each of them once"
        assert len(world.servers.asked_at) == len(NAMES)


async def test_one_that_is_in_use_is_asked_at_every_look_and_a_few_after():
    async with World(gpus=len(NAMES), service_s=9.0) as world:
        await crowd(world)
        used = NAMES[-1]
        world.gateway.arrive(used)
        await world.until(lambda: world.gateway.rows[used].running)
        looks = world.bus.last_look().look.number
        world.servers.asked_at.clear()
        ended = await world.until(lambda: world.gateway.rows[used].completions)
        during = world.servers.asked_at[address(world, used)]
        assert abs(during - (world.bus.last_look().look.number - looks)) <= 1
        await world.at(ended + 5.0)
        assert world.servers.asked_at[address(world, used)] >= during + 2
        await world.at(ended + 12.0)
        rested = world.servers.asked_at[address(world, used)]
        await world.at(ended + 18.0)
        assert world.servers.asked_at[address(world, used)] <= rested + 1


async def test_whoever_is_to_be_evicted_is_asked_first_and_stays_while_it_works():
    async with World(gpus=len(NAMES)) as world:
        await crowd(world)
        world.add(NEWCOMER)
        first, second = NAMES[0], NAMES[1]
        before = world.servers.asked_at[address(world, NAMES[5])]
        await world.until(lambda: world.servers.asked_at[address(world, NAMES[5])] > before)
        world.servers.answers[address(world, first)] = BUSY
        world.gateway.arrive(NEWCOMER)
        asked = world.loop.time()
        await world.until(lambda: world.replicas(NEWCOMER))
        assert world.loop.time() - asked < 0.3
        assert not writes(world, first)
        assert writes(world, second) == [(0, Reason.EVICTED)]


async def test_who_gets_to_sleep_is_asked_first_and_stays_while_it_works():
    async with World(gpus=len(NAMES)) as world:
        await crowd(world, keep_alive=60.0)
        worker = NAMES[7]
        since = min(row.ready_at for one in NAMES for row in world.gateway.rows[one].at.values())
        await world.at(since + 59.0)
        world.servers.answers[address(world, worker)] = BUSY
        await world.at(since + 70.0)
        assert [name for name in NAMES if world.replicas(name)] == [worker]
        world.servers.answers.clear()
        await world.until(lambda: not world.replicas(worker), limit=20.0)
        assert writes(world, worker) == [(0, Reason.KEEP_ALIVE)]


async def test_who_was_called_past_the_gateways_since_it_was_used_is_watched_for_longer():
    async with World(gpus=len(NAMES)) as world:
        await crowd(world, keep_alive=60.0)
        called = NAMES[7]
        world.gateway.arrive(called)
        ended = await world.until(lambda: world.gateway.rows[called].completions)
        where = address(world, called)
        world.servers.answers[where] = Reading(pending=0, completions=1)
        await world.at(ended + 20.0)
        for second in range(30, 90):
            world.servers.answers[where] = Reading(pending=0, completions=second)
            await world.at(ended + second)
        assert world.replicas(called) == 1
        await world.until(lambda: not world.replicas(called), limit=30.0)


async def test_one_whose_server_does_not_answer_stays():
    async with World(gpus=len(NAMES)) as world:
        await crowd(world, keep_alive=60.0)
        world.servers.sick = True
        await world.at(world.loop.time() + 100.0)
        assert all(map(world.replicas, NAMES))
        world.servers.sick = False
        await world.until(lambda: not any(map(world.replicas, NAMES)), limit=30.0)


@pytest.mark.parametrize("held", ["busy", "silent"])
async def test_who_held_its_gpu_when_it_was_asked_in_turn_is_asked_again_soon(held):
    async with World(gpus=len(NAMES)) as world:
        await crowd(world)
        world.add(NEWCOMER)
        first = address(world, NAMES[0])
        if held == "busy":
            world.servers.answers[first] = BUSY
        else:
            world.servers.broken.add(first)
        before = world.servers.asked_at[first]
        await world.until(lambda: world.servers.asked_at[first] > before)
        world.servers.answers.clear()
        world.servers.broken.clear()
        await world.at(world.loop.time() + 2.1)
        world.gateway.arrive(NEWCOMER)
        asked = world.loop.time()
        await world.until(lambda: world.replicas(NEWCOMER))
        assert world.loop.time() - asked < 0.3
        assert writes(world, NAMES[0]) == [(0, Reason.EVICTED)]

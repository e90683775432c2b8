"""The real hall and the real control loop together: more models than GPUs, nobody is lost."""

import asyncio
import contextlib

import pytest

from fleet.model import Policy
from fleet.names import RevisionName
from fleet.reasons import Reason
from tests.fakes.cluster import revision
from tests.sim.loop import VIRTUAL
from tests.sim.world import world

pytestmark = pytest.mark.anyio
NAMES = ("a", "b", "c", "d")


@pytest.fixture
def anyio_backend():
    return VIRTUAL


@contextlib.asynccontextmanager
async def controlled(*, gpus):
    async with world(gpus=gpus) as hall:
        autoscaler = hall.autoscaler()
        running = hall.loop.create_task(autoscaler.run())
        try:
            yield hall, autoscaler
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


def call(hall, name):
    hall.revision = RevisionName(f"default/{name}")
    return hall.call(service=0.2)


async def until_over(clients, *, limit=300.0):
    async with asyncio.timeout(limit):
        while not all(client.ended_at is not None for client in clients):
            await asyncio.sleep(0.05)


async def test_four_models_take_turns_on_two_gpus_and_all_are_served():
    async with controlled(gpus=2) as (hall, autoscaler):
        for name in NAMES:
            hall.cluster.put(revision(name, policy=Policy(keep_alive=3600.0)))
        clients = []
        for _ in range(3):
            for name in NAMES:
                # The line of the client must be that of its model when it ends.
                hall.revision = RevisionName(f"default/{name}")
                batch = [hall.call(service=0.2) for _ in range(25)]
                clients += batch
                await until_over(batch)
                assert all(len(client.dispatches) == 1 for client in batch)
                fleet = hall.cluster.fleet()
                assert sum(one.replicas for one in fleet.revisions.values()) <= 2
        assert all(client.refusal is None for client in clients)
        evicted = [entry for entry in hall.bus.tail(1000) if entry.event == "evicted"]
        assert len(evicted) >= 10
        report = autoscaler.cost()
        states = [sum(getattr(line, s) for line in report.lines) for s in ("serving", "starting")]
        assert all(seconds > 0 for seconds in states)


async def test_each_of_four_models_on_two_gpus_is_served_in_order_of_arrival():
    async with controlled(gpus=2) as (hall, _):
        for name in NAMES:
            hall.cluster.put(revision(name, policy=Policy(keep_alive=3600.0)))
        clients = {name: [] for name in NAMES}
        # Some come while their model sleeps, some while it wakes, some while it serves.
        for _ in range(10):
            for n in range(100):
                name = NAMES[n % len(NAMES)]
                clients[name].append(call(hall, name))
            await asyncio.sleep(0.7)
        await until_over([client for own in clients.values() for client in own])
        for own in clients.values():
            assert [client for client in hall.order if client in own] == own
        assert len(hall.order) == 1000
        assert {entry.event for entry in hall.bus.tail(1000)} >= {"evicted"}


async def test_an_idle_model_sleeps_within_one_tick_and_wakes_again():
    async with controlled(gpus=1) as (hall, autoscaler):
        hall.cluster.put(revision("a", policy=Policy(keep_alive=10.0)))
        for _ in range(2):
            client = call(hall, "a")
            await until_over([client])
            while hall.cluster.fleet().revisions[hall.revision].replicas:
                await asyncio.sleep(0.01)
            assert 10.0 <= hall.now - client.ended_at + 0.02 <= 12.1
            assert hall.cluster.writes[-1] == (hall.revision, 0, Reason.KEEP_ALIVE)
            await asyncio.sleep(3.0)
        assert autoscaler.decision(hall.revision).after == 0


async def test_slots_that_are_not_read_yet_add_no_replicas():
    async with controlled(gpus=2) as (hall, _):
        hall.cluster.put(revision("a", policy=Policy(slots=None)))
        clients = [call(hall, "a") for _ in range(2)]
        await until_over(clients)
        await asyncio.sleep(5)
        assert {after for _, after, _ in hall.cluster.writes} == {1}

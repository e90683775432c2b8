"""Pods that wait for a GPU and that nobody waits for: they keep nobody asleep for ever."""

import asyncio
from dataclasses import replace

import pytest

from fleet.model import Policy
from fleet.names import RevisionName
from tests.fakes.cluster import revision
from tests.fakes.plane import Plane
from tests.sim.loop import VIRTUAL
from tests.sim.processes import processes

pytestmark = pytest.mark.anyio
KEPT = Policy(slots=4, keep_alive=3600.0, wait_timeout=3000.0)
A, B = (RevisionName(f"default/{name}") for name in "ab")


@pytest.fixture
def anyio_backend():
    return VIRTUAL


async def test_a_pod_whose_clients_have_left_keeps_nobody_waiting_while_a_model_is_idle():
    """Two gateways ask for one GPU; who comes second is left by its client, then a third comes."""
    plane = Plane({"n1": 1})
    for name in "abc":
        plane.put(revision(name, policy=KEPT))
    async with processes(plane, load=0.2) as world:
        await asyncio.sleep(1.0)
        callers = {A: world.call("a"), B: world.call("b", at=1)}
        await world.until(lambda: plane.unschedulable)
        late = plane.unschedulable[0].revision
        callers[late].leave()
        await asyncio.sleep(5.0)
        newcomer = world.call("c")
        await world.until(lambda: newcomer.ended_at, limit=60.0)
        assert newcomer.served
        served = ({A, B} - {late}).pop()
        downs = [name for _, _, name, after in plane.writes if after == 0]
        assert downs == [served, late], "a wake is carried to its end"


async def test_a_model_that_wants_more_leaves_the_gpu_of_an_idle_one_to_a_newcomer():
    """A node is lost; the pod that was there waits for another GPU, before the newcomer's."""
    plane = Plane({"n1": 1, "n2": 1, "n3": 1})
    plane.put(revision("a", policy=replace(KEPT, min_replicas=2)))
    plane.put(revision("b", policy=replace(KEPT, min_replicas=1)))
    plane.put(revision("c", policy=KEPT))
    async with processes(plane, load=0.2) as world:
        await world.until(lambda: plane.held == 3)
        plane.lose_node(next(pod.node for pod in plane.pods.values() if pod.revision == A))
        await asyncio.sleep(5.0)
        busy = world.call("a", service=300.0)
        newcomer = world.call("c")
        await world.until(lambda: newcomer.ended_at, limit=30.0)
        assert newcomer.served
        assert not busy.ended_at
        assert plane.revisions[A].replicas == 1
        await asyncio.sleep(20.0)
        assert sum(name == A for _, _, name, _ in plane.writes) == 2, "and no to and fro"
        plane.add_node("n4", 1)
        await world.until(lambda: plane.revisions[A].replicas == 2, limit=30.0)


async def test_a_rollout_that_waits_for_its_own_gpus_keeps_nobody_waiting_for_ever():
    plane = Plane({"n1": 2})
    plane.put(revision("a", policy=replace(KEPT, min_replicas=2)))
    plane.put(revision("b", policy=KEPT))
    async with processes(plane, load=0.2) as world:
        await world.until(lambda: plane.held == 2)
        await asyncio.sleep(300.0)
        plane.roll_out(A, "t2")
        await asyncio.sleep(5.0)
        newcomer = world.call("b")
        await asyncio.sleep(20.0)
        assert plane.revisions[A].replicas == 2, "it may still come to its end"
        await world.until(lambda: newcomer.ended_at, limit=60.0)
        assert newcomer.served
        await world.until(lambda: plane.held == 2, limit=30.0)

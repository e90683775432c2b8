"""Two gateways and a leader, each seeing the cluster late: who wakes what, and how many at once."""

import asyncio
from dataclasses import replace

import pytest

from fleet.errors import RejectedError
from fleet.model import Policy
from fleet.names import RevisionName
from fleet.reasons import Reason
from fleet.settings import Settings
from tests.fakes.cluster import revision
from tests.fakes.plane import Delays, Plane
from tests.sim.loop import VIRTUAL
from tests.sim.processes import models, processes

pytestmark = pytest.mark.anyio
KEPT = Policy(slots=4, keep_alive=3600.0, wait_timeout=3000.0)
A, B, C = (RevisionName(f"default/{name}") for name in "abc")


@pytest.fixture
def anyio_backend():
    return VIRTUAL


LATE = {
    "all are quick": {},
    "all are slow": {name: {"watch": 0.3, "write": 0.2} for name in ("g1", "g2", "leader")},
    "the leader is slow": {"leader": {"watch": 0.5, "write": 0.1}},
    "a gateway is slow": {"g1": {"watch": 0.5, "write": 0.3}},
}


async def burst(plane, names, *, gateways=2, seconds=5.0, **world):
    """All models are called at once, in turn at each gateway; returns the callers."""
    async with processes(plane, gateways=gateways, load=0.2, **world) as made:
        await asyncio.sleep(1.0)
        callers = [made.call(name, at=n % gateways) for n, name in enumerate(names)]
        await asyncio.sleep(seconds)
        return callers


@pytest.mark.parametrize("delays", LATE.values(), ids=LATE)
@pytest.mark.parametrize(
    ("nodes", "count"), [({"n1": 1}, 100), ({"n1": 4, "n2": 4}, 40)], ids=["1 GPU", "8 GPUs"]
)
async def test_with_too_little_room_few_pods_are_left_without_a_gpu(nodes, count, delays):
    plane = Plane(nodes)
    callers = await burst(plane, models(plane, count, policy=KEPT), delays=delays)
    assert sum(caller.served for caller in callers) >= plane.gpus
    assert plane.most_unschedulable <= plane.gpus + 1


async def test_a_hundred_models_and_eight_gpus():
    plane = Plane({"n1": 4, "n2": 4})
    await burst(plane, models(plane, 100, policy=KEPT), seconds=2.5)
    assert plane.most_unschedulable <= 9


@pytest.mark.parametrize("gateways", [3, 6])
async def test_every_further_gateway_adds_one_pod_at_most(gateways):
    plane = Plane({"n1": 4, "n2": 4})
    names = models(plane, 60, policy=KEPT)
    slow = {f"g{n + 1}": {"watch": 0.5, "write": 0.1} for n in range(gateways)}
    await burst(plane, names, gateways=gateways, delays=slow, seconds=3.0)
    assert plane.most_unschedulable <= plane.gpus + gateways - 1


async def test_nodes_that_come_while_many_wait_are_not_asked_for_twice():
    plane = Plane({"n1": 1})
    names = models(plane, 40, policy=KEPT)
    async with processes(plane, load=0.2, delays=LATE["all are slow"]) as world:
        await asyncio.sleep(1.0)
        busy = world.call(names[0], service=600.0)
        await world.until(lambda: busy.dispatched_at)
        for n, name in enumerate(names[1:]):
            world.call(name, at=n % 2)
        await asyncio.sleep(10.0)
        assert plane.most_unschedulable <= 2
        for n in range(4):
            plane.add_node(f"n{n + 2}", 1)
        await asyncio.sleep(5.0)
        assert plane.held == 5
        assert plane.most_unschedulable <= plane.gpus + 1


@pytest.mark.parametrize("delays", LATE.values(), ids=LATE)
async def test_with_room_for_all_a_hundred_wakes_are_written_within_two_seconds(delays):
    plane = Plane({f"n{n}": 4 for n in range(25)})
    names = models(plane, 100, policy=KEPT)
    callers = await burst(plane, names, delays=delays, seconds=2.0)
    assert {name for _, _, name, _ in plane.writes} == {f"default/{name}" for name in names}
    began = min(caller.began for caller in callers)
    assert max(at for at, *_ in plane.writes) - began <= 2.0
    assert plane.most_unschedulable == 0


async def test_and_so_they_are_where_one_gateway_has_all_the_calls():
    plane = Plane({f"n{n}": 4 for n in range(25)})
    names = models(plane, 100, policy=KEPT)
    async with processes(plane) as world:
        await asyncio.sleep(1.0)
        for name in names:
            world.call(name)
        await asyncio.sleep(2.0)
        assert len({name for _, _, name, _ in plane.writes}) == 100


async def test_one_gpu_for_two_models_in_turn():
    plane = Plane({"n1": 1})
    plane.put(revision("a", policy=KEPT))
    plane.put(revision("b", policy=KEPT))
    async with processes(plane, load=0.2) as world:
        await asyncio.sleep(1.0)
        for turn in range(20):
            caller = world.call("ab"[turn % 2], at=turn // 2 % 2)
            await world.until(lambda caller=caller: caller.ended_at, limit=30.0)
            assert caller.served
        downs = [name for _, _, name, after in plane.writes if after == 0]
        assert downs == [A, B] * 9 + [A]
        assert plane.most_unschedulable <= 1


async def test_the_victims_own_wake_is_not_ahead_of_the_newcomer():
    plane = Plane({"n1": 1}, delays=Delays(stop=3.0))
    plane.put(revision("a", policy=replace(KEPT, priority=9)))
    plane.put(revision("b", policy=KEPT))
    async with processes(plane, load=0.2) as world:
        await asyncio.sleep(1.0)
        first = world.call("a")
        await world.until(lambda: first.ended_at)
        newcomer = world.call("b", at=1)
        await world.until(lambda: plane.revisions[A].replicas == 0)
        again = world.call("a")
        await world.until(lambda: newcomer.ended_at and again.ended_at, limit=60.0)
        assert newcomer.ended_at < again.dispatched_at


async def test_a_client_that_leaves_wakes_its_model_all_the_same():
    """A timeout of 1 s, a model that needs 20 s, then silence; the next call finds it warm."""
    plane = Plane({"n1": 1}, delays=Delays(start=1.0))
    plane.put(revision("a", policy=Policy(slots=4, keep_alive=60.0)))
    async with processes(plane, load=19.0) as world:
        await asyncio.sleep(1.0)
        caller = world.call("a")
        await asyncio.sleep(1.0)
        caller.leave()
        line = world.halls[1].lines[A]
        ready = await world.until(lambda: line.ready, limit=30.0)
        assert not caller.dispatched_at
        await asyncio.sleep(50.0)
        again = world.call("a", at=1)
        assert again.dispatched_at == world.loop.time(), "it is warm"
        await world.until(lambda: plane.revisions[A].replicas == 0, limit=90.0)
        assert world.loop.time() - ready >= 50.0 + 60.0
        assert [after for *_, after in plane.writes] == [1, 0]


async def test_without_redis_and_leader_a_model_is_woken_by_its_gateway():
    plane = Plane({"n1": 1})
    plane.put(revision("a", policy=KEPT))
    plane.put(revision("b", policy=KEPT))
    async with processes(plane, leader=False, load=0.2) as world:
        world.bus.cut = True
        await asyncio.sleep(1.0)
        caller = world.call("a")
        assert await world.until(lambda: caller.ended_at) - caller.began < 2.0
        # No GPU is free, and nobody there to choose: it asks, and is next in line.
        world.call("b", at=1)
        asked = world.loop.time()
        await world.until(lambda: plane.revisions[B].replicas)
        assert 5.0 <= world.loop.time() - asked <= 6.5
        assert plane.writes[-1][1] == "g2"


async def test_a_lost_poke_costs_a_tick():
    """No GPU is free, so the leader has to choose: what it is not told it sees at its next look."""
    took, rules = [], Settings()
    for lost in (False, True):
        plane = Plane({"n1": 1})
        for name in "ab":
            plane.put(revision(name, policy=KEPT))
        async with processes(plane, load=0.2, settings=rules) as world:
            await asyncio.sleep(1.0)
            first = world.call("a")
            await world.until(lambda first=first: first.ended_at)
            await asyncio.sleep(1.3)
            if lost:
                world.bus.poke = lambda _: None
            caller = world.call("b", at=1)
            await world.until(lambda caller=caller: caller.ended_at, limit=30.0)
            assert caller.served
            took.append(caller.ended_at - caller.began)
    with_it, without = took
    # And what messages take.
    assert with_it < without <= with_it + rules.tick + 0.1


async def test_a_new_leader_goes_on_with_what_gateways_wrote_meanwhile():
    plane = Plane({"n1": 1})
    plane.put(revision("a", policy=KEPT))
    plane.put(revision("b", policy=KEPT))
    async with processes(plane, load=0.2) as world:
        await asyncio.sleep(1.0)
        first = world.call("a")
        await world.until(lambda: first.ended_at)
        await world.fall()
        second = world.call("b", at=1)
        await asyncio.sleep(8.0)
        assert plane.revisions[B].replicas == 1
        world.lead()
        await world.until(lambda: second.ended_at, limit=10.0)
        assert second.served
        assert [after for _, _, name, after in plane.writes if name == A] == [1, 0]


@pytest.mark.parametrize("growing", [False, True])
async def test_a_gateway_that_is_not_heard_keeps_nobody_asleep(growing):
    plane = Plane({"n1": 1}, budget=4 if growing else None)
    plane.put(revision("a", policy=KEPT))
    async with processes(plane, load=0.2) as world:
        await asyncio.sleep(1.0)
        for hall in world.halls[1:]:
            hall.publish = lambda: None
        await asyncio.sleep(10.0)
        caller = world.call("a")
        await world.until(lambda: caller.ended_at, limit=5.0)
        assert caller.served
        await asyncio.sleep(60.0)
        assert plane.revisions[A].replicas == 1, "and nothing is lowered"


# Writes that are refused.


async def test_an_idle_model_that_cannot_be_written_keeps_nobody_from_the_gpu_of_another(
    monkeypatch,
):
    plane = Plane({"n1": 1, "n2": 1})
    for name in "abc":
        plane.put(revision(name, policy=KEPT))
    write = plane.write

    def refused(who, name, expect, **changes):
        if (who, name) == ("leader", A):
            raise RejectedError("a webhook denied the request")
        return write(who, name, expect, **changes)

    monkeypatch.setattr(plane, "write", refused)
    async with processes(plane, load=0.2) as world:
        await asyncio.sleep(1.0)
        for name in "ab":
            caller = world.call(name)
            await world.until(lambda caller=caller: caller.ended_at)
        await asyncio.sleep(120.0)
        newcomer = world.call("c", at=1)
        await world.until(lambda: newcomer.ended_at, limit=20.0)
        assert newcomer.served
        assert plane.revisions[A].replicas == 1


# Rollouts.


async def test_the_second_pod_of_a_rollout_evicts_nobody_and_keeps_nobody_waiting():
    plane = Plane({"n1": 1, "n2": 1})
    for name in "abc":
        plane.put(revision(name, policy=KEPT))
    async with processes(plane, load=0.2) as world:
        await asyncio.sleep(1.0)
        callers = [world.call("a"), world.call("b")]
        await world.until(lambda: all(caller.ended_at for caller in callers))
        plane.roll_out(A, "t2")
        await asyncio.sleep(20.0)
        assert len(plane.unschedulable) == 1
        assert {after for *_, after in plane.writes} == {1}, "nobody was evicted"
        newcomer = world.call("c", at=1)
        await world.until(lambda: newcomer.ended_at, limit=30.0)
        assert newcomer.served
        assert sum(after == 0 for *_, after in plane.writes) == 1
        await world.until(lambda: not plane.unschedulable, limit=30.0)


# Nodes that are bought.


def elastic(nodes, *, budget=8, **delays):
    return Plane(nodes, budget=budget, delays=Delays(buy=0.3, boot=20.0, **delays))


async def test_no_node_is_bought_for_what_an_eviction_frees():
    plane = elastic({"n1": 1}, stop=5.0)
    for name in "ab":
        plane.put(revision(name, policy=KEPT))
    async with processes(plane, load=0.2) as world:
        await asyncio.sleep(1.0)
        for turn in range(6):
            caller = world.call("ab"[turn % 2], at=turn // 2 % 2)
            await world.until(lambda caller=caller: caller.ended_at, limit=30.0)
            assert caller.served
        assert plane.bought == []
        assert plane.most_unschedulable == 0


@pytest.mark.parametrize("delays", LATE.values(), ids=LATE)
async def test_a_gpu_that_is_freed_for_a_newcomer_is_its_although_it_asks_for_it_late(delays):
    plane = elastic({"n1": 1}, budget=1, stop=5.0)
    plane.put(revision("a", policy=replace(KEPT, priority=9)))
    plane.put(revision("b", policy=KEPT))
    async with processes(plane, load=0.2, delays=delays) as world:
        await asyncio.sleep(1.0)
        first = world.call("a")
        await world.until(lambda: first.ended_at)
        newcomer = world.call("b", at=1)
        await world.until(lambda: plane.revisions[A].replicas == 0)
        again = [world.call("a"), world.call("a", at=1)]
        await world.until(lambda: all(one.ended_at for one in (newcomer, *again)), limit=90.0)
        assert newcomer.ended_at < min(one.dispatched_at for one in again)
        assert plane.bought == []
        assert plane.most_unschedulable == 0


async def test_a_victim_that_is_called_again_asks_for_one_node():
    plane = elastic({"n1": 1}, stop=5.0)
    for name in "ab":
        plane.put(revision(name, policy=KEPT))
    async with processes(plane, load=0.2) as world:
        await asyncio.sleep(1.0)
        first = world.call("a")
        await world.until(lambda: first.ended_at)
        newcomer = world.call("b", at=1)
        await world.until(lambda: plane.revisions[A].replicas == 0)
        again = world.call("a")
        await world.until(lambda: newcomer.ended_at)
        assert not again.dispatched_at
        assert plane.bought == ["bought-1"]
        await world.until(lambda: again.ended_at, limit=60.0)


async def test_a_node_is_bought_where_no_eviction_helps():
    plane = elastic({"n1": 1})
    for name in "ab":
        plane.put(revision(name, policy=KEPT))
    async with processes(plane, load=0.2) as world:
        await asyncio.sleep(1.0)
        busy = world.call("a", service=300.0)
        await world.until(lambda: busy.dispatched_at)
        caller = world.call("b", at=1)
        await world.until(lambda: caller.ended_at, limit=60.0)
        assert caller.served
        assert plane.bought == ["bought-1"]


async def test_grow_first_buys_before_it_evicts():
    plane = elastic({"n1": 1})
    for name in "ab":
        plane.put(revision(name, policy=KEPT))
    async with processes(plane, load=0.2, settings=Settings(no_free_gpu="grow-first")) as world:
        await asyncio.sleep(1.0)
        for name in "ab":
            caller = world.call(name)
            await world.until(lambda caller=caller: caller.ended_at, limit=60.0)
        assert plane.bought == ["bought-1"]
        assert {after for *_, after in plane.writes} == {1}


# What ebbtide does not scale.


async def test_what_an_operator_scaled_to_none_stays_so():
    plane = Plane({"n1": 1})
    off = replace(KEPT, min_replicas=1)
    plane.put(revision("a", policy=replace(off, mode=off.mode.OFF), replicas=1))
    async with processes(plane, load=0.2) as world:
        await asyncio.sleep(5.0)
        caller = world.call("a")
        await world.until(lambda: caller.ended_at)
        assert caller.served
        plane.put(replace(plane.revisions[A], replicas=0))
        await asyncio.sleep(5.0)
        refused = [world.call("a", at=at) for at in (0, 1)]
        assert {caller.refusal.reason for caller in refused} == {Reason.ASLEEP}
        await asyncio.sleep(60.0)
        assert plane.writes == []


async def test_what_something_else_scales_is_never_written():
    plane = Plane({"n1": 2})
    plane.put(revision("a", policy=KEPT, replicas=1, second_writer="HorizontalPodAutoscaler a"))
    async with processes(plane, load=0.2) as world:
        await asyncio.sleep(5.0)
        callers = [world.call("a", at=n % 2, service=1.0) for n in range(40)]
        await world.until(lambda: all(caller.ended_at for caller in callers))
        assert all(caller.served for caller in callers)
        plane.put(replace(plane.revisions[A], replicas=0))
        await asyncio.sleep(5.0)
        assert world.call("a").refusal.reason is Reason.SECOND_WRITER
        assert plane.writes == []

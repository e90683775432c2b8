"""Fewer replicas between processes: the orders of events that could lose a request, forced."""

import asyncio
from dataclasses import replace

import pytest

from fleet.model import Policy
from fleet.names import GatewayName
from fleet.settings import Settings
from tests.fakes.cluster import revision
from tests.sim.apart import apart
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio
A = revision("a").name
POLICY = Policy(slots=4, keep_alive=10.0, max_replicas=1)


@pytest.fixture
def anyio_backend():
    return VIRTUAL


async def begun(world, *names, replicas=1, policy=POLICY):
    """Gateways of these names and one leader; `a` is ready at all of them, and idle."""
    world.cluster.put(revision("a", policy=policy, replicas=replicas))
    gateways = [await world.gateway(name) for name in names]
    leader = world.leader()
    leader.lease.give(1)
    await world.until(lambda: all(len(g.hall.lines[A].ledger.seats) == replicas for g in gateways))
    await asyncio.sleep(1.0)
    return gateways, leader


def drain(world):
    return world.revision(A).drain


async def asleep(world, *, limit=60.0):
    await world.until(
        lambda: world.revision(A).replicas == 0 and not world.cluster.fleet().of(A), limit=limit
    )


async def test_idle_at_all_gateways_it_sleeps():
    async with apart() as world:
        await begun(world, "g1", "g2")
        await asleep(world)
        assert world.witness.lowered == 1


async def test_a_dispatch_after_the_mark_but_before_the_watch():
    """One gateway has not heard of the mark, and sends: the write waits for its word."""
    async with apart() as world:
        (_, two), _ = await begun(world, "g1", "g2")
        two.view.watch.cut = True
        await world.until(lambda: drain(world) is not None)
        # Nor does the leader hear of what it does: else it would take the drain back.
        two.end.cut = True
        call = two.call(A, service=20.0)
        assert call.seat is not None, "it was sent: that gateway knows of no mark"
        for _ in range(100):
            await asyncio.sleep(0.1)
            assert world.revision(A).replicas == 1
        two.view.watch.join()
        late = two.call(A)
        assert late.seat is None, "now it knows"
        two.end.cut = False
        await world.until(lambda: late.done, limit=5.0)
        assert world.revision(A).replicas == 1
        await world.until(lambda: call.done, limit=30.0)
        await asleep(world)


async def test_a_request_that_ran_already_is_waited_for():
    async with apart() as world:
        (one, _), _ = await begun(world, "g1", "g2")
        # The leader decides on samples in which nothing runs yet.
        one.end.cut = True
        call = one.call(A, service=25.0)
        await asyncio.sleep(12.0)
        one.end.cut = False
        for _ in range(60):
            await asyncio.sleep(0.2)
            assert call.done or world.revision(A).replicas == 1
        await asleep(world)
        assert call.done


async def test_redis_started_empty_while_a_gateway_is_away():
    """Its request runs, its samples are gone, and nobody can tell it from one that never was."""
    async with apart() as world:
        (_, two), leader = await begun(world, "g1", "g2")
        two.end.cut = True
        call = two.call(A, service=90.0)
        world.wire.empty()
        for _ in range(800):
            await asyncio.sleep(0.1)
            assert world.revision(A).replicas == 1
        assert set(leader.end.samples()) == {"g1"}
        await world.until(lambda: call.done)
        assert world.revision(A).replicas == 1, "it may hold more"
        two.end.cut = False
        await asleep(world)


async def test_redis_started_empty_after_a_mark_was_acknowledged():
    """An acknowledgement that was lost is none, until it is said again."""
    async with apart() as world:
        (one, two), _ = await begun(world, "g1", "g2")
        one.end.cut = True
        await asyncio.sleep(5.0)
        two.end.cut = True
        world.wire.empty()
        one.end.cut = False
        await asyncio.sleep(60.0)
        assert world.revision(A).replicas == 1
        two.end.cut = False
        await asleep(world)


async def paused_before_the_write(world):
    """The leader was stopped between its last question for the lease and the write."""
    (one, two), former = await begun(world, "g1", "g2")
    await world.until(lambda: drain(world) is not None)
    former.view.out = lambda: 40.0
    writes = len(world.cluster.writes)
    await asyncio.sleep(5.0)
    assert len(world.cluster.writes) == writes, "it is on the way"
    former.lease.take(2)
    next_one = world.leader()
    return one, two, former, next_one


async def test_a_paused_leader_that_wakes_up_after_the_next_one_has_looked():
    async with apart() as world:
        one, _, _, other = await paused_before_the_write(world)
        await asyncio.sleep(2.0)
        held = one.call(A, service=60.0)
        assert held.seat is None
        other.lease.give(2)
        await world.until(lambda: held.seat is not None, limit=5.0)
        assert drain(world) is None, "the next leader has taken it back"
        await asyncio.sleep(45.0)
        assert not held.done
        assert world.revision(A).replicas == 1, "the late write met another version"
        await world.until(lambda: held.done)
        await asleep(world)


async def test_a_paused_leader_that_wakes_up_before_anybody_else_has_looked():
    """Its write is as good as when it was decided: the mark has stood all along."""
    async with apart() as world:
        one, two, _, other = await paused_before_the_write(world)
        calls = [one.call(A), two.call(A)]
        await world.until(lambda: world.revision(A).replicas == 0, limit=50.0)
        assert not any(call.seat for call in calls)
        other.lease.give(2)
        await world.until(lambda: all(call.done for call in calls))


async def test_a_paused_leader_whose_mark_arrives_late():
    async with apart() as world:
        (one, _), former = await begun(world, "g1", "g2")
        former.view.out = lambda: 30.0
        await asyncio.sleep(14.0)
        assert drain(world) is None, "it is on the way"
        former.lease.take(2)
        other = world.leader()
        other.lease.give(2)
        terms = set()
        world.cluster.subscribe(
            lambda fleet: terms.add(d.term) if (d := fleet.revisions[A].drain) else None
        )
        calls = []
        for _ in range(60):
            calls.append(one.call(A, service=2.0))
            await asyncio.sleep(0.5)
        await world.until(lambda: all(call.done for call in calls))
        assert world.revision(A).replicas == 1
        await asleep(world)
        assert terms - {1} == {2}


async def test_a_gateway_that_comes_after_the_mark_has_seen_it_from_the_beginning():
    """The leader need not know of it: it was no member when the mark was written."""
    async with apart() as world:
        (_, two), _ = await begun(world, "g1", "g2")
        two.view.watch.cut = True
        await world.until(lambda: drain(world) is not None)
        three = await world.gateway("g3")
        await asyncio.sleep(1.0)
        assert three.hall.lines[A].ledger.seats, "its probe has found the replica ready"
        call = three.call(A, service=30.0)
        assert call.seat is None
        world.there.discard(GatewayName("g3"))
        two.view.watch.join()
        await world.until(lambda: call.done or world.witness.lowered, limit=10.0)


async def test_a_gateway_that_came_before_the_mark_is_found_right_before_the_write():
    async with apart() as world:
        _, leader = await begun(world, "g1")
        await asyncio.sleep(8.0)
        # No list of the leader's shows it before the write.
        leader.members.known = frozenset(leader.members.known)
        leader._tasks[1].cancel()
        two = await world.gateway("g2")
        two.view.watch.cut = True
        two.end.cut = True
        await asyncio.sleep(1.0)
        call = two.call(A, service=40.0)
        assert call.seat is not None
        await world.until(lambda: drain(world) is not None)
        for _ in range(100):
            await asyncio.sleep(0.1)
            assert world.revision(A).replicas == 1
        assert leader.members.confirmed
        two.view.watch.join()
        two.end.cut = False
        await world.until(lambda: call.done)
        await asleep(world)


@pytest.mark.parametrize(
    ("lag", "says_done_first"), [(0.05, False), (3.0, False), (8.0, False), (0.7, True)]
)
async def test_demand_between_the_write_and_what_the_cluster_does_about_it(lag, says_done_first):
    """The replica is there still, and marked: it is not used again, whatever comes of it."""
    async with apart() as world:
        (one, _), _ = await begun(world, "g1", "g2")
        world.cluster.lag, world.cluster.says_done_first = lag, says_done_first
        await world.until(lambda: world.revision(A).replicas == 0)
        calls = []
        for _ in range(12):
            calls.append(one.call(A))
            await asyncio.sleep(0.25)
        await world.until(lambda: all(call.done for call in calls))


@pytest.mark.parametrize("wakes", [False, True])
async def test_a_gateway_that_hears_of_deployments_and_not_of_pods(wakes):
    """To it the replica that was written away is still there: the mark stays until it knows."""
    async with apart() as world:
        (one, two), _ = await begun(world, "g1", "g2")
        two.view.see(pods=False)
        await world.until(lambda: world.revision(A).replicas == 0)
        woken = one.call(A) if wakes else None
        for _ in range(40):
            assert two.call(A, service=0.1).seat is None or wakes
            await asyncio.sleep(0.25)
        two.view.see(pods=True)
        if woken:
            await world.until(lambda: woken.done)
        await world.until(lambda: all(call.done for call in two.calls))
        await asleep(world)
        await world.until(lambda: drain(world) is None)


async def test_of_several_the_marked_go_and_only_while_all_others_are_held_ready():
    async with apart(gpus=3, settings=Settings(stable_window=6.0)) as world:
        busy = replace(POLICY, keep_alive=600.0, min_replicas=3, max_replicas=3)
        (one, two), _ = await begun(world, "g1", "g2", replicas=3, policy=busy)
        marked = []

        def hear(fleet):
            drain = fleet.revisions[A].drain
            if drain is not None and not marked:
                marked.extend(drain.replicas)
                for stays in {r.name for r in fleet.of(A)} - drain.replicas:
                    world.loop.call_soon(world.cluster.hold_unready, stays)

        world.cluster.subscribe(hear)
        world.cluster.touch(A, policy=replace(busy, min_replicas=2))
        calls = []
        for n in range(60):
            calls.append((one, two)[n % 2].call(A, service=1.0))
            await asyncio.sleep(0.5)
            assert world.revision(A).replicas == 3, "the cluster would take the wrong one"
        assert len(marked) == 1
        world.cluster.hold_ready()
        while world.revision(A).replicas > 2:
            calls.append(one.call(A, service=1.0))
            await asyncio.sleep(0.5)
            assert len(calls) < 600
        await asyncio.sleep(3.0)
        assert all(call.done for call in calls)
        assert len(world.cluster.living(A)) == 2


async def test_a_killed_gateway_holds_the_scale_until_its_pod_is_gone():
    async with apart() as world:
        (_, two), _ = await begun(world, "g1", "g2")
        await world.kill(two, pod_gone=False)
        await asyncio.sleep(60.0)
        assert world.revision(A).replicas == 1
        world.there.discard(two.name)
        await asleep(world)


async def test_without_a_leader_and_without_the_bus_a_gateway_wakes():
    async with apart() as world:
        (one, _), leader = await begun(world, "g1", "g2")
        await asleep(world)
        await leader.kill()
        world.leaders.remove(leader)
        for end in world.wire.ends:
            end.cut = True
        call = one.call(A)
        await world.until(lambda: call.done, limit=10.0)
        second = one.call(A)
        assert second.seat is not None, "and stays warm: nobody lowers"
        await asyncio.sleep(120.0)
        assert world.revision(A).replicas == 1


async def test_while_the_api_server_is_away_waiting_requests_wait_and_warm_ones_go_on():
    async with apart() as world:
        world.cluster.put(revision("b", policy=POLICY))
        (one, two), leader = await begun(world, "g1", "g2")
        b = revision("b").name
        everybody = [one, two, leader]
        for process in everybody:
            process.view.away = process.view.watch.cut = True
        leader.lease.take()
        warm, cold = one.call(A), one.call(b)
        assert warm.seat is not None
        await asyncio.sleep(100.0)
        assert one.call(A).seat is not None
        assert not cold.done
        assert cold.refusal is None
        for process in everybody:
            process.view.away = False
            process.view.watch.join()
        leader.lease.give(2)
        await world.until(lambda: cold.done, limit=6.0)

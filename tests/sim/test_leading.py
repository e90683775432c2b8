"""Two control loops, of which one leads at a time, on virtual time."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from autoscaler.core.footing import first_number
from autoscaler.loop import Autoscaler
from autoscaler.surroundings import Surroundings
from fleet.errors import UnavailableError
from fleet.model import Drain, Mode
from fleet.names import GatewayName, ReplicaName
from fleet.reasons import Reason
from fleet.settings import Settings
from tests.fakes.leases import ScriptedLease, ScriptedMembers
from tests.sim.control import A, B, C, World
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


class Loop:
    """One autoscaler process."""

    def __init__(self, world):
        self.lease = ScriptedLease()
        self.members = ScriptedMembers(world.gateway.name)
        around = Surroundings(
            cluster=world.cluster,
            bus=world.bus,
            clock=world.clock,
            servers=world.servers,
            members=self.members,
            lease=self.lease,
        )
        self.control = Autoscaler(around, Settings())
        self.task = world.loop.create_task(self.control.run())
        world.tasks.append(self.task)

    async def kill(self):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@contextlib.asynccontextmanager
async def two(**world):
    async with World(**world) as made:
        made.tasks.pop().cancel()
        yield made, Loop(made), Loop(made)


def drain_of(world, name=A):
    return world.cluster.fleet().revisions[name].drain


async def test_without_the_lease_nothing_is_written_said_or_answered():
    async with two() as (world, one, _):
        world.add(A, min_replicas=1)
        world.add(B)
        world.add(C, mode=Mode.ADVISE, min_replicas=1)
        world.gateway.arrive(B)
        await asyncio.sleep(60)
        assert one.control.decision(C).after == 1
        assert one.members.confirmed == 0
        assert world.cluster.writes == []
        assert world.bus.tail(10) == []
        assert world.cluster.notes == []
        assert world.bus.last_look() is None
        assert one.control.decision(A).after == 1, "it looks on"
        one.lease.give(1)
        await asyncio.sleep(0.2)
        assert [(name, after) for name, after, _ in world.cluster.writes] == [(A, 1), (B, 1)], (
            "what was due is done at once"
        )
        assert world.bus.last_look().look.term == 1


async def test_a_poke_is_the_leaders_to_answer():
    async with two() as (world, *_):
        world.add(A)
        asked = []
        real = world.cluster.fleet
        world.cluster.fleet = lambda: asked.append(world.loop.time()) or real()
        await asyncio.sleep(10)
        before = len(asked)
        for _ in range(100):
            world.bus.poke(A)
            await asyncio.sleep(0.1)
        assert len(asked) - before <= before + 8


async def test_a_new_leader_knows_what_it_needs_when_its_turn_comes():
    """Fewer replicas only after fewer would have done for a whole window: it has watched that."""
    async with two(gpus=3, slots=4) as (world, one, other):
        one.lease.give(1)
        world.add(A, keep_alive=3600.0)
        world.gateway.arrive(A, 200)
        await world.until(lambda: world.replicas(A) == 3)
        await world.until(lambda: world.gateway.rows[A].completions == 200)
        ended = world.loop.time()
        for _ in range(110):
            world.gateway.arrive(A)
            await asyncio.sleep(1.0)
        assert world.replicas(A) == 3
        await one.kill()
        one.lease.take()
        fresh = Loop(world)
        other.lease.give(2)
        while world.replicas(A) == 3:
            world.gateway.arrive(A)
            await asyncio.sleep(1.0)
            assert world.loop.time() - ended < 130
        assert fresh.control.decision(A).after == 3, "one that has just begun would have held"
        assert world.gateway.lost == 0


async def test_after_a_fail_over_nothing_is_lowered_for_want_of_samples():
    async with two(gpus=2) as (world, one, _):
        one.lease.give(1)
        world.add(A, replicas=1, keep_alive=5.0)
        world.add(B)
        await world.until(lambda: world.ready(A))
        await one.kill()
        world.gateway.silent = True
        fresh = Loop(world)
        fresh.lease.give(2)
        await asyncio.sleep(60)
        assert world.replicas(A) == 1
        assert drain_of(world) is None
        assert fresh.control.decision(A).reason is Reason.UNKNOWN_READING
        world.gateway.silent = False
        world.gateway.arrive(B)
        await world.until(lambda: world.replicas(B) == 1, limit=5.0)
        await world.until(lambda: world.replicas(A) == 0, limit=10.0)


@pytest.mark.parametrize("looked_on", [True, False])
async def test_after_a_fail_over_growth_goes_on_once_every_gateway_is_heard(looked_on):
    async with two(gpus=4, slots=4, service_s=2.0) as (world, one, other):
        one.lease.give(1)
        world.add(A, keep_alive=3600.0, replicas=1, max_replicas=4)
        await world.until(lambda: world.ready(A))
        await one.kill()
        leader = other if looked_on else Loop(world)
        leader.members.known.add(GatewayName("gone"))
        world.gateway.arrive(A, 200)
        leader.lease.give(2)
        await asyncio.sleep(30)
        assert world.replicas(A) == 1
        assert leader.control.decision(A).reason is Reason.UNKNOWN_READING
        leader.members.known.discard(GatewayName("gone"))
        await world.until(lambda: world.replicas(A) == 4, limit=10.0)


async def test_a_loop_that_loses_its_lease_in_the_middle_of_a_look_stops_there():
    async with two() as (world, one, _):
        one.lease.give(1)
        world.add(A, B, replicas=1, keep_alive=20.0)
        await world.until(lambda: world.ready(A) and world.ready(B))
        marks = []
        real = world.cluster.mark

        async def mark(name, drain, *, expect):
            marks.append((name, drain))
            one.lease.take(2)
            return await real(name, drain, expect=expect)

        world.cluster.mark = mark
        await asyncio.sleep(60)
        assert len(marks) == 1
        assert world.cluster.writes == []
        assert (world.replicas(A), world.replicas(B)) == (1, 1)


async def test_what_a_former_leader_marked_is_taken_over_in_the_first_look():
    async with two() as (world, one, other):
        world.members = {world.gateway.name, "away"}
        one.lease.give(1)
        one.members.there.add(GatewayName("away"))
        world.add(A, replicas=1)
        await world.until(lambda: world.ready(A))
        await asyncio.sleep(18.5)
        found = world.cluster.fleet().revisions[A]
        replica = world.cluster.fleet().of(A)[0].name
        old = Drain(number=first_number(1) + 1, replicas=frozenset({replica}), term=1)
        world.cluster.put(replace(found, drain=old))
        # Its late write was decided on this version.
        version = world.cluster.fleet().revisions[A].version
        one.lease.take(2)
        other.members.there.add(GatewayName("away"))
        other.members.known.add(GatewayName("away"))
        other.lease.give(2)
        await asyncio.sleep(0.01)
        taken = drain_of(world)
        assert taken == Drain(number=first_number(2) + 1, replicas=old.replicas, term=2)
        assert world.cluster.fleet().revisions[A].version != version, "a late write is a conflict"
        assert world.replicas(A) == 1


@pytest.mark.parametrize("gone", [True, False])
async def test_a_mark_that_nobody_needs_is_cleared_or_taken_over_and_taken_back(gone):
    async with two() as (world, _, other):
        world.add(A, replicas=1, keep_alive=3600.0)
        await world.until(lambda: world.ready(A))
        (replica,) = world.cluster.fleet().of(A)
        found = world.cluster.fleet().revisions[A]
        names = frozenset({ReplicaName("gone") if gone else replica.name})
        world.cluster.put(replace(found, drain=Drain(number=5, replicas=names, term=1)))
        other.lease.give(2)
        await asyncio.sleep(0.01)
        drain = drain_of(world)
        if gone:
            assert drain is None
        else:
            assert drain.term == 2
            assert drain.replicas == names
            world.gateway.arrive(A)
            back = await world.until(lambda: drain_of(world) is None, limit=5.0)
            assert back > world.cluster.start
        await world.until(lambda: world.gateway.rows[A].waiting == [], limit=5.0)
        assert world.replicas(A) == 1


async def test_a_gateway_that_is_only_found_right_before_the_write_holds_it():
    async with two() as (world, one, _):
        one.lease.give(1)
        world.add(A, replicas=1)
        await world.until(lambda: world.ready(A))
        one.members.there.add(GatewayName("newcomer"))
        await world.until(lambda: one.members.confirmed, limit=60)
        await asyncio.sleep(30)
        assert world.replicas(A) == 1
        assert drain_of(world) is not None, "it is marked, and waits for the newcomer"
        one.members.there.remove(GatewayName("newcomer"))
        one.members.known.clear()
        one.members.known.update(one.members.there)
        await world.until(lambda: world.replicas(A) == 0, limit=3.0)


async def test_nothing_is_lowered_while_the_members_cannot_be_counted():
    async with two() as (world, one, _):
        one.lease.give(1)
        one.members.error = UnavailableError("away")
        world.add(A, replicas=1)
        world.add(B)
        await world.until(lambda: world.ready(A))
        await asyncio.sleep(40)
        assert world.replicas(A) == 1
        world.gateway.arrive(B)
        await world.until(lambda: world.replicas(B) == 1, limit=5.0)
        one.members.error = None
        await world.until(lambda: world.replicas(A) == 0, limit=3.0)


async def test_two_that_lead_one_after_the_other_many_times_lose_nothing():
    async with two(gpus=1) as (world, one, other):
        world.add(A, B, keep_alive=15.0)
        numbers = []
        world.cluster.subscribe(
            lambda fleet: numbers.extend(
                rev.drain.number for rev in fleet.revisions.values() if rev.drain is not None
            )
        )
        sent = {A: 0, B: 0}
        for term in range(1, 40):
            leads = one if term % 2 else other
            leads.lease.give(term)
            name = (A, B)[(term // 3) % 2]
            world.gateway.arrive(name, 3)
            sent[name] += 3
            await asyncio.sleep(7.3)
            leads.lease.take(term)
            await asyncio.sleep(0.9)
        one.lease.give(100)
        await world.until(lambda: world.replicas(A) == world.replicas(B) == 0, limit=120)
        done = {name: world.gateway.rows[name].completions for name in (A, B)}
        assert done == sent
        assert world.gateway.lost == 0
        assert len(numbers) > 10
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("number", [first_number(3), 2**53 - 1, 2**53])
@pytest.mark.parametrize("term", [1, 2, 2**31])
async def test_a_mark_that_somebody_wrote_by_hand_halts_no_other_revision(number, term):
    async with two(gpus=2) as (world, one, _):
        one.lease.give(2)
        world.add(A, B, replicas=1)
        await world.until(lambda: world.ready(A) and world.ready(B))
        found = world.cluster.fleet().revisions[B]
        numbers = []
        world.cluster.subscribe(lambda fleet: numbers.extend(_numbers(fleet, A)))
        (replica,) = world.cluster.fleet().of(B)
        mark = Drain(number=number, replicas=frozenset({replica.name}), term=term)
        world.cluster.put(replace(found, drain=mark))
        await world.until(lambda: world.replicas(A) == world.replicas(B) == 0, limit=120)
        assert numbers
        assert all(first_number(2) < each < first_number(2) + 10 for each in numbers)


def _numbers(fleet, name):
    drain = fleet.revisions[name].drain
    return [] if drain is None else [drain.number]

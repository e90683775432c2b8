"""Sequences on virtual time: one replica each, held through drains and idleness, lost with it."""

import asyncio
from dataclasses import replace

import pytest

from activator.core.seats import Step, Wish, key_of
from fleet.model import Drain, Policy, WarmUp
from fleet.reasons import Reason
from tests.fakes.cluster import revision
from tests.sim.loop import VIRTUAL
from tests.sim.world import Client, ModelUnderTest, world

pytestmark = pytest.mark.anyio

IDLE = 10.0


@pytest.fixture
def anyio_backend():
    return VIRTUAL


def step(w, name: int, *, start: bool = False, end: bool = False, service: float = 0.1) -> Client:
    client = Client(w, service)
    wish = Wish(step=Step(key=key_of(b"%d" % name), start=start, end=end))
    client.ticket = w.line.enter(client, wish=wish)
    return client


def sequential(*, slots: int = 4) -> ModelUnderTest:
    server = ModelUnderTest(slots=slots)
    server.sequence_idle_s = IDLE
    return server


async def awake(w, count: int) -> list:
    w.cluster.put(revision(policy=Policy(slots=4, warm_up=WarmUp.NONE), replicas=count))
    while sum(seat.proved for seat in w.line.ledger.seats.values()) < count:
        await asyncio.sleep(0.1)
    return list(w.line.ledger.seats.values())


def drain(w, *names: str, number: int = 1) -> None:
    found = w.cluster.fleet().revisions[w.revision]
    mark = Drain(number=number, replicas=frozenset(names)) if names else None
    w.cluster.put(replace(found, drain=mark, version=str(int(found.version) + 1)))


async def test_a_model_is_known_to_serve_sequences_once_it_was_asked():
    async with world(server=sequential()) as w:
        w.cluster.put(revision())
        assert not w.line.sequential
        w.call()
        await asyncio.sleep(5)
        assert w.line.sequential
    async with world() as w:
        await awake(w, 1)
        assert not w.line.sequential


async def test_every_step_goes_where_the_first_one_went():
    async with world(server=sequential(), gpus=4) as w:
        await awake(w, 4)
        homes = {}
        for turn in range(5):
            for name in range(12):
                client = step(w, name, start=turn == 0, end=turn == 4)
                seat = client.dispatches[0][1]
                assert homes.setdefault(name, seat) is seat
            await asyncio.sleep(1)
        assert len(set(homes.values())) == 4
        assert len(w.line.ledger.sequences) == 0


async def test_steps_of_one_sequence_run_one_at_a_time_and_in_order():
    async with world(server=sequential()) as w:
        await awake(w, 2)
        steps = [step(w, 1, start=n == 0, service=1.0) for n in range(4)]
        await asyncio.sleep(10)
        begun = [client.dispatches[0][0] for client in steps]
        assert [later - begun[0] for later in begun] == pytest.approx([0, 1, 2, 3], abs=0.01)


async def test_a_live_sequence_is_not_idle_and_its_replica_is_not_drained_before_its_time():
    async with world(server=sequential()) as w:
        one, two = await awake(w, 2)
        first = step(w, 1, start=True)
        home = first.dispatches[0][1]
        other = two if home is one else one
        await asyncio.sleep(1)
        assert w.line.sample(w.now).idle_for is None
        sample = w.line.sample(w.now)
        assert sample.running == 1
        assert {r.name: r.running for r in sample.replicas} == {home.name: 1, other.name: 0}
        drain(w, home.name)
        assert w.line.sample(w.now).drained == 0
        # It goes on there, while all that is new goes elsewhere.
        again = step(w, 1)
        assert again.dispatches[0][1] is home
        assert step(w, 2, start=True, end=True).dispatches[0][1] is other
        await asyncio.sleep(9)
        assert w.line.sample(w.now).drained == 0
        quiet = []
        w.hall.on_quiet(quiet.append)
        await asyncio.sleep(3)
        assert quiet == [home.name], "nobody was told"
        assert w.line.sample(w.now).drained == 1
        assert w.line.sample(w.now).idle_for is not None
        assert w.hall.running_on(home.name) == 0


async def test_the_last_step_lets_a_draining_replica_go_at_once():
    async with world(server=sequential()) as w:
        await awake(w, 2)
        home = step(w, 1, start=True).dispatches[0][1]
        await asyncio.sleep(1)
        drain(w, home.name)
        step(w, 1, end=True)
        assert w.line.sample(w.now).drained == 0
        await asyncio.sleep(0.2)
        assert w.line.sample(w.now).drained == 1


async def test_a_step_whose_replica_is_gone_is_refused_and_a_first_step_begins_anew():
    async with world(server=sequential()) as w:
        one, two = await awake(w, 2)
        home = step(w, 1, start=True).dispatches[0][1]
        other = two if home is one else one
        await asyncio.sleep(1)
        w.cluster.fail(home.name)
        lost = step(w, 1)
        assert lost.reason is Reason.SEQUENCE_LOST
        assert lost.refusal.retry_after is None
        assert not lost.dispatches
        assert step(w, 1, start=True).dispatches[0][1] is other
        await asyncio.sleep(1)
        assert step(w, 1).dispatches[0][1] is other


async def test_who_waits_for_a_replica_that_goes_is_refused():
    async with world(server=sequential()) as w:
        await awake(w, 2)
        home = step(w, 1, start=True, service=100).dispatches[0][1]
        held = step(w, 1)
        assert w.line.waiting == 1
        w.cluster.fail(home.name)
        assert held.reason is Reason.SEQUENCE_LOST
        assert w.line.waiting == 0


async def test_a_step_that_finds_the_model_asleep_does_not_wake_it_unless_it_is_a_first_one():
    async with world(server=sequential()) as w:
        await awake(w, 1)
        found = w.cluster.fleet().revisions[w.revision]
        w.cluster.put(replace(found, replicas=0, version="7"))
        await asyncio.sleep(5)
        assert step(w, 1).reason is Reason.SEQUENCE_LOST
        assert not w.cluster.writes
        first = step(w, 1, start=True)
        second = step(w, 1)
        await asyncio.sleep(5)
        assert [len(client.dispatches) for client in (first, second)] == [1, 1]
        assert first.ended_at <= second.dispatches[0][0]


async def test_a_step_waits_for_its_replica_while_that_is_in_doubt():
    async with world(server=sequential()) as w:
        await awake(w, 2)
        home = step(w, 1, start=True).dispatches[0][1]
        await asyncio.sleep(1)
        w.server.dead.add(home.host)
        home.turn(doubtful=True)
        held = step(w, 1)
        await asyncio.sleep(1)
        assert not held.dispatches
        assert step(w, 2, start=True).dispatches, "others are not held up"
        home.turn(doubtful=False)
        w.line.look(w.now)
        assert held.dispatches[0][1] is home

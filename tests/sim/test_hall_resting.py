"""A line at rest is spared work, and nothing that is told or done differs by it."""

import asyncio
import random
from dataclasses import replace

import pytest

from activator.report import sample_of
from fleet.model import Drain, Phase, Policy, WarmUp
from fleet.reasons import Reason
from tests.fakes.cluster import revision
from tests.sim.loop import VIRTUAL
from tests.sim.world import world

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


def told(w):
    return w.bus.samples()[w.hall.name].sample.revisions[w.revision]


async def test_a_model_that_never_ran_is_told_by_the_same_value_each_second():
    async with world() as w:
        w.cluster.put(revision())
        await asyncio.sleep(2.5)
        first = told(w)
        await asyncio.sleep(5)
        assert told(w) is first


async def test_the_age_of_a_sleeping_model_goes_on_in_its_samples():
    async with world() as w:
        w.cluster.put(revision())
        client = w.call(service=0.5)
        await asyncio.sleep(5)
        seen = w.cluster.fleet().revisions[w.revision]
        await w.cluster.scale(w.revision, 0, expect=seen.version, reason=Reason.IDLE)
        await asyncio.sleep(30.3)
        assert not w.cluster.fleet().of(w.revision)
        sample = told(w)
        assert sample.replicas == ()
        assert sample.completions == 1
        # Samples come each second.
        assert sample.idle_for == pytest.approx(w.now - client.ended_at, abs=1.01)
        now = w.line.sample(w.now)
        true = sample_of(w.line.revision, w.line.ledger, now=w.now)
        assert now.idle_for == pytest.approx(true.idle_for, abs=1e-6)


async def test_an_arrival_ends_the_rest():
    async with world() as w:
        w.cluster.put(revision())
        await asyncio.sleep(10)
        client = w.call()
        assert w.line.sample(w.now).waiting == 1
        await asyncio.sleep(4)
        assert client.ended_at is not None
        assert told(w).completions == 1


async def test_one_that_came_and_left_while_asleep_is_told():
    async with world(gpus=0) as w:
        w.cluster.put(revision(gpus=0, policy=Policy(slots=4, queue_limit=0)))
        await asyncio.sleep(3)
        assert told(w).arrivals == 0
        assert w.call().reason is Reason.QUEUE_FULL
        await asyncio.sleep(1.1)
        assert told(w).arrivals == 1


async def test_a_drain_of_a_model_that_has_nothing_is_acknowledged():
    async with world() as w:
        w.cluster.put(revision())
        await asyncio.sleep(3)
        seen = w.cluster.fleet().revisions[w.revision]
        drain = Drain(number=7, replicas=frozenset())
        await w.cluster.mark(w.revision, drain, expect=seen.version)
        assert told(w).drained == 7


async def test_a_changed_manifest_of_a_blocked_model_clears_the_block():
    async with world() as w:
        w.cluster.put(revision())
        w.call()
        for _ in range(3):
            await asyncio.sleep(0.1)
            for one in w.cluster.fleet().of(w.revision):
                w.cluster.fail(one.name)
                w.cluster.retry(one.name)
        seen = w.cluster.fleet().revisions[w.revision]
        await w.cluster.scale(w.revision, 0, expect=seen.version, reason=Reason.START_FAILED)
        await asyncio.sleep(3)
        assert w.line.hopeless() is Reason.START_FAILED
        w.cluster.put(revision(template="t2"))
        assert w.line.hopeless() is None


def idle(sample):
    """A sample but for its ages."""
    ready = [replace(one, ready_for=None) for one in sample.replicas]
    return replace(sample, idle_for=sample.idle_for is None, replicas=tuple(ready))


def ages(sample):
    known = [sample.idle_for, *(one.ready_for for one in sample.replicas)]
    return [age for age in known if age is not None]


def told_truly(w):
    """The sample that is told now, which is as one that is made anew."""
    seen = w.line.sample(w.now)
    true = sample_of(w.line.revision, w.line.ledger, now=w.now)
    assert idle(seen) == idle(true)
    assert ages(seen) == pytest.approx(ages(true), abs=1e-6)
    return seen


@pytest.mark.parametrize("seed", range(5))
async def test_what_is_told_is_what_is_whatever_happens_in_between(seed):
    """Calls, wakes, sleeps, broken replicas, other manifests: at any moment."""
    luck = random.Random(seed)
    async with world(gpus=3) as w:
        w.cluster.put(revision(policy=Policy(slots=2, queue_limit=2)))

        async def scale(to):
            seen = w.cluster.fleet().revisions[w.revision]
            await w.cluster.scale(w.revision, to, expect=seen.version, reason=Reason.DEMAND)

        for _ in range(300):
            match luck.choice(["call", "scale", "wait", "wait", "wait", "doubt", "slots", "drop"]):
                case "call":
                    w.call(service=luck.choice([0.01, 1.0]))
                case "scale":
                    await scale(luck.randrange(4))
                case "doubt":
                    for seat in list(w.line.ledger.seats.values())[:1]:
                        w.line._opening.doubt(seat)
                case "slots":
                    seen = w.cluster.fleet().revisions[w.revision]
                    policy = replace(seen.policy, slots=luck.choice([None, 1, 2, 3]))
                    w.cluster.put(replace(seen, policy=policy))
                case "drop":
                    for one in w.cluster.fleet().of(w.revision)[:1]:
                        w.cluster.fail(one.name)
                        w.cluster.retry(one.name)
                case _:
                    await asyncio.sleep(luck.choice([0.01, 0.3, 2.0]))
            told_truly(w)


async def test_a_replica_that_warms_up_is_told_as_such_and_with_its_slots():
    async with world() as w:
        w.server.warm_up_s = 3.0
        w.cluster.put(revision(replicas=1, policy=Policy(slots=None)))
        seen = set()
        for _ in range(80):
            await asyncio.sleep(0.1)
            seen |= {(one.slots, one.warming) for one in told_truly(w).replicas}
        assert {(4, True), (4, False)} <= seen


async def test_a_warm_up_that_breaks_is_told_to_be_over(monkeypatch):
    async def broken(*args, **more):
        await asyncio.sleep(3.05)
        raise RuntimeError("planted")

    async with world() as w:
        monkeypatch.setattr(w.server, "warm_up", broken)
        w.cluster.put(revision(replicas=1))
        seen = set()
        for _ in range(80):
            await asyncio.sleep(0.1)
            seen |= {one.warming for one in told_truly(w).replicas}
        assert seen == {True, False}


async def test_a_model_that_is_ready_and_idle_is_not_looked_into_each_second(monkeypatch):
    made = []

    def counted(*args, **more):
        made.append(args)
        return sample_of(*args, **more)

    monkeypatch.setattr("activator.resting.sample_of", counted)
    async with world() as w:
        w.cluster.put(revision(replicas=1, policy=Policy(slots=4, warm_up=WarmUp.NONE)))
        await asyncio.sleep(5)
        assert w.line.phase() is Phase.READY
        made.clear()
        looks = []
        monkeypatch.setattr(w.line, "_release", looks.append)
        await asyncio.sleep(10)
        assert made == []
        assert looks == []


async def test_others_have_their_turn_while_hundreds_of_lines_are_looked_at():
    async with world() as w:
        for number in range(300):
            # For want of a GPU it does not rest.
            w.cluster.put(revision(f"m{number}", replicas=1))
        turns = []

        async def count():
            while True:
                turns.append(w.now)
                await asyncio.sleep(0.001)

        await asyncio.sleep(0.5)
        counting = w.loop.create_task(count())
        looked = w.loop.create_task(w.hall._look())
        await looked
        counting.cancel()
        assert len(turns) > 300 // 64


async def test_a_line_at_rest_is_looked_at_every_few_seconds_and_others_each_second(monkeypatch):
    async with world(gpus=1) as w:
        w.cluster.put(revision(replicas=1, policy=Policy(slots=4, warm_up=WarmUp.NONE)))
        await asyncio.sleep(10)
        looks, look = [], w.line.look

        def counted(now):
            looks.append(now)
            look(now)

        monkeypatch.setattr(w.line, "look", counted)
        await asyncio.sleep(20)
        assert len(looks) == 4
        for _ in range(10):
            # It is over before the next look.
            w.call(service=0.1)
            await asyncio.sleep(1.0)
        assert len(looks) >= 13
        client = w.call(service=30.0)
        looks.clear()
        await asyncio.sleep(10)
        assert client.dispatches
        assert len(looks) >= 9

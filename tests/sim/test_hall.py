"""The hall on virtual time: hold, wake, release in order, give up, drain, remove."""

import asyncio
from dataclasses import replace

import pytest

from activator.core.ledger import State
from activator.core.retries import Denied
from fleet.errors import ConflictError, UnavailableError
from fleet.model import Mode, Phase, Policy, WarmUp
from fleet.reasons import Reason
from tests.fakes.cluster import revision
from tests.sim.loop import VIRTUAL
from tests.sim.world import BROKEN, REFUSED, STALE, ModelUnderTest, world

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


def replicas(w):
    return w.cluster.fleet().of(w.revision)


async def test_a_held_request_wakes_its_model_and_goes_on():
    async with world() as w:
        w.cluster.put(revision())
        client = w.call()
        assert w.line.waiting == 1
        await asyncio.sleep(5)
        assert w.cluster.writes == [(w.revision, 1, Reason.DEMAND)]
        (at, _), *more = client.dispatches
        assert not more
        # 1 s until it listens, 0.5 s until its model answers, 10 ms at most until that is seen.
        assert 1.5 <= at <= 1.52
        assert w.line.cold_starts == 1
        assert w.line.last_cold_start_s == pytest.approx(client.ended_at - 0.05, abs=0.02)
        phases = w.line.cold_start_phases
        assert phases == pytest.approx(
            {"ask": 0, "wait_for_gpu": 0, "load": 1, "probe": 0.5, "first_inference": 0.05},
            abs=0.02,
        )
        assert sum(phases.values()) == pytest.approx(w.line.last_cold_start_s)


async def test_a_thousand_held_requests_are_dispatched_in_order_within_the_slots():
    async with world() as w:
        w.cluster.put(revision())
        clients = [w.call() for _ in range(1000)]
        most = 0
        while any(client.ended_at is None for client in clients):
            await asyncio.sleep(0.01)
            most = max(most, w.line.running)
        assert w.order == clients
        assert most == 4
        # 0.1 s each on 4 slots: a slot is taken again the moment it is free.
        assert w.now < 1.6 + 1000 * 0.1 / 4 + 0.5
        assert w.line.waiting == w.line.running == 0


async def test_the_first_goes_alone_until_its_first_byte():
    async with world() as w:
        w.cluster.put(revision())
        first, second = w.call(service=0.6), w.call()
        await asyncio.sleep(3)
        assert second.dispatches[0][0] == pytest.approx(first.dispatches[0][0] + 0.3, abs=0.01)


async def test_the_others_wait_a_second_at_most_for_a_first_byte():
    async with world() as w:
        w.cluster.put(revision())
        first, second = w.call(service=30), w.call()
        await asyncio.sleep(10)
        assert second.dispatches[0][0] == pytest.approx(first.dispatches[0][0] + 1.0, abs=0.01)


async def test_slots_are_asked_of_the_model_when_auto():
    async with world(server=ModelUnderTest(slots=7)) as w:
        w.cluster.put(revision(policy=Policy()))
        clients = [w.call(service=5) for _ in range(20)]
        await asyncio.sleep(4.5)
        assert w.line.running == 7
        await asyncio.sleep(30)
        assert all(client.ended_at for client in clients)


async def test_a_model_nobody_waits_for_is_warmed_up_before_it_takes_requests():
    async with world() as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(1.6)
        assert w.server.warm_ups == 1
        client = w.call()
        assert not client.dispatches
        await asyncio.sleep(0.5)
        assert client.dispatches


async def test_a_replica_that_nobody_calls_is_idle_since_it_is_ready():
    async with world() as w:
        w.cluster.put(revision(replicas=1))
        assert w.line.sample(w.now).idle_for is None
        await asyncio.sleep(3)
        assert w.line.sample(w.now).idle_for == pytest.approx(1.5, abs=0.05)


async def test_no_warm_up_when_somebody_waits_or_none_is_wanted():
    async with world() as w:
        w.cluster.put(revision())
        w.call()
        await asyncio.sleep(3)
        assert w.server.warm_ups == 0
    async with world() as w:
        w.cluster.put(revision(replicas=1, policy=Policy(slots=4, warm_up=WarmUp.NONE)))
        await asyncio.sleep(3)
        assert w.server.warm_ups == 0
        assert w.call().dispatches


async def test_a_wake_is_carried_through_although_everyone_left():
    async with world() as w:
        w.cluster.put(revision())
        clients = [w.call() for _ in range(200)]
        await asyncio.sleep(0.5)
        for client in clients:
            client.leave()
        assert w.line.waiting == 0
        await asyncio.sleep(3)
        assert w.line.phase() is Phase.READY
        assert not any(client.dispatches for client in clients)
        assert w.call().dispatches


async def test_waiting_ends_at_the_deadline_to_a_tenth_of_a_second():
    async with world(gpus=2, start=1000) as w:
        w.cluster.put(revision(policy=Policy(slots=4, wait_timeout=7.5)))
        clients = []
        for _ in range(20):
            clients.append((w.now, w.call()))
            await asyncio.sleep(0.037)
        await asyncio.sleep(10)
        for arrived, client in clients:
            assert client.reason is Reason.WAIT_TIMEOUT
            assert client.ended_at - arrived == pytest.approx(7.5, abs=0.1)


async def test_all_gpus_busy_is_said_at_the_deadline():
    async with world(gpus=1) as w:
        w.cluster.put(revision("busy", replicas=1))
        w.cluster.put(revision(policy=Policy(slots=4, wait_timeout=5)))
        client = w.call()
        pokes = []
        w.bus.on_poke(pokes.append)
        await asyncio.sleep(6)
        assert client.reason is Reason.NO_FREE_GPU
        assert client.refusal.retry_after is not None
        assert not w.cluster.writes
        assert len(pokes) >= 3, "a lost poke must be repeated"


async def test_a_model_that_needs_more_gpus_than_there_are_is_refused_at_once():
    async with world(gpus=1) as w:
        w.cluster.put(revision(gpus=2))
        client = w.call()
        assert client.reason is Reason.NO_FREE_GPU
        assert client.refusal.retry_after is None


async def test_the_sample_shows_who_waits_when_the_poke_arrives():
    async with world(gpus=1) as w:
        w.cluster.put(revision("busy", replicas=1))
        w.cluster.put(revision())
        seen = []
        w.bus.on_poke(
            lambda name: seen.append(w.bus.samples()["g1"].sample.revisions[name].waiting)
        )
        w.call()
        assert seen == [1]


async def test_a_seat_that_breaks_everything_is_tried_ever_more_slowly():
    async with world() as w:
        w.cluster.put(revision(replicas=1, policy=Policy(slots=4, wait_timeout=30)))
        await asyncio.sleep(3)
        client = w.call(service=100)
        while client.refusal is None:
            if client.ticket.state is State.RUNNING:
                w.line.again(client.ticket, REFUSED)
            await asyncio.sleep(0.001)
        assert client.reason is Reason.WAIT_TIMEOUT
        assert 20 < len(client.dispatches) < 60
        # One answer, and it is trusted again as before.
        good = w.call(service=0.1)
        await asyncio.sleep(3)
        seat = good.dispatches[-1][1]
        assert good.ended_at
        assert seat.doubts == 0


async def test_three_failed_starts_refuse_everyone_then_one_is_tried_after_a_minute():
    async with world(start=1000) as w:
        w.cluster.put(revision())
        early = w.call()
        await asyncio.sleep(0.1)
        for _ in range(3):
            (one,) = replicas(w)
            w.cluster.fail(one.name, message="no such file")
            if early.refusal is None:
                w.cluster.retry(one.name)
        assert early.reason is Reason.START_FAILED
        late = w.call()
        assert late.reason is Reason.START_FAILED
        assert late.refusal.retry_after == pytest.approx(60, abs=1)
        assert w.line.phase() is Phase.FAILED
        assert w.line.last_failure.message == "no such file"
        # What the autoscaler does then:
        await w.cluster.scale(
            w.revision, 0, expect=w.line.revision.version, reason=Reason.START_FAILED
        )
        await asyncio.sleep(61)
        once_more = w.call()
        await asyncio.sleep(0.1)
        assert once_more.refusal is None
        (one,) = replicas(w)
        w.cluster.fail(one.name)
        assert once_more.reason is Reason.START_FAILED
        # A mended manifest clears it at once.
        w.cluster.put(replace(w.cluster.fleet().revisions[w.revision], template="t2"))
        assert w.call().refusal is None


async def test_a_start_that_takes_too_long_is_a_failed_one():
    async with world(server=ModelUnderTest(load=1000)) as w:
        w.cluster.put(revision(policy=Policy(slots=4, start_timeout=20)))
        client = w.call()
        await asyncio.sleep(19)
        assert client.refusal is None
        await asyncio.sleep(3)
        assert client.reason is Reason.START_FAILED


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.ADVISE])
async def test_where_nothing_may_be_woken_a_request_is_refused_at_once(mode):
    async with world() as w:
        w.cluster.put(revision(policy=Policy(slots=4, mode=mode)))
        client = w.call()
        assert client.reason is Reason.ASLEEP
        assert client.refusal.retry_after is None
        await asyncio.sleep(3)
        assert not w.cluster.writes


async def test_a_request_present_at_two_crashes_is_not_sent_a_third_time():
    async with world() as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        poison = w.call(service=100)
        innocent = w.call(service=100)
        assert poison.dispatches
        (old,) = replicas(w)
        assert w.line.again(poison.ticket, BROKEN)
        assert w.line.again(innocent.ticket, BROKEN)
        w.cluster.fail(old.name)
        w.cluster.retry(old.name)
        await asyncio.sleep(5)
        assert [len(poison.dispatches), len(innocent.dispatches)] == [2, 2]
        assert w.order[-2:] == [poison, innocent]
        assert not w.line.again(poison.ticket, BROKEN)
        poison.leave()
        assert w.line.waiting == 0


async def test_what_breaks_twice_on_one_replica_counts_once_among_those_sent_again():
    async with world() as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        running = [w.call(service=100) for _ in range(4)]
        for client in running:
            assert w.line.again(client.ticket, STALE)
        for client in running:
            assert w.line.again(client.ticket, BROKEN)
        await asyncio.sleep(1)
        assert [len(client.dispatches) for client in running] == [2] * 4
        # Its four slots' worth is spent; another replica is another time.
        assert not w.line.again(running[0].ticket, STALE)
        assert running[0].ticket.denied is Denied.BUDGET


async def test_one_whose_replica_broke_late_waits_anew():
    async with world() as w:
        w.cluster.put(revision(replicas=1, policy=Policy(slots=4, wait_timeout=5)))
        await asyncio.sleep(3)
        client = w.call(service=100)
        await asyncio.sleep(20)
        (old,) = replicas(w)
        assert w.line.again(client.ticket, BROKEN)
        w.cluster.fail(old.name)
        w.cluster.retry(old.name)
        await asyncio.sleep(3)
        assert len(client.dispatches) == 2, "the time it ran was taken for time it waited"
        # 1 s until it listens, 0.5 s until its model answers.
        assert client.ticket.waited == pytest.approx(1.5, abs=0.05)


async def test_the_first_request_may_break_while_its_seat_is_being_opened():
    async with world() as w:
        w.cluster.put(revision(policy=Policy()))
        client = w.call(service=0.5)
        while not client.dispatches:
            await asyncio.sleep(0.001)
        # The slots are still being asked for: the probe of this seat is not over.
        assert w.line.again(client.ticket, REFUSED)
        await asyncio.sleep(2)
        assert len(client.dispatches) == 2
        assert w.call().dispatches, "the seat stayed in doubt"


async def test_a_doubtful_seat_takes_nothing_until_its_model_answers():
    async with world() as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        client = w.call(service=100)
        seat = client.dispatches[0][1]
        w.server.dead.add(seat.host)
        assert w.line.again(client.ticket, REFUSED)
        await asyncio.sleep(1)
        assert len(client.dispatches) == 1
        w.server.dead.clear()
        await asyncio.sleep(0.1)
        assert len(client.dispatches) == 2
        assert client.ticket.crashes == 0


async def test_a_failing_second_replica_does_not_refuse_those_the_first_serves():
    async with world(start=1000) as w:
        w.cluster.put(revision(replicas=1))
        w.cluster.open(replicas(w)[0].name)
        await asyncio.sleep(3)
        clients = [w.call(service=50) for _ in range(6)]
        await w.cluster.scale(w.revision, 2, expect=w.line.revision.version, reason=Reason.PANIC)
        for _ in range(3):
            _, second = replicas(w)
            w.cluster.fail(second.name)
            w.cluster.retry(second.name)
        assert w.line.last_failure is not None
        assert all(client.refusal is None for client in clients)


async def test_the_queue_limit_counts_requests_and_bytes():
    async with world(start=1000) as w:
        w.cluster.put(revision(policy=Policy(slots=4, queue_limit=2, queue_limit_bytes=100)))
        assert w.call(size=60).refusal is None
        assert w.call(size=60).reason is Reason.QUEUE_BYTES_FULL
        assert w.call(size=10).refusal is None
        full = w.call()
        assert full.reason is Reason.QUEUE_FULL
        assert full.refusal.retry_after >= 1


@pytest.mark.parametrize("error", [ConflictError, UnavailableError])
async def test_a_wake_that_could_not_be_written_is_tried_again(error):
    async with world() as w:
        w.cluster.put(revision())
        w.cluster.broken = error("not now")
        client = w.call()
        await asyncio.sleep(2.5)
        assert not w.cluster.writes
        w.cluster.broken = None
        await asyncio.sleep(4)
        assert client.dispatches


async def test_two_wakes_for_one_gpu_write_once_and_poke_once():
    async with world(gpus=1) as w:
        w.cluster.put(revision())
        w.cluster.put(revision("other"))
        pokes = []
        w.bus.on_poke(pokes.append)
        w.call()
        w.revision = "default/other"
        w.call()
        await asyncio.sleep(2)
        assert [name for name, _, _ in w.cluster.writes] == ["default/demo"]
        assert "default/other" in pokes


async def test_shutting_down_refuses_whoever_still_waits():
    async with world(start=1000) as w:
        w.cluster.put(revision())
        clients = [w.call() for _ in range(3)]
        w.hall.refuse_waiting(Reason.SHUTTING_DOWN)
        assert {client.reason for client in clients} == {Reason.SHUTTING_DOWN}
        assert w.hall.waiting == 0

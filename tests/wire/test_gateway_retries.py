"""What is sent to another replica, under which policy, and what the caller sees of it."""

import asyncio
from dataclasses import replace

import pytest

from activator.core.retries import Denied, Loss
from fleet.model import AllowRule, Drain, Policy, Retry, RuntimeName, WarmUp
from tests.fakes.recorder import answer
from tests.wire.pair import replicas
from tests.wire.scripts import Gate, aborting, writes
from tests.wire.stage import BOTH_LOOPS, infer, model, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

TURNED_AWAY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
PREDICT = (
    b"POST /predict HTTP/1.1\r\nHost: gw\r\nEbbtide-Model: demo\r\nContent-Length: 2\r\n\r\n{}"
)


def policy(retry: Retry = Retry.AUTO, *, slots: int = 4, **changes) -> Policy:
    return Policy(slots=slots, warm_up=WarmUp.NONE, retry=retry, **changes)


def plain(port, retry=Retry.AUTO):
    rule = AllowRule(method="POST", path="/predict")
    return model(port=port, runtime=RuntimeName.PLAIN, allow=(rule,), policy=policy(retry))


async def test_what_one_replica_breaks_another_answers_and_the_caller_sees_that():
    async with replicas(2) as both:
        s = both.stage
        both.recorders[0].script = aborting
        found = await s.call(infer(b"{1}"))
        assert found.status == 200
        assert 'retries;desc="1"' in found.field("server-timing")
        assert [one.requests[-1].body for one in both.recorders] == [b"{1}", b"{1}"]
        tally = s.front.tallies[s.line.revision.name]
        assert (tally.retried, tally.denied) == ({Loss.RESET: 1}, {})
        both.recorders[0].script = writes(answer())
        quiet = await s.call(infer())
        assert "retries" not in quiet.field("server-timing")


async def test_a_refusal_behind_a_retry_tells_of_it():
    async with stage(policy=policy(wait_timeout=0.4)) as s:
        (seat,) = s.line.ledger.seats.values()

        async def breaks(request, writer):
            s.server.dead.add(seat.host)
            writer.transport.abort()

        s.recorder.script = breaks
        found = await s.call(infer())
        assert (found.status, found.field("ebbtide-reason")) == (504, "wait_timeout")
        timing = found.field("server-timing")
        assert timing is not None
        assert timing.endswith(', retries;desc="1"')


async def test_a_draining_replicas_503_is_not_the_answer():
    async with replicas(2) as both:
        s, first = both.stage, both.recorders[0]

        async def drains_meanwhile(request, writer):
            found = s.line.revision
            drain = Drain(number=1, replicas=frozenset({both.seat(first).name}))
            s.cluster.put(replace(found, drain=drain, version=str(int(found.version) + 1)))
            writer.write(TURNED_AWAY)

        first.script = drains_meanwhile
        body = b"b" * 500_000
        found = await s.call(infer(body))
        assert (found.status, found.body) == (200, b'{"ok":true}')
        assert both.recorders[1].requests[0].body == body
        assert s.front.tallies[s.line.revision.name].retried == {Loss.DRAINING: 1}
        await s.until(s.idle)
        assert s.hall.running_on(both.seat(first).name) == 0


async def test_a_503_of_a_replica_that_is_open_is_the_answer():
    async with replicas(2) as both:
        both.recorders[0].script = writes(TURNED_AWAY)
        found = await both.stage.call(infer())
        assert (found.status, found.body) == (503, b"busy")
        assert both.counts == [1, 0]


async def test_a_draining_replicas_503_is_the_answer_when_it_may_not_be_sent_again():
    async with stage(lambda port: model(port=port, policy=policy(Retry.CONNECT))) as s:

        async def drains_meanwhile(request, writer):
            found = s.line.revision
            drain = Drain(number=1, replicas=frozenset(s.line.ledger.seats))
            s.cluster.put(replace(found, drain=drain, version=str(int(found.version) + 1)))
            writer.write(TURNED_AWAY)

        s.recorder.script = drains_meanwhile
        found = await s.call(infer())
        assert (found.status, found.body) == (503, b"busy")
        await s.until(s.idle)


BROKEN = [
    (Retry.NEVER, RuntimeName.TRITON, Denied.POLICY),
    (Retry.CONNECT, RuntimeName.TRITON, Denied.POLICY),
    (Retry.REPLICA, RuntimeName.PLAIN, None),
    (Retry.AUTO, RuntimeName.PLAIN, Denied.POLICY),
    (Retry.AUTO, RuntimeName.TRITON, None),
]


@pytest.mark.parametrize(("retry", "runtime", "denied"), BROKEN)
async def test_the_policy_says_whether_what_was_sent_goes_out_again(retry, runtime, denied):
    def make(port):
        if runtime is RuntimeName.PLAIN:
            return plain(port, retry)
        return model(port=port, policy=policy(retry))

    async with replicas(2, make) as both:
        s = both.stage
        both.recorders[0].script = aborting
        found = await s.call(PREDICT if runtime is RuntimeName.PLAIN else infer())
        assert found.status == (200 if denied is None else 502)
        assert both.counts == [1, int(denied is None)]
        tally = s.front.tallies[s.line.revision.name]
        assert tally.denied == ({} if denied is None else {denied: 1})
        await s.until(s.idle)


async def test_never_means_not_even_what_was_not_sent():
    async with stage(lambda port: model(port=port, policy=policy(Retry.NEVER))) as s:
        await s.recorder.stop()
        s.server.dead.add("127.1.0.1")
        found = await s.call(infer())
        assert (found.status, found.field("ebbtide-reason")) == (502, "replica_lost")
        await s.until(s.idle)


async def test_once_a_replicas_slots_were_spent_nothing_more_is_sent_again():
    async with replicas(2, lambda port: model(port=port, policy=policy(slots=2))) as both:
        s, (first, second) = both.stage, both.recorders
        statuses = []
        for _ in range(3):
            await s.until(lambda: all(seat.open for seat in both.seats))
            first.script = aborting
            statuses.append(await s.call(infer()))
        assert [one.status for one in statuses] == [200, 200, 502]
        last = statuses[-1]
        assert last.field("ebbtide-reason") == "replica_lost"
        assert last.field("retry-after") == "1"
        assert b"too many requests were sent again" in last.body
        assert s.front.tallies[s.line.revision.name].denied == {Denied.BUDGET: 1}
        assert len(second.requests) == 2
        await s.until(s.idle)


async def test_all_that_run_on_a_replica_that_dies_are_sent_again_whatever_connection_they_had():
    gate = Gate()
    async with replicas(2, lambda port: model(port=port, policy=policy(slots=2))) as both:
        s, (first, second) = both.stage, both.recorders
        # One connection carried an answer before: that it breaks may only mean that it was closed
        # while it was idle.
        both.seat(second).turn(draining=True)
        await s.call(infer())
        first.script = gate
        broken = [asyncio.ensure_future(s.call(infer(b"{%d}" % number))) for number in range(2)]
        await first.seen(3)
        s.server.dead.add(first.host)
        both.seat(second).turn(draining=False)
        await first.stop()
        assert [(await one).status for one in broken] == [200, 200]
        assert sorted(one.body for one in second.requests) == [b"{0}", b"{1}"]
        tally = s.front.tallies[s.line.revision.name]
        assert (tally.retried, tally.denied) == ({Loss.STALE: 1, Loss.RESET: 2}, {})
        await s.until(s.idle)


async def test_a_request_that_finds_all_connections_stale_is_sent_twice_at_most_there():
    async with replicas(2) as both:
        s = both.stage
        for recorder in both.recorders:
            recorder.script = writes(answer())
        await asyncio.gather(*(s.call(infer()) for _ in range(4)))
        for recorder in both.recorders:
            recorder.requests.clear()
            recorder.script = aborting
        found = await s.call(infer())
        assert (found.status, found.field("ebbtide-reason")) == (502, "replica_lost")
        assert sum(both.counts) <= 4
        await s.until(s.idle)


@pytest.mark.parametrize(("method", "status"), [(b"GET", 200), (b"DELETE", 200), (b"POST", 502)])
async def test_on_a_stale_connection_only_what_may_run_twice_is_sent_again_to_a_plain_server(
    method, status
):
    rule = AllowRule(method="*", path="/predict")
    async with stage(
        lambda port: model(
            port=port, runtime=RuntimeName.PLAIN, allow=(rule,), policy=policy(Retry.CONNECT)
        )
    ) as s:
        request = PREDICT.replace(b"POST", method)
        assert (await s.call(request)).status == 200
        tries = []

        async def stale(request, writer):
            tries.append(request.raw)
            await (aborting if len(tries) == 1 else writes(answer()))(request, writer)

        s.recorder.script = stale
        assert (await s.call(request)).status == status
        assert len(tries) == (2 if status == 200 else 1)
        assert len(set(tries)) == 1


async def test_a_replica_whose_answers_fail_is_left_out_and_counted():
    async with replicas(2) as both:
        s, (first, second) = both.stage, both.recorders
        first.script = writes(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
        statuses = [(await s.call(infer())).status for _ in range(5)]
        assert statuses == [500] * 5
        assert not both.seat(first).open
        # Also when both are free the one that is left gets them.
        assert [(await s.call(infer())).status for _ in range(5)] == [200] * 5
        assert len(second.requests) == 5
        assert s.front.tallies[s.line.revision.name].put_out == 1


async def test_one_good_answer_clears_the_failures():
    async with replicas(2) as both:
        s, first = both.stage, both.recorders[0]
        bad = writes(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
        for script in (bad, bad, bad, bad, writes(answer()), bad, bad, bad, bad):
            first.script = script
            await s.call(infer())
        assert both.seat(first).open
        assert both.counts == [9, 0]


HUNG = Policy(slots=4, warm_up=WarmUp.NONE, request_timeout=0.05)


async def test_a_replica_that_never_answers_and_one_that_answers_nonsense_are_left_out():
    for script in (Gate(), writes(b"garbage\r\n\r\n")):
        async with replicas(2, lambda port: model(port=port, policy=HUNG)) as both:
            s, first = both.stage, both.recorders[0]
            first.script = script
            found = await asyncio.gather(*(s.call(infer()) for _ in range(3)))
            found += await asyncio.gather(*(s.call(infer()) for _ in range(9)))
            assert {one.status for one in found} <= {200, 502, 504}
            await s.until(lambda both=both, first=first: not both.seat(first).open)

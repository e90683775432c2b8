"""Sequences over sockets: the correlation ID is found in the body, and decides the replica."""

import json

import pytest

from activator.core.retries import Denied
from tests.wire.pair import replicas
from tests.wire.scripts import aborting
from tests.wire.stage import BOTH_LOOPS, infer, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


def step(name: object, *, binary: bytes = b"", chunked: bool = False, **parameters) -> bytes:
    text = json.dumps({"inputs": [], "parameters": {"sequence_id": name, **parameters}}).encode()
    extra = b"Inference-Header-Content-Length: %d\r\n" % len(text) if binary else b""
    if not chunked:
        return infer(text + binary, extra=extra)
    head = (
        b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: gw\r\n%bTransfer-Encoding: chunked\r\n\r\n"
    )
    body = text + binary
    return head % extra + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def knows_sequences(s) -> None:
    s.line.ledger.serve_sequences(60.0)
    s.line.sequential = True


async def test_all_steps_go_to_one_replica_however_the_body_comes():
    async with replicas(3) as three:
        s = three.stage
        knows_sequences(s)
        homes = set()
        for number in range(6):
            name = f"s{number}" if number % 2 else number + 1
            before = three.counts
            tensor = b"\x00\xff" * 300_000
            for request in (
                step(name, sequence_start=True),
                step(name, binary=tensor),
                step(name, binary=tensor, chunked=True),
                step(name, sequence_end=True),
            ):
                assert (await s.call(request)).status == 200
            more = [new - old for old, new in zip(before, three.counts, strict=True)]
            assert sorted(more) == [0, 0, 4]
            homes.add(more.index(4))
            recorder = three.recorders[more.index(4)]
            assert [one.body.endswith(tensor) for one in recorder.requests[-4:]] == [0, 1, 1, 0]
        assert len(homes) > 1
        assert len(s.line.ledger.sequences) == 0


async def test_a_step_is_never_sent_again():
    async with replicas(2) as both:
        s = both.stage
        knows_sequences(s)
        for recorder in both.recorders:
            recorder.script = aborting
        found = await s.call(step(1, sequence_start=True))
        assert (found.status, found.field("ebbtide-reason")) == (502, "replica_lost")
        assert b"a step of a sequence is not sent twice" in found.body
        assert sum(both.counts) == 1
        assert s.front.tallies[s.line.revision.name].denied == {Denied.SEQUENCE: 1}


async def test_a_sequence_whose_replica_is_gone_is_lost_and_says_so():
    async with replicas(2) as both:
        s = both.stage
        knows_sequences(s)
        assert (await s.call(step(1, sequence_start=True))).status == 200
        home = both.counts.index(1)
        s.cluster.fail(both.seat(both.recorders[home]).name)
        found = await s.call(step(1))
        assert (found.status, found.field("ebbtide-reason")) == (409, "sequence_lost")
        assert found.field("retry-after") is None
        assert sum(both.counts) == 1
        assert (await s.call(step(1, sequence_start=True))).status == 200
        assert both.counts[1 - home] == 1


async def test_what_is_no_step_goes_its_way_and_a_body_over_the_limit_is_refused():
    async with stage() as s:
        knows_sequences(s)
        assert (await s.call(infer(b"not json"))).status == 200
        assert (await s.call(infer(b"{}"))).status == 200
        assert len(s.line.ledger.sequences) == 0
        head = b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n"
        found = await s.call(head % 2**29)
        assert (found.status, found.field("ebbtide-reason")) == (413, "body_too_large")
        await s.until(s.idle)


async def test_a_step_that_would_take_long_to_read_is_refused():
    async with stage() as s:
        knows_sequences(s)
        body = b'{"inputs":[' + b"[]," * 2**18 + b"[]]}"
        found = await s.call(infer(body))
        assert (found.status, found.field("ebbtide-reason")) == (413, "body_too_large")
        assert not s.recorder.heads
        assert s.hall.room.held == 0

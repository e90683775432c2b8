"""Calls over HTTP/2: routed, relayed, answered."""

import asyncio

import pytest

from tests.fakes.http2 import PREFACE, SETTINGS, message, settings
from tests.wire.grpcstage import INFER, calls, named
from tests.wire.stage import BOTH_LOOPS, GET

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


async def test_a_call_reaches_the_replica_and_its_answer_the_client() -> None:
    async with calls() as on:
        client = await on.client()
        number = client.call(INFER, extra=[("x-request-id", "7"), ("grpc-timeout", "5S")])
        client.data(number, named("demo", b"\x1a\x02hi"), end=True)
        told = await client.over(number)
        assert told.reset is None
        assert bytes(told.data) == named("demo", b"\x1a\x02hi")
        assert told.head[":status"] == "200"
        assert told.head["server-timing"].startswith("wait;dur=")
        assert told.trailers == {"grpc-status": "0", "grpc-message": ""}
        (seen,) = on.replica.calls
        assert seen.head[":path"] == INFER
        assert seen.head[":authority"] == "gw"
        assert seen.head["x-request-id"] == "7"
        assert seen.head["te"] == "trailers"
        assert seen.head["grpc-timeout"].endswith("u")
        assert 4_000_000 < int(seen.head["grpc-timeout"][:-1]) <= 5_000_000
        await on.idle()
        assert on.stage.front.requests == 0


async def test_a_plain_server_is_called_by_its_name_in_the_metadata() -> None:
    async with calls(plain=True) as on:
        client = await on.client()
        number = client.call("/pkg.Service/Do", extra=[("ebbtide-model", "demo")])
        client.data(number, message(b"any"), end=True)
        told = await client.over(number)
        assert bytes(told.data) == message(b"any")
        assert told.status == "0"
        assert "ebbtide-model" not in on.replica.calls[0].head
        await on.idle()


async def test_a_request_that_is_no_grpc_is_told_to_come_over_http_1() -> None:
    async with calls() as on:
        client = await on.client()
        for verb in ("GET", "HEAD"):
            number = client.begin(
                [(":method", verb), (":scheme", "http"), (":path", "/v2"), (":authority", "gw")],
                end=True,
            )
            told = await client.over(number)
            assert told.head[":status"] == "415"
            assert told.head["ebbtide-reason"] == "not_grpc"
            assert int(told.head["content-length"]) > 0
            assert bool(told.data) is (verb == "GET")
        assert on.stage.front.other.codes == {415: 2}


async def test_the_preface_may_come_in_pieces() -> None:
    async with calls() as on:
        client = await on.stage.client()
        for at in range(len(PREFACE)):
            client.send(PREFACE[at : at + 1])
            await asyncio.sleep(0)
        client.send(settings())
        start = await client.reader.readexactly(9)
        assert (start[3], start[5:]) == (SETTINGS, bytes(4))
        assert on.stage.front.connections == 1
        await client.leave()
        await on.stage.until(lambda: on.stage.front.connections == 0)


async def test_a_preface_behind_a_request_is_no_preface() -> None:
    async with calls() as on:
        client = await on.stage.client()
        client.send(GET % b"/v2")
        assert (await client.answer()).status == 200
        client.send(PREFACE)
        assert (await client.answer()).status == 400
        assert await client.closed()


async def test_http_1_has_no_method_of_that_name() -> None:
    async with calls() as on:
        head = b"GRPC %b HTTP/1.1\r\nHost: gw\r\nEbbtide-Model: demo\r\n\r\n"
        assert (await on.stage.call(head % INFER.encode())).status == 400

"""Requests of gRPC calls that never begin, rest, or drip: they have the time of HTTP bodies."""

import asyncio
from dataclasses import replace

import pytest

from fleet.model import Policy, WarmUp
from fleet.settings import Settings
from tests.fakes.http2 import Peer, message
from tests.wire.grpcstage import INFER, STREAM, Calls, calls, named
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

LATE = "4"
POLICY = Policy(slots=4, warm_up=WarmUp.NONE)
LIVE = "/inference.GRPCInferenceService/ServerLive"


async def test_a_request_that_never_begins_or_names_no_model_is_given_up() -> None:
    limits = Settings(body_timeout=0.2, header_timeout=0.2, http_keepalive=0.2)
    async with calls(settings=limits, policy=POLICY) as on:
        client = await on.client()
        none, live, stream = client.call(INFER), client.call(LIVE), client.call(STREAM)
        half = client.call(INFER)
        client.data(half, named("demo")[:4])
        for number in (none, live, half):
            told = await client.over(number)
            assert (told.status, told.head["ebbtide-reason"]) == (LATE, "body_timeout")
        # A stream may begin when it likes.
        assert not client.told[stream].over
        client.data(stream, named("demo"), end=True)
        assert (await client.over(stream)).status == "0"
        await on.idle()


async def drip(client: Peer, number: int, data: bytes) -> None:
    for at in range(len(data)):
        client.data(number, data[at : at + 1])
        await asyncio.sleep(0.02)
        if client.told[number].over:
            return


@pytest.mark.parametrize("start", [4, 20], ids=["before its name", "behind it"])
async def test_a_request_that_drips_is_given_up(start: int) -> None:
    limits = Settings(body_timeout=0.3, body_min_rate=100_000)
    async with calls(settings=limits, policy=POLICY) as on:
        graceless(on)
        client = await on.client()
        number = client.call(INFER)
        # A field that nobody knows stands before the name.
        whole = message(b"\x7a\x64" + bytes(100) + named("demo")[5:] + b"\x3a\x7f" + bytes(127))
        client.data(number, whole[: start if start < 9 else 120])
        await drip(client, number, whole[start:100])
        told = await client.over(number)
        assert (told.status, told.head["ebbtide-reason"]) == (LATE, "body_too_slow")
        assert len(on.replica.calls) == (start > 9)
        await on.idle()


def graceless(on: Calls) -> None:
    context = on.stage.front._context
    context.limits = replace(context.limits, body_grace=0.1)


async def test_a_held_call_may_rest_and_a_health_check_of_two_parts_is_answered() -> None:
    limits = Settings(body_timeout=0.2, http_keepalive=0.2)
    async with calls(settings=limits, policy=POLICY, awake=False, start=0.7) as on:
        client = await on.client()
        number, live = client.call(INFER), client.call(LIVE)
        whole = named("demo", b"\x3a\x50" + bytes(80))
        client.data(number, whole[:-1])
        client.data(live, message(b"")[:2])
        client.data(live, message(b"")[2:], end=True)
        assert (await client.over(live)).status == "0"
        await on.waiting(1)
        # For longer than a body may pause: nobody would take it.
        await on.running(1)
        client.data(number, whole[-1:], end=True)
        assert (await client.over(number)).status == "0"
        await on.idle()

"""The access log of calls: a line for each, however it ends."""

import logging

import pytest

from fleet.model import Policy, WarmUp
from fleet.settings import Settings
from tests.fakes.http2 import Peer, Told, echo
from tests.wire.grpcstage import INFER, READY, calls, named
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

LOGGED = Settings(access_log=True)
ONE = Policy(slots=1, warm_up=WarmUp.NONE)


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="ebbtide.gateway.grpc.noting")
    logging.getLogger("ebbtide").propagate = True

    def found() -> list[dict[str, str]]:
        messages = [r.getMessage() for r in caplog.records if r.name.endswith("grpc.noting")]
        return [dict(pair.split("=", 1) for pair in m.split(" ")[1:]) for m in messages]

    return found


def infer(client: Peer, model: str = "demo", **extra: str) -> int:
    fields = [(key.replace("_", "-"), value) for key, value in extra.items()]
    number = client.call(INFER, extra=fields)
    client.data(number, named(model), end=True)
    return number


async def silent(peer: Peer, told: Told) -> None:
    """Never answers."""


async def test_each_call_has_its_line(lines) -> None:
    async with calls(settings=LOGGED) as on:
        client = await on.client()
        for _ in range(2):
            assert (await client.over(infer(client))).status == "0"
        assert (await client.over(infer(client, "none"))).status == "5"
        number = client.call(READY)
        client.data(number, named("demo"), end=True)
        assert (await client.over(number)).status == "0"
        assert (await client.over(client.call("/a.B/C", end=True))).status == "5"
        number = client.begin(
            [(":method", "GET"), (":scheme", "http"), (":path", "/v2"), (":authority", "gw")],
            end=True,
        )
        assert (await client.over(number)).head[":status"] == "415"
        told = [(one["model"], one["status"], one["reason"], one["bytes"]) for one in lines()]
        size = str(len(named("demo")))
        assert told[:4] == [
            ("demo", "200", '""', size),
            ("demo", "200", '""', size),
            ('""', "404", "unknown_model", "0"),
            ("demo", "200", '""', size),
        ]
        assert told[4][:3] == ('""', "404", "no_model")
        assert told[5][:3] == ('""', "415", "not_grpc")
        assert len(told) == 6
        assert all(float(one["wait"]) >= 0 and float(one["upstream"]) >= 0 for one in lines())


async def test_by_default_there_is_none(lines) -> None:
    async with calls() as on:
        client = await on.client()
        assert (await client.over(infer(client))).status == "0"
        assert lines() == []


@pytest.mark.parametrize("cancels", [True, None])
@pytest.mark.parametrize("how", ["left", "late"])
async def test_who_leaves_and_who_is_late_has_one(lines, how, cancels) -> None:
    async with calls(silent, settings=LOGGED, policy=ONE, cancels=cancels) as on:
        client = await on.client()
        number = infer(client, **({"grpc_timeout": "200m"} if how == "late" else {}))
        await on.replica.seen(1)
        if how == "left":
            client.reset(number)
        else:
            assert (await client.over(number)).status == "4"
        await on.stage.until(lambda: len(lines()) == 1)
        (line,) = lines()
        told = (line["model"], line["status"], line["reason"], line["bytes"])
        if how == "left":
            assert told == ("demo", "499", "client_left", "0")
        else:
            assert told == ("demo", "504", "request_timeout", "0")
            assert float(line["upstream"]) > 0.1
        on.replica.peers[0].abort()
        await on.idle()
        assert len(lines()) == 1


async def test_a_call_that_is_sent_again_has_one(lines) -> None:
    async def dies_once(peer: Peer, told: Told) -> None:
        if len(on.replica.peers) == 1:
            peer.abort()
        else:
            await echo(peer, told)

    async with calls(dies_once, settings=LOGGED, policy=ONE) as on:
        client = await on.client()
        assert (await client.over(infer(client))).status == "0"
        assert [(one["status"], one["reason"]) for one in lines()] == [("200", '""')]

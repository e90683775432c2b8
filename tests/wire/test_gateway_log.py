"""The access log: a line per request, however it ends."""

import asyncio
import logging
from dataclasses import replace

import pytest

from fleet.model import AllowRule, RuntimeName
from fleet.settings import Settings
from tests.fakes.recorder import answer
from tests.wire.scripts import Gate, aborting, writes
from tests.wire.secured import Authority
from tests.wire.stage import BOTH_LOOPS, ONE, infer, model, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

LOGGED = Settings(access_log=True)


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="ebbtide.gateway.http.noting")
    logging.getLogger("ebbtide").propagate = True

    def found() -> list[dict[str, str]]:
        messages = [r.getMessage() for r in caplog.records if r.name.endswith("noting")]
        return [dict(pair.split("=", 1) for pair in m.split(" ")[1:]) for m in messages]

    return found


async def test_each_request_has_its_line(lines):
    async with stage(settings=LOGGED) as s:
        client = await s.client()
        for _ in range(2):
            client.send(infer())
            assert (await client.answer()).status == 200
        client.send(infer(path=b"/v2/models/none/infer"))
        assert (await client.answer()).status == 404
        client.send(b"GET /v2 HTTP/1.1\r\nHost: gw\r\n\r\n")
        assert (await client.answer()).status == 200
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert (await client.answer()).status == 400
        await s.until(lambda: not s.front.connections or len(lines()) == 5)
        told = [(one["model"], one["status"], one["reason"], one["bytes"]) for one in lines()]
        assert told[:2] == [("demo", "200", '""', "11")] * 2
        assert told[2][:3] == ('""', "404", "unknown_model")
        assert told[3][:3] == ('""', "200", '""')
        assert told[4][:3] == ('""', "400", "malformed")
        assert all(float(one["wait"]) >= 0 and float(one["upstream"]) >= 0 for one in lines())


async def test_by_default_there_is_none(lines):
    async with stage() as s:
        assert (await s.call(infer())).status == 200
        assert lines() == []


@pytest.mark.parametrize("when", ["held", "running", "receiving"])
async def test_a_client_that_leaves_has_one(lines, when):
    async def half(request, writer):
        writer.write(answer(b"x" * 1000)[:-500])

    held = when == "held"
    async with stage(settings=LOGGED, awake=not held, start=60.0 if held else 0.01) as s:
        s.recorder.script = half if when == "receiving" else Gate()
        client = await s.client()
        client.send(infer())
        if held:
            await s.until(lambda: s.line.waiting == 1)
        elif when == "running":
            await s.recorder.seen(1)
        else:
            await client.head()
        client.abort()
        await s.until(lambda: not s.front.connections)
        (line,) = lines()
        assert (line["model"], line["reason"]) == ("demo", "client_left")
        assert line["status"] == ("200" if when == "receiving" else "499")


async def test_a_replica_that_breaks_in_its_answer_has_one(lines):
    async def half(request, writer):
        writer.write(answer(b"x" * 1000)[:-500])
        await writer.drain()
        await asyncio.sleep(0.02)
        await aborting(request, writer)

    async with stage(settings=LOGGED) as s:
        s.recorder.script = half
        client = await s.client()
        client.send(infer())
        await client.head()
        await s.until(lambda: not s.front.connections)
        (line,) = lines()
        assert (line["status"], line["reason"]) == ("200", "replica_lost")


async def test_a_tunnel_has_one_at_its_end(lines):
    def plain(port):
        rules = (AllowRule(method="*", path="*"),)
        return model(port=port, runtime=RuntimeName.PLAIN, allow=rules, policy=ONE)

    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    async with stage(plain, settings=LOGGED) as s:
        gate = asyncio.Event()

        async def script(request, writer):
            await writes(head)(request, writer)
            await gate.wait()
            writer.close()

        s.recorder.script = script
        client = await s.client()
        client.send(infer(b"", b"Connection: Upgrade\r\nUpgrade: x\r\n", b"/models/demo/x"))
        assert (await client.head())[0] == 101
        assert lines() == []
        gate.set()
        assert await client.closed()
        await s.until(s.idle)
        (line,) = lines()
        assert (line["model"], line["status"], line["reason"]) == ("demo", "101", '""')


async def test_one_that_was_kept_alive_by_heartbeats_tells_its_times_and_bytes_too(lines):
    policy = replace(ONE, heartbeat=0.1)
    async with stage(settings=LOGGED, awake=False, start=0.35, policy=policy) as s:
        s.recorder.script = writes(
            answer(b"data: 1\n\n").replace(b"application/json", b"text/event-stream")
        )
        client = await s.client()
        client.send(infer(extra=b"Accept: text/event-stream\r\n"))
        assert (await client.head())[0] == 200
        body = await client.chunked()
        await s.until(lambda: len(lines()) == 1)
        (line,) = lines()
        assert (line["status"], line["bytes"]) == ("200", str(len(body)))
        assert 0.1 < float(line["wait"]) < 30


async def test_over_tls_each_request_has_its_line(lines, tmp_path):
    authority = Authority(tmp_path)
    settings = replace(authority.settings(), access_log=True)
    async with stage(settings=settings, tls=authority.client()) as s:
        client = await s.client()
        client.send(infer())
        assert (await client.answer()).status == 200
        gate = s.recorder.script = Gate()
        client.send(infer())
        await s.recorder.seen(2)
        client.abort()
        await s.until(lambda: not s.front.connections)
        gate.open.set()
        await s.until(s.idle)
        told = [(one["model"], one["status"], one["reason"]) for one in lines()]
        assert told == [("demo", "200", '""'), ("demo", "499", "client_left")]

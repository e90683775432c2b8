"""HTTP/1.1 through the front, byte for byte: on plain asyncio and on uvloop."""

import asyncio

import pytest

from fleet.model import AllowRule, RuntimeName
from tests.fakes.recorder import answer
from tests.wire.scripts import writes
from tests.wire.stage import BOTH_LOOPS, GET, ONE, infer, model, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


@pytest.mark.parametrize(
    "name",
    [
        *(b"X-HTTP-Method-Override", b"x-http-method", b"X-Method-Override"),
        *(b"X-Original-URL", b"x-rewrite-url", b"X-Original-URI"),
    ],
)
async def test_what_was_decided_on_is_not_overridden_further_on(name):
    async with stage() as s:
        assert (await s.call(infer(extra=b"%b: /v2/repository/index\r\n" % name))).status == 200
        assert name.lower() not in s.recorder.requests[0].raw.lower()


async def test_an_offer_of_http_2_is_passed_over():
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    async with stage() as s:
        client = await s.client()
        for body in (b"one", b"another"):
            client.send(infer(body, offer))
            assert (await client.answer()).status == 200
        assert [one.body for one in s.recorder.requests] == [b"one", b"another"]
        assert not any(b"pgrade" in one.raw or b"HTTP2" in one.raw for one in s.recorder.requests)


async def test_a_warm_request_is_relayed_both_ways():
    async with stage() as s:
        found = await s.call(infer(b'{"x":1}', b"X-Mine: 1\r\nConnection: x-hop\r\nX-Hop: 2\r\n"))
        assert (found.status, found.body) == (200, b'{"ok":true}')
        assert found.field("server-timing").startswith("wait;dur=")
        assert "cold" not in found.field("server-timing")
        (request,) = s.recorder.requests
        assert request.raw == (
            b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: 127.1.0.1:%d\r\nX-Mine: 1\r\n"
            b'Via: 1.1 ebbtide\r\nContent-Length: 7\r\n\r\n{"x":1}' % s.recorder.port
        )
        await s.until(s.idle)


async def test_connections_are_kept_and_used_again_on_both_sides():
    async with stage() as s:
        client = await s.client()
        for _ in range(20):
            client.send(infer())
            assert (await client.answer()).status == 200
        assert s.recorder.connections == 1
        assert s.front.connections == 1


async def test_pipelined_requests_are_answered_in_order():
    async with stage() as s:

        async def echo(request, writer):
            await asyncio.sleep(0.02 if request.body == b"0" else 0)
            writer.write(answer(request.body))

        s.recorder.script = echo
        client = await s.client()
        client.send(infer(b"0") + GET % b"/v2" + infer(b"1") + GET % b"/nope" + infer(b"2"))
        bodies = [await client.answer() for _ in range(5)]
        assert [one.status for one in bodies] == [200, 200, 200, 404, 200]
        assert [bodies[n].body for n in (0, 2, 4)] == [b"0", b"1", b"2"]


async def test_pipelining_behind_a_chunked_body():
    async with stage() as s:
        client = await s.client()
        head = (
            b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        client.send((head + b"2\r\nab\r\n0\r\n\r\n") * 3 + infer(b"last"))
        for _ in range(4):
            assert (await client.answer()).status == 200
        assert [one.body for one in s.recorder.requests] == [b"ab", b"ab", b"ab", b"last"]


async def test_a_chunked_request_is_framed_anew():
    async with stage() as s:
        client = await s.client()
        client.send(
            b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: Chunked\r\n\r\n"
            b"5;ext=1\r\nhello\r\n"
        )
        await s.recorder.heads_seen(1)
        client.send(b"3\r\nyou\r\n0\r\nX-Trailer: 1\r\n\r\n")
        assert (await client.answer()).status == 200
        (request,) = s.recorder.requests
        assert request.body == b"helloyou"
        assert b"ext" not in request.raw
        assert request.raw.endswith(b"\r\n0\r\n\r\n"), (
            "Triton never answers a request with trailers"
        )
        assert request.field("transfer-encoding") == "chunked"


async def test_a_chunked_answer_is_streamed_as_it_comes():
    async with stage() as s:
        go = asyncio.Event()

        async def stream(request, writer):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"6\r\ndata:1\r\n")
            await go.wait()
            writer.write(b"6;x\r\ndata:2\r\n0\r\nX-T: 1\r\n\r\n")

        s.recorder.script = stream
        client = await s.client()
        client.send(infer(path=b"/v2/models/demo/generate_stream"))
        status, fields = await client.head()
        assert status == 200
        assert ("Transfer-Encoding", "chunked") in fields
        assert await client.chunk() == b"data:1"
        go.set()
        assert await client.chunked() == b"data:2"
        assert client.trailers == b"X-T: 1\r\n"
        client.send(infer())
        assert (await client.answer()).body == b"data:1data:2"
        assert s.recorder.connections == 1


async def test_the_head_of_an_answer_does_not_wait_for_its_body():
    async with stage() as s:
        go = asyncio.Event()

        async def slow(request, writer):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            await go.wait()
            writer.write(b"ok")

        s.recorder.script = slow
        client = await s.client()
        client.send(infer())
        assert (await client.head())[0] == 200
        go.set()
        assert await client.reader.readexactly(2) == b"ok"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize(("told", "connections"), [(b"", 1), (b"Content-Length: 5\r\n", 2)])
async def test_answers_without_a_body(status, told, connections):
    async with stage() as s:
        s.recorder.script = writes(b"HTTP/1.1 %b\r\n%b\r\n" % (status.encode(), told))
        client = await s.client()
        for _ in range(2):
            client.send(infer())
            assert (await client.answer()).status == int(status[:3])
        assert s.recorder.connections == connections


async def test_interim_answers():
    async with stage() as s:
        s.recorder.script = writes(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer()
        )
        assert (await s.call(infer())).interim == (103,)
        found = await s.call(b"POST /v2/models/demo/infer HTTP/1.0\r\nContent-Length: 0\r\n\r\n")
        assert (found.status, found.interim) == (200, ())


async def test_expect_is_answered_when_the_body_is_wanted_and_goes_no_further():
    async with stage() as s:
        client = await s.client()
        client.send(
            b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\n"
            b"Content-Length: 2\r\n\r\n"
        )
        assert (await client.head())[0] == 100
        client.send(b"{}")
        assert (await client.answer()).status == 200
        assert "Expect" not in s.recorder.heads[0]


async def test_expect_of_a_refused_request_is_answered_with_the_refusal():
    async with stage() as s:
        client = await s.client()
        client.send(
            b"POST /v2/models/nope/infer HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\n"
            b"Content-Length: 2\r\n\r\n"
        )
        found = await client.answer()
        assert (found.status, found.interim) == (404, ())
        assert found.field("connection") == "close"
        assert await client.closed()


async def test_http_1_0():
    async with stage() as s:
        old = b"POST /v2/models/demo/infer HTTP/1.0\r\nContent-Length: 2\r\n%b\r\n{}"
        client = await s.client()
        client.send(old % b"Connection: keep-alive\r\n")
        assert (await client.answer()).field("connection") == "keep-alive"
        client.send(old % b"")
        found = await client.answer()
        assert found.field("connection") == "close"
        assert await client.closed()
        s.recorder.script = writes(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
        )
        found = await s.call(old % b"Connection: keep-alive\r\n")
        assert found.body == b"ab"
        assert found.field("transfer-encoding") is None


async def test_an_answer_that_ends_with_its_connection():
    async with stage() as s:

        async def until_close(request, writer):
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
            writer.close()

        s.recorder.script = until_close
        client = await s.client()
        for number in range(2):
            client.send(infer())
            assert (await client.answer()).body == b"all of it"
            assert s.recorder.connections == number + 1


async def test_head():
    def plain(port):
        return model(
            "page",
            port=port,
            runtime=RuntimeName.PLAIN,
            allow=(AllowRule(method="HEAD", path="*"),),
        )

    async with stage(plain) as s:
        s.recorder.script = writes(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
        client = await s.client()
        for _ in range(2):
            client.send(b"HEAD /x HTTP/1.1\r\nHost: gw\r\nEbbtide-Model: page\r\n\r\n")
            found = await client.answer(method="HEAD")
            assert (found.status, found.field("content-length")) == (200, "500")
        client.send(b"HEAD /v2 HTTP/1.1\r\nHost: gw\r\n\r\n")
        assert int((await client.answer(method="HEAD")).field("content-length")) > 0
        client.send(b"HEAD /nope HTTP/1.1\r\nHost: gw\r\n\r\n")
        assert (await client.answer(method="HEAD")).status == 404


@pytest.mark.parametrize(
    ("method", "head"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 40\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
)
async def test_a_body_behind_an_answer_that_has_none_is_nobodys_answer(method, head):
    def plain(port):
        allow = (AllowRule(method="*", path="*"),)
        return model("page", port=port, runtime=RuntimeName.PLAIN, allow=allow, policy=ONE)

    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"

    async def script(request, writer):
        if request.target == "/bad":
            writer.write(head)
            await gate.wait()
            writer.write(forged)
        else:
            gate.set()
            # The forged answer, where it can come, comes before the one that is due.
            await asyncio.sleep(0.02)
            writer.write(answer(b"due"))

    gate = asyncio.Event()
    request = b"%b %b HTTP/1.1\r\nHost: gw\r\nEbbtide-Model: page\r\n\r\n"
    async with stage(plain) as s:
        s.recorder.script = script
        attacker, victim = await s.client(), await s.client()
        attacker.send(request % (method, b"/bad"))
        await attacker.answer(method=method.decode())
        victim.send(request % (b"GET", b"/good"))
        assert (await victim.answer()).body == b"due"


async def test_an_answer_that_comes_before_the_request_ends():
    async with stage() as s:

        async def early(head, writer):
            writer.write(answer(b"no", status="413 Too Large"))
            return False

        s.recorder.early = early
        client = await s.client()
        client.send(
            b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: gw\r\nContent-Length: 1000000\r\n\r\nx"
        )
        found = await client.answer()
        assert (found.status, found.body) == (413, b"no")
        assert found.field("connection") == "close"
        assert await client.closed()
        await s.until(s.idle)

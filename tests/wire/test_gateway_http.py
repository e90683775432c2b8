"""HTTP/1.1 through the front, byte for byte: on plain asyncio and on uvloop."""

import asyncio
import json
from dataclasses import replace

import pytest

from fleet.model import AllowRule, Mode, Policy, RuntimeName, Served, WarmUp
from fleet.names import ModelName
from fleet.settings import Settings
from tests.fakes.recorder import answer
from tests.wire.stage import LOOPS, infer, model, stage

pytestmark = pytest.mark.anyio

GET = b"GET %b HTTP/1.1\r\nHost: gw\r\n\r\n"
POST = b"POST %b HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n%b"


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return request.param


def writes(data: bytes):
    async def script(request, writer):
        writer.write(data)

    return script


async def test_a_warm_request_is_relayed_both_ways():
    async with stage() as s:
        found = await s.call(infer(b'{"x":1}', b"X-Mine: 1\r\nConnection: x-hop\r\nX-Hop: 2\r\n"))
        assert (found.status, found.body) == (200, b'{"ok":true}')
        assert found.field("server-timing").startswith("wait;dur=")
        assert "cold" not in found.field("server-timing")
        (request,) = s.recorder.requests
        assert request.raw == (
            b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: 127.1.0.1:%d\r\nX-Mine: 1\r\n"
            b'Content-Length: 7\r\n\r\n{"x":1}' % s.recorder.port
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
        assert b"Trailer" not in request.raw
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
async def test_answers_without_a_body(status):
    async with stage() as s:
        s.recorder.script = writes(f"HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n".encode())
        client = await s.client()
        for _ in range(2):
            client.send(infer())
            assert (await client.answer()).status == int(status[:3])
        assert s.recorder.connections == 1


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
        assert s.recorder.connections == 1


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


async def test_the_server_is_answered_for_by_the_gateway():
    async with stage(awake=False) as s:
        assert json.loads((await s.call(GET % b"/v2")).body)["name"] == "ebbtide"
        for path in (b"/v2/health/live", b"/v2/health/ready"):
            assert (await s.call(GET % path)).status == 200
        listed = json.loads((await s.call(GET % b"/v1/models")).body)
        assert [one["id"] for one in listed["data"]] == ["demo"]
        assert not s.recorder.heads
        assert not s.cluster.writes


async def test_the_list_of_models_is_a_setting():
    async with stage(settings=Settings(list_models=False)) as s:
        found = await s.call(GET % b"/v1/models")
        assert found.status == 404
        assert b"demo" not in found.body


async def test_readiness_of_a_sleeping_model_is_ours_and_wakes_nothing():
    ready = GET % b"/v2/models/demo/ready"
    async with stage(awake=False) as s:
        found = await s.call(ready)
        assert (found.status, found.field("ebbtide-phase")) == (200, "asleep")
        assert not s.cluster.writes
        assert not s.recorder.heads
    async with stage(awake=False, settings=Settings(ready_when_asleep=False)) as s:
        found = await s.call(ready)
        assert (found.status, found.field("ebbtide-reason")) == (503, "asleep")
    async with stage() as s:
        s.recorder.script = writes(answer(status="400 Bad Request"))
        assert (await s.call(ready)).status == 400


async def test_metadata_seen_once_is_answered_while_asleep():
    get = GET % b"/v2/models/demo"
    async with stage() as s:
        s.recorder.script = writes(answer(b'{"name":"demo"}'))
        assert (await s.call(get)).field("ebbtide-phase") is None
        assert (await s.call(GET % b"/v2/models/demo/stats")).status == 200
        revision = s.line.revision
        s.cluster.put(replace(revision, replicas=0, version="7"))
        assert s.line.peek() is None
        found = await s.call(get)
        assert (found.status, found.body) == (200, b'{"name":"demo"}')
        assert found.field("content-type") == "application/json"
        assert found.field("ebbtide-phase") in ("asleep", "draining")
        found = await s.call(GET % b"/v2/models/demo/stats")
        assert (found.status, found.field("ebbtide-reason")) == (503, "asleep")
        assert len(s.recorder.heads) == 2
        assert not s.cluster.writes


async def test_metadata_never_seen_wakes():
    async with stage(awake=False) as s:
        found = await s.call(GET % b"/v2/models/demo/config")
        assert found.status == 200
        assert "cold;dur=" in found.field("server-timing")
        assert [(name, count) for name, count, _ in s.cluster.writes] == [("default/demo", 1)]


async def test_a_cold_start_holds_the_request_and_says_so():
    async with stage(awake=False) as s:
        found = await s.call(infer())
        assert found.status == 200
        assert "cold;dur=" in found.field("server-timing")


async def test_what_may_not_be_woken_is_asleep_at_once():
    policy = Policy(mode=Mode.OFF, slots=4, warm_up=WarmUp.NONE)
    async with stage(awake=False, policy=policy) as s:
        client = await s.client()
        for _ in range(3):
            client.send(infer())
            found = await client.answer()
            assert (found.status, found.field("ebbtide-reason")) == (503, "asleep")
        assert "error" in json.loads(found.body)


async def test_an_alias_is_replaced_in_the_path():
    def alias(port):
        served = (
            Served(name=ModelName("demo"), served="demo"),
            Served(name=ModelName("org/fast"), served="inner"),
        )
        return model(port=port, models=served)

    async with stage(alias) as s:
        assert (await s.call(infer(path=b"/v2/models/org/fast/infer?a=1"))).status == 200
        assert s.recorder.requests[0].target == "/v2/models/inner/infer?a=1"


def llm(port):
    served = (
        Served(name=ModelName("llm"), served="llm"),
        Served(name=ModelName("org/llm:7b"), served="/models/llm"),
    )
    return model("llm", port=port, models=served, runtime=RuntimeName.OPENAI)


async def test_a_body_names_the_model_and_an_alias_is_replaced_in_it():
    async with stage(llm) as s:
        body = b'{ "stream":false, "model" : "org/llm:7b","messages":[1.0]}'
        for pieces in ([body], [body[:9], body[9:30], body[30:]]):
            client = await s.client()
            client.send(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n"
                % len(body)
            )
            for piece in pieces:
                client.send(piece)
                await asyncio.sleep(0.01)
            assert (await client.answer()).status == 200
            request = s.recorder.requests[-1]
            assert request.body == body.replace(b'"org/llm:7b"', b'"/models/llm"')
            assert request.field("content-length") == str(len(request.body))
        client.send(
            b"POST /v1/embeddings HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'f\r\n{"model":"llm"}\r\n0\r\n\r\n'
        )
        assert (await client.answer()).status == 200
        assert s.recorder.requests[-1].body == b'{"model":"llm"}'


async def test_errors_of_the_openai_paths_have_their_shape():
    async with stage(llm) as s:
        cases = [
            (b'{"model":"nope"}', 404, "unknown_model"),
            (b"{}", 404, "no_model"),
            (b"{", 400, "malformed"),
            (b'{"model":"llm","model":"x"}', 400, "malformed"),
        ]
        client = await s.client()
        for body, status, reason in cases:
            client.send(POST % (b"/v1/completions", len(body), body))
            found = await client.answer()
            error = json.loads(found.body)["error"]
            assert (found.status, error["code"]) == (status, reason)
            assert found.field("ebbtide-reason") == reason
            assert "llm" not in error["message"]
        assert not s.recorder.heads


async def test_sources_that_disagree_are_a_conflict():
    async with stage(llm, lambda port: model(port=port)) as s:
        for request in (
            infer(extra=b"Ebbtide-Model: llm\r\n"),
            infer(path=b"/models/llm/v2/models/demo/infer"),
            POST % (b"/models/llm/v1/completions", 16, b'{"model":"demo"}'),
        ):
            found = await s.call(request)
            assert (found.status, found.field("ebbtide-reason")) == (400, "model_conflict")
        assert not s.recorder.heads


async def test_a_plain_model_by_prefix_header_and_host():
    def plain(port):
        return model(
            "page",
            port=port,
            runtime=RuntimeName.PLAIN,
            allow=(AllowRule(method="GET", path="/x"),),
        )

    async with stage(plain, settings=Settings(host_suffix="m.example")) as s:
        for request in (
            GET % b"/models/page/x",
            b"GET /x HTTP/1.1\r\nHost: gw\r\nEbbtide-Model: page\r\n\r\n",
            b"GET /x HTTP/1.1\r\nHost: page.m.example\r\n\r\n",
        ):
            assert (await s.call(request)).status == 200
        assert {one.target for one in s.recorder.requests} == {"/x"}
        assert {one.field("ebbtide-model") for one in s.recorder.requests} == {None}
        found = await s.call(GET % b"/models/page/y")
        assert found.status == 404
        assert json.loads(found.body)["reason"] == "not_allowed"


async def test_what_was_answered_is_counted():
    async with stage() as s:
        await s.call(infer())
        await s.call(GET % b"/nope")
        tally = s.front.tallies["default/demo"]
        assert tally.codes == {200: 1}
        assert sum(tally.wait.counts) == sum(tally.upstream.counts) == 1
        assert s.front.other.codes == {404: 1}
        assert {reason.value for reason in s.front.other.refused} == {"no_model"}

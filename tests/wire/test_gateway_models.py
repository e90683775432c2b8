"""Which model a request means, and what the gateway answers itself: on both loops."""

import asyncio
import json
from dataclasses import replace

import pytest

from fleet.model import AllowRule, Mode, Policy, RuntimeName, Served, WarmUp
from fleet.names import ModelName
from fleet.settings import Settings
from tests.fakes.recorder import answer
from tests.wire.scripts import writes
from tests.wire.stage import BOTH_LOOPS, GET, infer, model, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

POST = b"POST %b HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n%b"


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


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.ADVISE])
async def test_a_sleeping_model_that_nothing_may_wake_is_not_ready(mode):
    async with stage(awake=False) as s:
        s.cluster.put(replace(s.line.revision, policy=Policy(mode=mode)))
        found = await s.call(GET % b"/v2/models/demo/ready")
        assert (found.status, found.field("ebbtide-reason")) == (503, "asleep")


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

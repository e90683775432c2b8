"""What an API server may answer, and how it may fail, over real sockets."""

import asyncio
import json
import socket

import pytest
import uvloop
from aiohttp import web

from fleet.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    RejectedError,
    UnavailableError,
)
from fleet.kubernetes.api import Api, ExpiredError
from fleet.kubernetes.inflight import MOST
from tests.wire.apiserver import asked, status, write

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return ("asyncio", {"loop_factory": request.param})


async def test_every_verb_says_who_asks_and_what(tmp_path):
    seen = []

    async def handler(request):
        seen.append(
            (
                request.method,
                request.path_qs,
                request.headers["Authorization"],
                request.headers.get("Content-Type"),
                await request.text(),
            )
        )
        return web.json_response({"metadata": {}})

    async with asked(tmp_path, handler) as api:
        await api.get("/api", query={"fieldSelector": "a=b,c!=d"})
        await api.post("/api", body={"a": 1})
        await api.put("/api", body={"a": 2})
        await api.patch("/api", body={"a": None}, query={"fieldManager": "ebbtide"})
        await api.patch("/api", body=[{"op": "x"}], content_type="application/json-patch+json")
        await api.delete("/api")
    assert seen == [
        ("GET", "/api?fieldSelector=a%3Db,c!%3Dd", "Bearer secret", "application/json", ""),
        ("POST", "/api", "Bearer secret", "application/json", '{"a": 1}'),
        ("PUT", "/api", "Bearer secret", "application/json", '{"a": 2}'),
        (
            *("PATCH", "/api?fieldManager=ebbtide", "Bearer secret"),
            *("application/merge-patch+json", '{"a": null}'),
        ),
        ("PATCH", "/api", "Bearer secret", "application/json-patch+json", '[{"op": "x"}]'),
        ("DELETE", "/api", "Bearer secret", "application/json", ""),
    ]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, RejectedError),
        (401, ForbiddenError),
        (403, ForbiddenError),
        (404, GoneError),
        (409, ConflictError),
        (410, ExpiredError),
        (422, RejectedError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
async def test_a_refusal_says_what_was_asked_and_what_the_server_said(tmp_path, code, kind):
    async def handler(_):
        return status(code)

    async with asked(tmp_path, handler) as api:
        with pytest.raises(kind) as raised:
            await api.patch("/apis/apps/v1/x", body={})
        assert type(raised.value) is kind
        assert str(raised.value) == f"PATCH {api.server}/apis/apps/v1/x: {code}: said the server"


async def test_a_refusal_that_is_no_status_is_told_as_it_is(tmp_path):
    async def handler(_):
        return web.Response(status=502, text="<html>bad gateway</html>")

    async with asked(tmp_path, handler) as api:
        with pytest.raises(UnavailableError, match="502: <html>bad gateway"):
            await api.get("/api")


@pytest.mark.parametrize("body", ["<html>", "[1]", "", '"x"'])
async def test_an_answer_that_is_no_object_is_no_answer(tmp_path, body):
    async def handler(_):
        return web.Response(text=body)

    async with asked(tmp_path, handler) as api:
        with pytest.raises(UnavailableError, match="JSON"):
            await api.get("/api")


async def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(tmp_path):
    async def handler(_):
        await asyncio.sleep(60)

    async with asked(tmp_path, handler) as api:
        with pytest.raises(UnavailableError, match="no answer in time"):
            await api.get("/api", timeout=0.2)


async def test_a_server_that_is_not_there_is_unavailable(tmp_path):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        async with await Api.open(write(tmp_path / "config", url, user={})) as api:
            with pytest.raises(UnavailableError, match=f"GET {url}/api: Connection refused"):
                await api.get("/api")
            with pytest.raises(UnavailableError, match=f"watch {url}/api: "):
                async with api.watch("/api", {}):
                    pass


async def test_a_hundred_writes_are_a_hundred_at_once(tmp_path):
    here, all_here = 0, asyncio.Event()

    async def handler(_):
        nonlocal here
        here += 1
        if here == 100:
            all_here.set()
        await all_here.wait()
        return web.json_response({})

    async with asked(tmp_path, handler) as api:
        async with asyncio.timeout(10):
            await asyncio.gather(*(api.patch(f"/x/{i}", body={}) for i in range(100)))


async def streamed(request, chunks, *, hold=0.0):
    answer = web.StreamResponse()
    await answer.prepare(request)
    for chunk in chunks:
        await answer.write(chunk)
        await asyncio.sleep(0)
    await asyncio.sleep(hold)
    return answer


async def take(api, *, silence=5.0):
    async with api.watch("/api", {"resourceVersion": "7"}, silence=silence) as events:
        return [event["object"] async for event in events]


async def test_events_are_split_wherever_the_network_cut_them(tmp_path):
    lines = b'{"type":"ADDED","object":1}\n\n{"type":"ADDED","object":"%s"}\n' % (b"x" * 10**6)
    queries = []

    async def handler(request):
        queries.append(dict(request.query))
        cuts = [lines[i : i + 100_003] for i in range(30, len(lines), 100_003)]
        return await streamed(request, [lines[:5], lines[5:30], *cuts])

    async with asked(tmp_path, handler) as api:
        assert await take(api) == [1, "x" * 10**6]
    assert queries == [{"resourceVersion": "7", "watch": "true"}]


async def test_half_an_event_at_the_end_is_none(tmp_path):
    async def handler(request):
        return await streamed(request, [b'{"type":"ADDED","object":1}\n{"type":"ADD'])

    async with asked(tmp_path, handler) as api:
        assert await take(api) == [1]


async def test_a_watch_that_breaks_or_is_silent_is_unavailable(tmp_path):
    async def breaks(request):
        await streamed(request, [b'{"type":"ADDED","object":1}\n'])
        request.transport.abort()

    async with asked(tmp_path, breaks) as api:
        with pytest.raises(UnavailableError, match="watch http"):
            await take(api)

    async def silent(request):
        return await streamed(request, [b'{"type":"ADDED","object":1}\n'], hold=30)

    async with asked(tmp_path, silent) as api:
        with pytest.raises(UnavailableError, match="no answer in time"):
            await take(api, silence=0.2)


async def test_an_error_event_is_what_its_code_says(tmp_path):
    async def handler(request):
        too_old = {"code": 410, "message": "too old resource version"}
        if request.path == "/api":
            line = json.dumps({"type": "ERROR", "object": too_old}).encode() + b"\n"
            return await streamed(request, [line])
        return status(403)

    async with asked(tmp_path, handler) as api:
        with pytest.raises(ExpiredError, match="410: too old resource version"):
            await take(api)
        with pytest.raises(ForbiddenError):
            async with api.watch("/other", {}):
                pass


async def test_a_token_that_was_changed_is_read_again_and_watches_go_on(tmp_path):
    good, tokens = "secret", []
    watching, enough = asyncio.Event(), asyncio.Event()

    async def handler(request):
        tokens.append(request.headers["Authorization"].removeprefix("Bearer "))
        if tokens[-1] != good:
            return status(401)
        if "watch" in request.query:
            answer = web.StreamResponse()
            await answer.prepare(request)
            watching.set()
            await enough.wait()
            await answer.write(b'{"type":"ADDED","object":1}\n')
            return answer
        return web.json_response({})

    async with asked(tmp_path, handler) as api:
        watch = asyncio.create_task(take(api))
        await watching.wait()
        good = "other"
        with pytest.raises(ForbiddenError):
            await api.get("/api")
        path = tmp_path / "config"
        path.write_text(path.read_text().replace("secret", "other"))
        tokens.clear()
        await asyncio.gather(*(api.get("/api") for _ in range(5)))
        assert sorted(tokens) == ["other"] * 5 + ["secret"] * 5
        await api.get("/api")
        enough.set()
        assert await watch == [1]
        path.write_text("{")
        good = "nobody has it"
        with pytest.raises(ForbiddenError):
            await api.get("/api")


async def test_a_lease_waits_for_no_crowd_of_other_writes(tmp_path):
    stuck = asyncio.Event()

    async def handler(request):
        if "/leases/" not in request.path:
            await stuck.wait()
        return web.json_response({"metadata": {}})

    async with asked(tmp_path, handler) as api:
        crowd = [asyncio.ensure_future(api.patch(f"/apis/{n}", body={})) for n in range(2 * MOST)]
        try:
            path = "/apis/coordination.k8s.io/v1/namespaces/ebbtide/leases/one"
            assert await asyncio.wait_for(api.put(path, body={}), 3.0) == {"metadata": {}}
            assert not any(one.done() for one in crowd)
        finally:
            stuck.set()
            await asyncio.gather(*crowd)

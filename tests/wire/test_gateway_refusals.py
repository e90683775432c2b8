"""What is refused: nothing of it reaches the model server, and nothing is woken for it."""

import asyncio

import pytest

from fleet.model import Policy, WarmUp
from fleet.settings import Settings
from tests.core.test_route import FORBIDDEN
from tests.core.test_target import REFUSED_PATHS
from tests.wire.malformed import CHUNKS, MALFORMED, fields
from tests.wire.stage import BOTH_LOOPS, INFER, UVLOOP, infer, stage

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return UVLOOP


NEXT = b"GET /v2/models/demo HTTP/1.1\r\nHost: gw\r\n\r\n"


async def test_malformed_requests_are_answered_400_and_closed():
    async with stage(awake=False) as s:
        for name, data in MALFORMED.items():
            client = await s.client()
            client.send(data + NEXT)
            found = await client.answer()
            assert (found.status, found.field("ebbtide-reason")) == (400, "malformed"), name
            assert found.field("connection") == "close", name
            assert await client.closed(), name
            assert found.field("server-timing") is not None
            await client.leave()
        assert not s.recorder.heads
        assert not s.cluster.writes
        await s.until(lambda: s.front.connections == 0)


async def test_bad_targets_are_refused_and_wake_nothing():
    async with stage(awake=False) as s:
        for path in REFUSED_PATHS:
            client = await s.client()
            client.send(b"POST " + path + b" HTTP/1.1\r\nHost: gw\r\nContent-Length: 0\r\n\r\n")
            assert (await client.answer()).status == 400, path
            await client.leave()
        assert not s.recorder.heads
        assert not s.cluster.writes


SPELLINGS = [
    b"/v2/repository/index",
    b"/V2/repository/index",
    b"/v2/Repository/index",
    b"/v2/%72epository/index",
    b"/v2/repositor%79/index",
    b"/v2/repository%2findex",
    b"/v2//repository/index",
    b"/v2/./repository/index",
    b"/v2/models/demo/../../repository/index",
    b"/v2/models/..%2frepository/index",
    b"/v2/models/demo/%2e%2e/%2e%2e/repository/index",
    b"/v2/models/demo/infer/../../../repository/index",
    b"/v2;x/repository/index",
    b"/v2/repository;x/index",
    b"/v2/repository/index/",
    b"/v2/repository/index?x=/v2/models/demo/infer",
    b"/v2/systemsharedmemory/status",
    b"/v2/cudasharedmemory/status",
    b"/v2/trace/setting",
    b"/v2/models/demo/trace/setting",
    b"/v2/models/demo/%74race/setting",
    b"/v2/logging",
    b"/v2/%6cogging",
    b"/models/demo/v2/repository/index",
    b"/models/demo/v2/%72epository/index",
    b"/models/demo/v2/models/demo/../../repository/index",
    b"/models/demo//v2/repository/index",
    b"http://gw/v2/repository/index",
]


@pytest.mark.parametrize("awake", [True, False])
async def test_what_the_allow_list_does_not_name_never_passes(awake):
    async with stage(awake=awake) as s:
        for method in (b"POST", b"GET"):
            for path in SPELLINGS:
                for extra in (b"", b"Ebbtide-Model: demo\r\n"):
                    head = b"%b %b HTTP/1.1\r\nHost: gw\r\n%bContent-Length: 2\r\n\r\n{}"
                    found = await s.call(head % (method, path, extra))
                    assert found.status in (400, 404), (path, found)
        client = await s.client()
        for method, path in FORBIDDEN:
            client.send(f"{method} {path} HTTP/1.1\r\nHost: gw\r\n\r\n".encode())
            assert (await client.answer()).status == 404
        assert not s.recorder.heads
        assert not s.cluster.writes


async def test_bad_chunks_break_the_replicas_connection_off_and_it_is_not_used_again():
    async with stage() as s:
        for name, data in CHUNKS.items():
            client = await s.client()
            client.send(fields(b"Transfer-Encoding: chunked\r\n", data))
            found = await client.answer()
            assert (found.status, found.field("ebbtide-reason")) == (400, "malformed"), name
            assert await client.closed(), name
            await client.leave()
        for data in CHUNKS.values():
            before = len(s.recorder.heads)
            client = await s.client()
            client.send(fields(b"Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n"))
            await s.recorder.heads_seen(before + 1)
            client.send(data)
            assert (await client.answer()).status == 400
            await client.leave()
        assert not s.recorder.requests
        await s.until(s.idle)
        assert (await s.call(infer())).status == 200
        assert [one.body for one in s.recorder.requests] == [b"{}"]


async def test_front_and_back_agree_on_where_messages_end():
    inside = b"GET /v2/models/demo HTTP/1.1\r\nHost: gw\r\n\r\n"
    async with stage() as s:
        client = await s.client()
        client.send(infer(inside))
        client.send(
            fields(
                b"Transfer-Encoding: chunked\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(inside), inside)
            )
        )
        client.send(b"\r\n" + infer(b"last"))
        for _ in range(3):
            assert (await client.answer()).status == 200
        assert [one.body for one in s.recorder.requests] == [inside, inside, b"last"]


@pytest.mark.parametrize(
    ("head", "status", "reason"),
    [
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n", 414, "target_too_long"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: gw\r\n\r\n", 414, "target_too_long"),
        (INFER + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431, "head_too_large"),
        (INFER + b"X: a\r\n" * 20_000 + b"\r\n", 431, "head_too_large"),
        (INFER + b"X: a\r\n" * 200 + b"\r\n", 431, "head_too_large"),
    ],
)
@pytest.mark.parametrize("size", [500_000, 1000])
async def test_heads_are_limited(head, status, reason, size):
    async with stage(awake=False) as s:
        client = await s.client()
        for start in range(0, len(head), size):
            client.send(head[start : start + size])
            await asyncio.sleep(0)
        found = await client.answer()
        assert (found.status, found.field("ebbtide-reason")) == (status, reason)
        assert not s.cluster.writes


SMALL = Policy(max_body=1000, slots=4, warm_up=WarmUp.NONE)


async def test_a_body_over_the_limit_known_beforehand_reaches_nothing():
    async with stage(awake=False, policy=SMALL) as s:
        client = await s.client()
        client.send(INFER + b"Content-Length: 1001\r\n\r\n" + b"x" * 10)
        found = await client.answer()
        assert (found.status, found.field("ebbtide-reason")) == (413, "body_too_large")
        assert await client.closed()
        assert not s.cluster.writes
        assert not s.recorder.heads


async def test_an_answer_reaches_a_client_that_is_still_sending():
    async with stage(policy=SMALL) as s:
        client = await s.client()
        client.send(INFER + b"Content-Length: 5000000\r\n\r\n" + b"x" * 5_000_000)
        assert (await client.answer()).status == 413


async def test_a_chunked_body_over_the_limit_is_cut_off_when_it_passes_it():
    async with stage(policy=SMALL) as s:
        client = await s.client()
        client.send(fields(b"Transfer-Encoding: chunked\r\n", b"3e8\r\n" + b"x" * 1000 + b"\r\n"))
        await s.recorder.heads_seen(1)
        client.send(b"1\r\nx\r\n0\r\n\r\n")
        assert (await client.answer()).status == 413
        await s.until(s.idle)
        assert not s.recorder.requests


async def test_a_chunked_body_over_the_limit_wakes_nothing():
    async with stage(awake=False, policy=SMALL) as s:
        for last in (b"3e9\r\n" + b"x" * 1001 + b"\r\n", b"zz\r\n"):
            client = await s.client()
            client.send(fields(b"Transfer-Encoding: chunked\r\n", b"2\r\nab\r\n"))
            await s.until(lambda: s.front.requests == 1)
            client.send(last)
            assert (await client.answer()).status in (413, 400)
            await s.until(s.idle)
        assert not s.cluster.writes
        assert not s.recorder.heads


async def test_a_chunked_body_wakes_its_model_once_it_is_whole_or_long():
    async with stage(awake=False) as s:
        client = await s.client()
        client.send(fields(b"Transfer-Encoding: chunked\r\n", b"2\r\nab\r\n"))
        await s.until(lambda: s.front.requests == 1)
        assert s.line.waiting == 0
        client.send(b"0\r\n\r\n")
        assert (await client.answer()).status == 200
        assert s.recorder.requests[0].body == b"ab"
    async with stage(awake=False) as s:
        client = await s.client()
        client.send(fields(b"Transfer-Encoding: chunked\r\n", b"10001\r\n" + b"x" * 65537))
        await s.recorder.heads_seen(1)
        client.send(b"\r\n0\r\n\r\n")
        assert (await client.answer()).status == 200
        assert s.recorder.requests[0].body == b"x" * 65537


async def test_one_who_waits_for_100_continue_gets_it_before_its_model_is_woken():
    async with stage(awake=False) as s:
        client = await s.client()
        client.send(fields(b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", b""))
        assert (await client.head())[0] == 100
        assert not s.cluster.writes
        client.send(b"2\r\nab\r\n0\r\n\r\n")
        assert (await client.answer()).status == 200


async def test_slow_senders_are_cut_off():
    async with stage(settings=Settings(header_timeout=0.2)) as s:
        slow, steady = await s.client(), await s.client()
        slow.send(b"POST /v2/models/demo/infer HTTP/1.1\r\n")
        begun = asyncio.get_running_loop().time()

        async def drip():
            while True:
                slow.send(b"X: y\r\n")
                await asyncio.sleep(0.02)

        dripping = asyncio.get_running_loop().create_task(drip())
        found = await slow.answer()
        took = asyncio.get_running_loop().time() - begun
        dripping.cancel()
        assert (found.status, found.field("ebbtide-reason")) == (408, "header_timeout")
        assert 0.15 <= took < 1.0
        steady.send(infer())
        assert (await steady.answer()).status == 200
        await asyncio.sleep(0.4)
        steady.send(infer())
        assert (await steady.answer()).status == 200


@pytest.mark.parametrize("path", [b"/v2/models/demo/infer", b"/v1/completions"])
async def test_a_body_that_stops_coming_is_cut_off(path):
    async with stage(settings=Settings(body_timeout=0.2)) as s:
        client = await s.client()
        client.send(b"POST %b HTTP/1.1\r\nHost: gw\r\nContent-Length: 9\r\n\r\nx" % path)
        found = await client.answer()
        assert (found.status, found.field("ebbtide-reason")) == (408, "body_timeout")
        assert await client.closed()
        await s.until(s.idle)


async def test_idle_connections_are_closed():
    async with stage(settings=Settings(http_keepalive=0.2)) as s:
        fresh, used = await s.client(), await s.client()
        used.send(infer())
        await used.answer()
        assert await fresh.closed()
        assert await used.closed()
        await s.until(lambda: s.front.connections == 0)


async def test_a_request_is_limited_from_dispatch_to_its_last_byte():
    policy = Policy(request_timeout=0.3, slots=4, warm_up=WarmUp.NONE)
    async with stage(policy=policy) as s:

        async def never(request, writer):
            await asyncio.Event().wait()

        async def half(request, writer):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            await asyncio.Event().wait()

        s.recorder.script = never
        found = await s.call(infer())
        assert (found.status, found.field("ebbtide-reason")) == (504, "request_timeout")
        await s.until(s.idle)
        s.recorder.script = half
        client = await s.client()
        client.send(infer())
        assert (await client.head())[0] == 200
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await client.reader.readexactly(10)
        await s.until(s.idle)


async def test_connections_over_the_limit_are_told_so():
    async with stage(settings=Settings(max_connections=2)) as s:
        held = [await s.client(), await s.client()]
        await s.until(lambda: s.front.connections == 2)
        found = await s.call(infer())
        assert (found.status, found.field("ebbtide-reason")) == (503, "too_many_connections")
        assert found.field("retry-after") == "1"
        held[0].abort()
        await s.until(lambda: s.front.connections == 1)
        assert (await s.call(infer())).status == 200


async def test_idle_clients_leave_files_to_work_with(monkeypatch):
    monkeypatch.setattr("resource.getrlimit", lambda _: (8, 8))
    async with stage() as s:
        for _ in range(2):
            await s.client()
        await s.until(lambda: s.front.connections == 2)
        assert (await s.call(infer())).field("ebbtide-reason") == "too_many_connections"


async def test_a_refused_request_that_was_complete_costs_no_connection():
    policy = Policy(slots=1, queue_limit=0, warm_up=WarmUp.NONE)
    async with stage(awake=False, policy=policy) as s:
        client = await s.client()
        for path, status in ((b"/v2/models/demo/infer", 503), (b"/v2/models/nope/infer", 404)):
            for _ in range(2):
                client.send(infer(path=path))
                found = await client.answer()
                assert (found.status, found.field("connection")) == (status, None)
        assert not s.recorder.heads


@BOTH_LOOPS
async def test_a_client_that_takes_no_answers_is_not_served_on():
    async with stage() as s:
        client = await s.client(limit=1024)
        ask = b"GET /v2 HTTP/1.1\r\nHost: g\r\n\r\n"
        client.writer.transport.set_write_buffer_limits(high=10**9)
        client.send(ask * 500_000)
        await s.until(lambda: s.front.connections == 1)
        (inbound,) = s.front._context.inbounds
        await s.until(lambda: inbound.choked)
        assert inbound.transport.get_write_buffer_size() < 2**20
        assert sum(s.front.other.codes.values()) < 100_000

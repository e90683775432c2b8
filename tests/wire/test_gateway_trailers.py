"""Trailers both ways, and the words that announce them."""

import pytest

from fleet.model import AllowRule, Policy, Retry, RuntimeName, WarmUp
from tests.wire.scripts import aborting, writes
from tests.wire.stage import BOTH_LOOPS, CHUNKED, INFER, infer, model, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

BODY = b"2\r\n{}\r\n0\r\nX-Sum: 1\r\nHost: other\r\nContent-Length: 9\r\nX-Hop: 1\r\n\r\n"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: x-hop\r\n\r\n"
    b"2\r\n{}\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a\r\nX-Hop: 1\r\n\r\n"
)


def plain(port):
    return model(port=port, runtime=RuntimeName.PLAIN, allow=(AllowRule(method="*", path="*"),))


async def raw_answer(client) -> bytes:
    return await client.reader.readuntil(b"\r\n\r\n") + await client.reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize("cut", [0, 1, 20])
async def test_a_requests_trailers_go_on_and_what_must_not_is_left_out(cut):
    async with stage(plain) as s:
        client = await s.client()
        head = CHUNKED.replace(b"\r\n\r\n", b"\r\nTrailer: X-Sum\r\nConnection: x-hop\r\n\r\n")
        client.send(head + BODY[: len(BODY) - cut])
        if cut:
            await s.recorder.heads_seen(1)
            client.send(BODY[len(BODY) - cut :])
        assert (await client.answer()).status == 200
        (request,) = s.recorder.requests
        assert request.raw.endswith(b"0\r\nX-Sum: 1\r\n\r\n")
        assert request.field("trailer") == "X-Sum"


async def test_triton_gets_none_since_it_would_never_answer():
    async with stage() as s:
        assert (await s.call(CHUNKED + BODY)).status == 200
        assert s.recorder.requests[0].raw.endswith(b"{}\r\n0\r\n\r\n")


async def test_they_are_sent_again_with_their_request():
    async with stage(
        lambda port: model(
            port=port,
            runtime=RuntimeName.PLAIN,
            allow=(AllowRule(method="*", path="*"),),
            policy=Policy(slots=4, warm_up=WarmUp.NONE, retry=Retry.REPLICA),
        )
    ) as s:
        seen = []

        async def first_breaks(request, writer):
            seen.append(request.raw)
            if len(seen) == 1:
                await aborting(request, writer)
            else:
                await writes(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(request, writer)

        s.recorder.script = first_breaks
        assert (await s.call(CHUNKED + BODY)).status == 200
        assert seen[0] == seen[1]
        assert b"X-Sum: 1" in seen[1]


async def test_a_body_that_is_framed_anew_has_no_place_for_them():
    async with stage(lambda port: model(port=port, runtime=RuntimeName.OPENAI)) as s:
        head = b"POST /v1/completions HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = BODY.replace(b"2\r\n{}", b'10\r\n{"model":"demo"}')
        assert (await s.call(head + body)).status == 200
        (request,) = s.recorder.requests
        assert request.raw.endswith(b'Content-Length: 16\r\n\r\n{"model":"demo"}')


async def test_an_answers_trailers_go_on_and_what_must_not_is_left_out():
    async with stage() as s:
        s.recorder.script = writes(ANSWER)
        client = await s.client()
        for _ in range(2):
            client.send(infer())
            raw = await raw_answer(client)
            assert b"\r\nTrailer: X-Sum\r\n" in raw
            assert raw.endswith(b"2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n")


async def test_an_answer_without_them_does_not_get_those_of_the_one_before():
    async with stage() as s:
        client = await s.client()
        for script in (ANSWER, ANSWER.partition(b"X-Sum: 1")[0] + b"\r\n"):
            s.recorder.script = writes(script)
            client.send(infer())
            raw = await raw_answer(client)
        assert raw.endswith(b"0\r\n\r\n")


async def test_an_old_client_has_no_place_for_them():
    async with stage() as s:
        s.recorder.script = writes(ANSWER)
        old = await s.call(infer().replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert old.body == b"{}"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (b"TE: trailers\r\nConnection: TE\r\n", True),
        (b"TE: gzip;q=0.5, Trailers\r\nConnection: keep-alive, te\r\n", True),
        (b"TE: trailers\r\n", False),
        (b"TE: gzip\r\nConnection: TE\r\n", False),
        (b"Connection: TE\r\n", False),
    ],
)
async def test_te_is_said_anew(fields, told):
    async with stage() as s:
        assert (await s.call(infer(extra=fields))).status == 200
        (request,) = s.recorder.requests
        assert request.field("te") == ("trailers" if told else None)
        assert request.field("connection") == ("TE" if told else None)


async def test_trailers_are_bounded():
    async with stage() as s:
        s.recorder.script = writes(
            ANSWER[: ANSWER.index(b"X-Sum: 1")] + b"X-A: " + b"a" * 900 + b"\r\n" * 2
        )
        client = await s.client()
        client.send(infer())
        assert b"X-A: " + b"a" * 900 in await raw_answer(client)
        client.send(INFER + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X-A: b\r\n" * 2000)
        assert (await client.answer()).field("ebbtide-reason") == "malformed"


async def test_interim_answers_are_bounded():
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    last = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with stage() as s:
        client = await s.client()
        for _ in range(3):
            s.recorder.script = writes(hint * 32 + last)
            client.send(infer())
            found = await client.answer()
            assert (found.status, len(found.interim)) == (200, 32)
        assert s.recorder.connections == 1
        s.recorder.script = writes(hint * 33 + last)
        client.send(infer())
        found = await client.answer()
        assert (found.status, found.field("ebbtide-reason")) == (502, "upstream_invalid")
        await s.until(s.idle)


async def test_a_length_on_an_interim_answer_or_a_204_frames_nothing():
    script = (
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nX: y\r\n\r\n"
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"
    )
    async with stage() as s:
        s.recorder.script = writes(script)
        client = await s.client()
        for _ in range(2):
            client.send(infer())
            for status in (103, 204):
                found, fields = await client.head()
                assert found == status
                assert "content-length" not in {name.lower() for name, _ in fields}
        # Behind a 204 that tells of a body one may yet come, and be taken for the next answer.
        assert s.recorder.connections == 2


async def test_a_205_is_framed_like_any_other_answer():
    async with stage() as s:
        s.recorder.script = writes(b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n")
        client = await s.client()
        for _ in range(2):
            client.send(infer())
            found = await client.answer()
            assert (found.status, found.field("content-length")) == (205, "0")

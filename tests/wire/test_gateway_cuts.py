"""The same bytes, cut anywhere, give the same answers; bent bytes leave nothing behind."""

import asyncio

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.stage import INFER, infer, stage
from tests.wire.test_gateway_refusals import CHUNKS, MALFORMED, fields

TE = b"Transfer-Encoding: chunked\r\n"
CONVERSATIONS = [
    infer(b"one") + fields(TE, b"3\r\ntwo\r\n2;x\r\n!!\r\n0\r\nT: x\r\n\r\n") + infer(b"three"),
    infer(b"x" * 300) + b"GET /v2 HTTP/1.1\r\nHost: gw\r\n\r\n" + b"\r\n" + infer(b"last"),
    b"GET /nope HTTP/1.1\r\nHost: gw\r\nContent-Length: 4\r\n\r\nbody" + infer(b"after"),
    infer(b"first") + MALFORMED["cl and te"] + infer(b"never"),
    infer(b"first") + MALFORMED["leading lf"] + infer(b"never"),
    infer(b"first") + MALFORMED["two spaces"] + infer(b"never"),
    infer(b"first") + fields(TE, CHUNKS["lf after data"]) + infer(b"never"),
    infer(b"first", b"Connection: close\r\n") + infer(b"never"),
    b"POST /v2/models/demo/infer HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}" + infer(b"never"),
    b"POST /v1/completions HTTP/1.1\r\nHost: gw\r\nContent-Length: 13\r\n\r\n" + b'{"model":"x"}',
]


async def converse(s, data: bytes, cuts: list[int]):
    """What the client got and what the model server saw, timings and retries aside."""
    s.recorder.requests.clear()
    client = await s.client()
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        client.send(data[start:end])
        # Each piece is to be read by itself.
        for _ in range(3):
            await asyncio.sleep(0)
    answers = []
    try:
        async with asyncio.timeout(0.25):
            while True:
                found = await client.answer()
                plain = [f for f in found.fields if f[0] != "Server-Timing"]
                answers.append((found.status, plain, found.body))
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        pass
    await client.leave()
    await s.until(s.idle)
    # One that is refused in the middle of its body may have begun to reach the server, or not.
    whole = [(one.target, one.body) for one in s.recorder.requests]
    return answers, whole


@pytest.mark.parametrize("number", range(len(CONVERSATIONS)))
def test_cutting_changes_nothing(number):
    data = CONVERSATIONS[number]

    async def all_cuts(drawn):
        async with stage() as s:
            expected = await converse(s, data, [])
            assert expected[0]
            return expected, [await converse(s, data, cuts) for cuts in drawn]

    @settings(max_examples=2, deadline=None)
    @given(st.lists(st.sets(st.integers(1, len(data) - 1), max_size=8).map(sorted), max_size=2))
    def run(drawn):
        expected, found = uvloop.run(all_cuts(drawn))
        for cuts, one in zip(drawn, found, strict=True):
            assert one == expected, cuts

    run()


PIECES = st.sampled_from(
    [
        b"",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"0\r\n\r\n",
        b" ",
        b":",
        b"\x00",
        b"Transfer-Encoding: ",
        b"chunked",
        b"Content-Length: 3\r\n",
        b"HTTP/1.1",
        b"GET ",
        b"/v2",
        b"%2e",
        b"..",
        b"Host: gw\r\n",
    ]
)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(CONVERSATIONS),
            st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), PIECES), max_size=4),
        ),
        min_size=8,
        max_size=8,
    )
)
def test_bent_bytes_leave_nothing_behind(drawn):
    async def run():
        async with stage() as s:
            for data, bends in drawn:
                for at, cut, piece in bends:
                    data = data[:at] + piece + data[at + cut :]
                client = await s.client()
                client.send(data)
                client.writer.write_eof()
                await client.reader.read()
                await client.leave()
            await s.until(s.idle)
            await s.until(lambda: s.front.connections == 0)
            assert (await s.call(infer(b"well"))).status == 200

    uvloop.run(run())


async def _held_is_not_lost():
    async with stage(awake=False) as s:
        clients = [await s.client() for _ in range(300)]
        for number, client in enumerate(clients):
            client.send(INFER + b"Content-Length: 3\r\n\r\n%03d" % number)
        answers = [await client.answer() for client in clients]
        assert {one.status for one in answers} == {200}
        return [int(one.body) for one in s.recorder.requests]


def test_many_held_requests_are_all_answered_and_dispatched_once():
    assert sorted(uvloop.run(_held_is_not_lost())) == list(range(300))

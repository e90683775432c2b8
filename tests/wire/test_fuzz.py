"""Bent requests and bent answers without end: nothing raises, nothing hangs, nothing is left.

`make test` tries the same few hundred every time; `make soak` goes on with new ones for ten minutes
a side. A failure prints the bytes that it needs.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet.model import AllowRule, RuntimeName
from fleet.settings import Settings
from tests.wire.corpus import CANARY, cases
from tests.wire.stage import Stage, infer, model, stage

pytestmark = pytest.mark.soak

_IMPATIENT = Settings(header_timeout=0.05, body_timeout=0.05, http_keepalive=0.05)
_REQUESTS = [case.data for case in cases() if len(case.data) < 4096] + [CANARY, infer()]
_ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\n\r\nold",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    b"HTTP/1.1 204 No\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello",
    b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 500 Broken\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
]
_PIECES = st.sampled_from(
    [
        *(
            b"",
            b"\r",
            b"\n",
            b"\r\n",
            b"\r\n\r\n",
            b"0\r\n\r\n",
            b" ",
            b"\t",
            b":",
            b"\x00",
            b"\xff",
        ),
        *(b"Transfer-Encoding: ", b"chunked", b"Content-Length: 3\r\n", b"Content-Length: 99\r\n"),
        *(b"HTTP/1.1", b"HTTP/1.0", b"GET ", b"/v2", b"%2e", b"Host: gw\r\n", b"Connection: close"),
        *(
            b"Upgrade: x\r\nConnection: upgrade\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"a" * 300,
        ),
    ]
)
_BENDS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 4), _PIECES), max_size=4)
_CUTS = st.lists(st.integers(1, 500), max_size=4)
_ENDS = st.sampled_from(["close", "eof", "abort", "stay"])


def bent(data: bytes, bends: list[tuple[int, int, bytes]]) -> bytes:
    """`data` with pieces put in, and bytes taken out."""
    for at, cut, piece in bends:
        data = data[:at] + piece + data[at + cut :]
    return data


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` in the order it goes out, cut in places."""
    marks = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    return [data[start:end] for start, end in pairwise(marks)]


def for_seconds(seconds: float, run: Callable[[], None], *, searching: bool) -> None:
    """Run it again and again; only once where each run tries the same."""
    end = time.monotonic() + seconds
    run()
    while searching and time.monotonic() < end:
        run()


async def conversation(s: Stage, data: list[bytes], end: str) -> bytes:
    """Say `data`, and hear the gateway out or leave; returns what was heard."""
    client = await s.client()
    heard = b""
    for piece in data:
        if client.writer.transport.is_closing():
            # It has been refused and cut off already.
            break
        client.send(piece)
        await asyncio.sleep(0)
    if end == "abort":
        client.abort()
    elif end == "close":
        client.writer.close()
    else:
        if end == "eof" and not client.writer.transport.is_closing():
            client.writer.write_eof()
        async with asyncio.timeout(10):
            with suppress(ConnectionResetError):
                while more := await client.reader.read(2**16):
                    heard += more
        client.abort()
    return heard


async def nothing_is_left(s: Stage) -> None:
    await s.until(s.idle)
    await s.until(lambda: s.front.connections == 0)
    context = s.front._context
    assert context.requests == 0
    assert not s.line.ledger.running
    assert s.line.ledger.waiting_bytes == 0
    assert not context.watch._gone


_SEARCH = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)


def test_bent_requests(soak_seconds, pytestconfig):
    @_SEARCH
    @given(
        st.lists(
            st.tuples(st.sampled_from(_REQUESTS), _BENDS, _CUTS, _ENDS), min_size=6, max_size=6
        ),
        st.booleans(),
    )
    def run(drawn, awake):
        async def talk():
            async with stage(settings=_IMPATIENT, awake=awake, start=0.002) as s:
                for data, bends, cuts, end in drawn:
                    await conversation(s, pieces(bent(data, bends) + CANARY, cuts), end)
                await nothing_is_left(s)
                assert (await s.call(infer(b"well"))).status == 200
                # What bent requests reach the recorder as is its own business: they were whole.
                s.recorder.faults.clear()

        uvloop.run(talk())

    for_seconds(soak_seconds, run, searching=pytestconfig.getoption("--soak"))


def plain(port):
    return model(port=port, runtime=RuntimeName.PLAIN, allow=(AllowRule(method="*", path="*"),))


_ASKED = [
    b"GET /models/demo/x HTTP/1.1\r\nHost: gw\r\n\r\n",
    b"HEAD /models/demo/x HTTP/1.1\r\nHost: gw\r\n\r\n",
    b"GET /models/demo/x HTTP/1.0\r\n\r\n",
    b"POST /models/demo/x HTTP/1.1\r\nHost: gw\r\nContent-Length: 2\r\n\r\nhi",
    b"POST /models/demo/x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nhi\r\n0\r\n\r\n",
    b"GET /models/demo/x HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
]


def test_bent_answers(soak_seconds, pytestconfig):
    @_SEARCH
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(_ASKED),
                st.sampled_from(_ANSWERS),
                _BENDS,
                _CUTS,
                st.sampled_from(["close", "abort", "stay"]),
                _ENDS,
            ),
            min_size=6,
            max_size=6,
        )
    )
    def run(drawn):
        async def talk():
            async with stage(plain, settings=_IMPATIENT) as s:
                for asked, data, bends, cuts, how, end in drawn:

                    async def answers(_request, writer, data=data, bends=bends, cuts=cuts, how=how):
                        for piece in pieces(bent(data, bends), cuts):
                            if not writer.transport.is_closing():
                                writer.write(piece)
                            await asyncio.sleep(0)
                        if how == "abort":
                            writer.transport.abort()
                        elif how == "close":
                            writer.close()
                        else:
                            # What is cut short ends here, or the request would last its time.
                            asyncio.get_running_loop().call_later(0.05, writer.transport.abort)

                    s.recorder.script = answers
                    await conversation(s, [asked], end)
                await nothing_is_left(s)
                s.recorder.faults.clear()

        uvloop.run(talk())

    for_seconds(soak_seconds, run, searching=pytestconfig.getoption("--soak"))

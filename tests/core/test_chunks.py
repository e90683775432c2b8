"""The chunked coding: read strictly, the end found exactly, the same wherever it is cut."""

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.bodies import Body
from gateway.core.chunks import LAST_CHUNK, Chunks, chunk
from gateway.core.refused import RefusedError


def read(data: bytes, *cuts: int) -> tuple[bytes, bool, int]:
    chunks, into, used = Chunks(), [], 0
    for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        used += chunks.read(data[start:end], into)
        if chunks.done:
            break
    return b"".join(into), chunks.done, used


def test_what_is_written_is_read():
    data = chunk(b"hello") + chunk(b"x" * 300) + LAST_CHUNK
    assert read(data) == (b"hello" + b"x" * 300, True, len(data))


def test_what_follows_is_left_alone():
    data = chunk(b"hello") + LAST_CHUNK
    assert read(data + b"GET / HTTP/1.1\r\n\r\n") == (b"hello", True, len(data))


def test_extensions_and_trailers_go_no_further():
    data = b'5;a=b;c="d"\r\nhello\r\n0;x\r\nX-T: 1\r\nY: 2\r\n\r\n'
    assert read(data + b"rest") == (b"hello", True, len(data))


REFUSED = [
    b"\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhelloX\r\n0\r\n\r\n",
    b"4\r\nhello\r\n0\r\n\r\n",
    b"6\r\nhello\r\n0\r\n\r\n",
    b"5\rhello\r\n0\r\n\r\n",
    b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    b"5_0\r\nhello\r\n0\r\n\r\n",
    b"g\r\nhello\r\n0\r\n\r\n",
    b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"0000000000000005\r\nhello\r\n0\r\n\r\n",
    b"5,5\r\nhello\r\n0\r\n\r\n",
    b"0\r\nX\r\n\r\n",
    b"0\r\n: x\r\n\r\n",
    b"0\r\nX : x\r\n\r\n",
    b"0\r\nX: a\nY: b\r\n\r\n",
    b"0\r\nX: a\x00\r\n\r\n",
    b"0\r\n X: folded\r\n\r\n",
    b"5;" + b"a" * 2000 + b"\r\nhello\r\n0\r\n\r\n",
    b"0\r\n" + b"A: b\r\n" * 3000 + b"\r\n",
]


@pytest.mark.parametrize("data", REFUSED)
def test_what_is_not_exactly_a_chunked_body_is_refused(data):
    with pytest.raises(RefusedError):
        read(data)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([*REFUSED, chunk(b"hello") + chunk(b"you") + LAST_CHUNK]), st.data())
def test_cutting_changes_nothing(data, draw):
    def verdict(*cuts):
        try:
            return read(data, *cuts)
        except RefusedError:
            return "refused"

    cuts = sorted(draw.draw(st.sets(st.integers(0, len(data)), max_size=6)))
    assert verdict(*cuts) == verdict()


class _Oracle:
    def __init__(self) -> None:
        self.body = b""
        self.complete = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True


_PARTS = [b"5\r\nhello\r\n", b"1\r\nx\r\n", b"0\r\n", b"\r\n", b"\n", b"5", b";a=b", b"hello"]
_PARTS += [b" ", b"0\r\n\r\n", b"X: y\r\n", b"0A\r\n0123456789\r\n", b"a\r\n", b"\r"]
_PIECES = st.lists(st.sampled_from(_PARTS), max_size=6).map(b"".join)


@settings(max_examples=500, deadline=None)
@given(_PIECES.map(lambda data: data + b"0\r\n\r\n"))
def test_the_parser_agrees_with_every_body_that_we_take(data):
    try:
        body, done, used = read(data)
    except RefusedError:
        return
    if not done:
        # The parser refuses a line before its end, we at it.
        return
    oracle = _Oracle()
    parser = httptools.HttpRequestParser(oracle)
    parser.feed_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    parser.feed_data(data[:used])
    assert (oracle.body, oracle.complete) == (body, done)


def test_a_body_of_known_length_ends_there():
    body, into = Body(5), []
    assert body.read(b"hel", into) == 3
    assert not body.done
    assert body.read(b"lo and more", into) == 2
    assert body.done
    assert b"".join(into) == b"hello"

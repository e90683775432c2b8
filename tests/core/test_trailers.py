"""Which trailers go on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.chunks import LAST_CHUNK, Chunks
from gateway.core.trailers import last_chunk, passes


@pytest.mark.parametrize("line", [b"X-Checksum: a", b"grpc-status: 0", b"Digest:", b"ETag: x"])
def test_what_is_about_the_content_passes(line):
    assert passes(line)


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 5",
        b"transfer-encoding: chunked",
        b"Host: other",
        b"Ebbtide-Model: other",
        b"ebbtide-reason: x",
        b"Connection: close",
        b"TE: trailers",
        b"Trailer: x",
        b"Authorization: x",
        b"Set-Cookie: x",
        b"Content-Type: a/b",
        b"X-Forwarded-For: 192.0.2.1",
        b"Forwarded: for=192.0.2.1",
        b"Via: 1.1 x",
        b"Content_Length: 5",
        b"Sec-WebSocket-Key: x",
    ],
)
def test_what_frames_routes_or_identifies_does_not(line):
    assert not passes(line)


def test_what_connection_names_does_not():
    assert passes(b"X-Hop: 1")
    assert not passes(b"X-Hop: 1", [b"close", b"x-hop"])


def test_with_nothing_to_pass_on_it_is_the_plain_last_chunk():
    assert last_chunk(()) == LAST_CHUNK
    assert last_chunk([b"Host: x"]) == LAST_CHUNK


NAMES = st.sampled_from([b"X-A", b"x-b", b"Host", b"Content-Length", b"ETag"])


@given(st.lists(st.tuples(NAMES, st.sampled_from([b"", b"v", b" v: w "])), max_size=5))
def test_what_goes_on_is_read_as_what_was_passed(fields):
    lines = [name + b":" + value for name, value in fields]
    chunks = Chunks()
    raw = last_chunk(lines)
    assert chunks.read(raw + b"GET", []) == len(raw)
    assert chunks.done
    assert list(chunks.trailers) == [line for line in lines if passes(line)]

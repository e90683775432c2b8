"""Whatever comes in: the cores of the gRPC relay raise what they say, and come to an end.

Bounded by time: each of the four takes its share, a new seed every round.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import hypothesis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.refused import RefusedError
from gateway.grpc.core import frames
from gateway.grpc.core.frames import BrokenError, StreamError
from gateway.grpc.core.heads import read_answer, read_call
from gateway.grpc.core.hpack import Decoder, HpackError, ListTooLargeError, encode
from gateway.grpc.core.messages import Messages
from gateway.grpc.core.renaming import Renaming
from gateway.grpc.core.walking import read_name
from tests.core.grpcwire import CUTS, PACK, framed, pieces, some_message

_AT_MOST_S = 60.0
_SHORT_S = 8.0


@contextmanager
def an_end() -> Iterator[None]:
    """A round that hangs fails."""

    def late(*_: object) -> None:
        pytest.fail("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, _AT_MOST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


rounds = settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# Octets that mean something to a block, between some that need not.
_TOKENS = [b"\x82", b"\xbe", b"\xff\x00", b"\x40", b"\x00", b"\x10", b"\x20", b"\x3f\xe1\x1f"]
_TOKENS += [b"\x01a", b"\x03abc", b"\x81\x1f", b"\x7f\xff\xff\xff\x0f", b"\xff\x80\x80\x80\x80\x01"]
BLOCKS = st.lists(st.sampled_from(_TOKENS) | st.binary(max_size=8), max_size=20).map(b"".join)


@rounds
@given(st.lists(BLOCKS, max_size=8), st.integers(0, 3000))
def any_blocks(blocks, limit):
    decoder, version = Decoder(), 0
    for block in blocks:
        try:
            fields = decoder.decode(block, limit=limit)
        except ListTooLargeError:
            continue
        except HpackError:
            return
        assert decoder.version == version + decoder.changed
        version = decoder.version
        assert sum(len(name) + len(value) + 32 for name, value in fields) <= limit
        assert Decoder().decode(encode(fields), limit=2**30) == fields
        if not decoder.changed:
            assert decoder.decode(block, limit=limit) == fields


FRAMES = st.lists(
    st.tuples(
        st.integers(0, 11),
        st.sampled_from([0, 1, 4, 8, 0x20, 0x28, 0x2D, 255]),
        st.sampled_from([0, 1, 3, 2**31 - 1]),
        st.binary(max_size=20) | st.integers(0, 3).map(lambda count: bytes(6 * count)),
    ),
    max_size=10,
)


@rounds
@given(FRAMES)
def any_frames(found):
    for kind, flags, stream, payload in found:
        try:
            frames.check(kind, flags, stream, len(payload))
            match kind:
                case frames.DATA if flags & frames.PADDED:
                    assert len(frames.unpadded(payload)) < len(payload)
                case frames.HEADERS:
                    assert len(frames.fragment(flags, payload)) <= len(payload)
                    frames.check_priority(kind, flags, stream, payload)
                case frames.PRIORITY:
                    frames.check_priority(kind, flags, stream, payload)
                case frames.SETTINGS:
                    frames.read_settings(payload)
                    frames.read_settings(payload, from_server=True)
                case frames.WINDOW_UPDATE:
                    assert 0 < frames.read_window_update(stream, payload) <= frames.MAX_WINDOW
                case frames.GOAWAY:
                    assert frames.read_goaway(payload)[0] <= frames.MAX_WINDOW
        except (BrokenError, StreamError):
            continue


BROKEN = st.lists(st.sampled_from([b"\x0a\x01a", b"\x3a\x80", b"\x0a"]) | st.binary(max_size=9))
BODIES = st.one_of(some_message, BROKEN.map(b"".join))
STREAMS = st.lists(
    st.one_of(
        st.builds(framed, BODIES),
        st.builds(lambda body: framed(PACK[b"gzip"](body), compressed=1), BODIES),
        st.builds(framed, st.binary(max_size=30), compressed=st.integers(0, 2)),
        st.binary(max_size=12),
    ),
    max_size=4,
).map(b"".join)


def names(data: list[bytes], encoding: bytes) -> object:
    messages = Messages(1, encoding=encoding, most=10_000)
    try:
        for piece in data:
            messages.feed(piece)
        messages.end()
    except RefusedError as error:
        return error.reason
    return messages.first, messages.count


@rounds
@given(STREAMS, CUTS, st.sampled_from([b"gzip", b"", b"deflate", b"br"]))
def any_messages(data, cuts, encoding):
    found = names([data] if data else [], encoding)
    assert names(pieces(data, cuts), encoding) == found
    if not isinstance(found, tuple):
        return
    assert read_name(data, 1) in (None, found[0])
    renaming = Renaming(1, b"served", encoding=encoding, most=10_000)
    try:
        renamed = b"".join(map(renaming.feed, pieces(data, cuts)))
    except RefusedError:
        return
    assert names([renamed], b"") == ((b"served", found[1]) if data else found)


OCTETS = st.binary(max_size=6) | st.sampled_from([b"", b"a", b"/a/b", b"10S", b"5", b"http", b"gw"])
_NAMED = [b":method", b":path", b":scheme", b":authority", b":status", b"host", b"te", b"x"]
_NAMED += [b"content-length", b"content-type", b"ebbtide-model", b"connection", b"grpc-status"]
NAMES = st.sampled_from([*_NAMED, b"grpc-timeout"])
START = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/b"), (b":authority", b"gw")]
MORE = st.lists(st.tuples(NAMES | OCTETS, OCTETS), max_size=5)


@rounds
@given(MORE, st.integers(0, 4), st.sampled_from([b"application/grpc", b"text/plain"]))
def any_heads(more, count, media):
    whole = [*START[:count], *more, (b"content-type", media)]
    for read in (
        read_call,
        lambda fields: read_answer([(b":status", b"200"), *fields[count:]], trailers=False),
        lambda fields: read_answer(fields[count:], trailers=True),
    ):
        try:
            head = read(whole)
        except (StreamError, RefusedError):
            continue
        sent_on = Decoder().decode(head.block, limit=2**20)
        if read is read_call:
            again = read_call(sent_on)
            assert (again.path, again.authority) == (head.path, head.authority)
        else:
            again = read_answer(sent_on, trailers=not head.status)
        assert again.block == head.block
        assert again.fields == head.fields


@pytest.mark.soak
@pytest.mark.parametrize("attempt", [any_blocks, any_frames, any_messages, any_heads])
def test_whatever_comes_in(attempt, soak_seconds):
    full = soak_seconds >= 600
    end = time.monotonic() + (soak_seconds if full else _SHORT_S) / 4
    seed = time.time_ns() if full else 0
    while time.monotonic() < end:
        with an_end():
            hypothesis.seed(seed)(attempt)()
        seed += 1

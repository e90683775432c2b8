"""HTTP/2 frames: what is written is to the letter, and what breaks a rule says so with its code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.grpc.core import frames
from gateway.grpc.core.frames import BrokenError, Code, StreamError


def parsed(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """(kind, flags, stream, payload) of each frame, as RFC 9113, 4.1 lays it out."""
    found, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 3], "big")
        stream = int.from_bytes(data[at + 5 : at + 9], "big")
        payload = data[at + 9 : at + 9 + length]
        assert len(payload) == length
        found.append((data[at + 3], data[at + 4], stream, payload))
        at += 9 + length
    return found


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary(max_size=300))
def test_a_frame_is_laid_out_as_the_rfc_has_it(kind, flags, stream, payload):
    assert parsed(frames.frame(kind, flags, stream, payload)) == [(kind, flags, stream, payload)]


@given(st.binary(max_size=100), st.integers(1, 40), st.booleans())
def test_a_block_of_any_length_is_split_and_whole_again(block, most, end):
    first, *more = parsed(frames.headers(5, block, end=end, most=most))
    assert first[0] == frames.HEADERS
    assert bool(first[1] & frames.END_STREAM) is end
    assert all(kind == frames.CONTINUATION for kind, _, _, _ in more)
    assert all(not flags & ~frames.END_HEADERS for _, flags, _, _ in more)
    ends = [bool(flags & frames.END_HEADERS) for _, flags, _, _ in (first, *more)]
    assert ends == [False] * len(more) + [True]
    assert all(stream == 5 and len(payload) <= most for _, _, stream, payload in (first, *more))
    assert all(payload for _, _, _, payload in more)
    assert b"".join(payload for _, _, _, payload in (first, *more)) == block


def test_the_small_frames():
    assert frames.settings({}) == bytes.fromhex("000000 04 00 00000000")
    assert frames.settings({4: 2**20, 5: 2**14}) == bytes.fromhex(
        "00000c 04 00 00000000 0004 00100000 0005 00004000"
    )
    assert frames.reset(3, Code.CANCEL) == bytes.fromhex("000004 03 00 00000003 00000008")
    assert frames.window_update(0, 1) == bytes.fromhex("000004 08 00 00000000 00000001")
    assert frames.ping(b"12345678", ack=True) == b"\0\0\x08\x06\x01\0\0\0\0" + b"12345678"
    assert frames.ping(b"12345678", ack=False) == b"\0\0\x08\x06\x00\0\0\0\0" + b"12345678"
    assert frames.goaway(7, Code.NO_ERROR, "bye") == bytes.fromhex(
        "00000b 07 00 00000000 00000007 00000000 627965"
    )
    assert frames.read_goaway(bytes.fromhex("80000007 0000000b 627965")) == (7, 11, "bye")
    assert frames.read_goaway(bytes(8) + b"\xff\n")[2] == "\ufffd\n"


BROKEN = [
    (frames.DATA, 0, 0, 1, Code.PROTOCOL_ERROR),
    (frames.HEADERS, 4, 0, 1, Code.PROTOCOL_ERROR),
    (frames.PRIORITY, 0, 0, 5, Code.PROTOCOL_ERROR),
    (frames.RST_STREAM, 0, 0, 4, Code.PROTOCOL_ERROR),
    (frames.RST_STREAM, 0, 1, 3, Code.FRAME_SIZE_ERROR),
    (frames.RST_STREAM, 0, 1, 5, Code.FRAME_SIZE_ERROR),
    (frames.SETTINGS, 0, 1, 6, Code.PROTOCOL_ERROR),
    (frames.SETTINGS, 0, 0, 5, Code.FRAME_SIZE_ERROR),
    (frames.SETTINGS, 1, 0, 6, Code.FRAME_SIZE_ERROR),
    (frames.PUSH_PROMISE, 4, 1, 4, Code.PROTOCOL_ERROR),
    (frames.PUSH_PROMISE, 4, 0, 4, Code.PROTOCOL_ERROR),
    (frames.PING, 0, 1, 8, Code.PROTOCOL_ERROR),
    (frames.PING, 0, 0, 7, Code.FRAME_SIZE_ERROR),
    (frames.PING, 1, 0, 9, Code.FRAME_SIZE_ERROR),
    (frames.GOAWAY, 0, 1, 8, Code.PROTOCOL_ERROR),
    (frames.GOAWAY, 0, 0, 7, Code.FRAME_SIZE_ERROR),
    (frames.WINDOW_UPDATE, 0, 0, 3, Code.FRAME_SIZE_ERROR),
    (frames.WINDOW_UPDATE, 0, 1, 5, Code.FRAME_SIZE_ERROR),
    (frames.CONTINUATION, 4, 0, 1, Code.PROTOCOL_ERROR),
]


@pytest.mark.parametrize(("kind", "flags", "stream", "length", "code"), BROKEN)
def test_a_frame_that_ends_the_connection(kind, flags, stream, length, code):
    with pytest.raises(BrokenError) as caught:
        frames.check(kind, flags, stream, length)
    assert caught.value.code is code


def test_a_priority_of_a_wrong_length_ends_its_stream_alone():
    with pytest.raises(StreamError) as caught:
        frames.check(frames.PRIORITY, 0, 3, 4)
    assert caught.value.code is Code.FRAME_SIZE_ERROR


@pytest.mark.parametrize(
    ("kind", "flags", "stream", "length"),
    [
        (frames.DATA, 0, 1, 0),
        (frames.HEADERS, 0, 1, 0),
        (frames.PRIORITY, 0, 1, 5),
        (frames.RST_STREAM, 0xFF, 1, 4),
        (frames.SETTINGS, 1, 0, 0),
        (frames.SETTINGS, 0, 0, 12),
        (frames.PING, 0, 0, 8),
        (frames.GOAWAY, 0, 0, 8),
        (frames.GOAWAY, 0, 0, 80),
        (frames.WINDOW_UPDATE, 0, 0, 4),
        (frames.WINDOW_UPDATE, 0, 9, 4),
        (frames.CONTINUATION, 0, 9, 0),
        (0x42, 0xFF, 0, 3),
        (0x42, 0xFF, 7, 3),
    ],
)
def test_a_frame_that_may_be(kind, flags, stream, length):
    frames.check(kind, flags, stream, length)


@given(st.binary(max_size=50), st.integers(0, 255), st.booleans())
def test_padding_and_priority_are_taken_off(block, padding, prioritised):
    priority = bytes((0, 0, 0, 1, 16)) if prioritised else b""
    payload = bytes((padding,)) + priority + block + bytes(padding)
    flags = frames.PADDED | (frames.PRIORITY_FLAG if prioritised else 0)
    assert frames.fragment(flags, payload) == block
    assert frames.fragment(flags & ~frames.PADDED, priority + block) == block
    assert frames.unpadded(bytes((padding,)) + block + bytes(padding)) == block


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", Code.FRAME_SIZE_ERROR),
        (b"\x01", Code.PROTOCOL_ERROR),
        (b"\x04abc", Code.PROTOCOL_ERROR),
        (b"\xffabc", Code.PROTOCOL_ERROR),
    ],
)
def test_padding_as_long_as_its_frame_breaks_the_connection(payload, code):
    with pytest.raises(BrokenError) as caught:
        frames.unpadded(payload)
    assert caught.value.code is code
    with pytest.raises(BrokenError):
        frames.fragment(frames.PADDED, payload)


def test_a_priority_that_is_announced_must_be_there():
    with pytest.raises(BrokenError) as caught:
        frames.fragment(frames.PRIORITY_FLAG, b"abcd")
    assert caught.value.code is Code.FRAME_SIZE_ERROR
    with pytest.raises(BrokenError):
        frames.fragment(frames.PRIORITY_FLAG | frames.PADDED, b"\x01abcd\0")


def test_a_stream_that_depends_on_itself():
    of_itself, exclusive = bytes((0, 0, 0, 3, 16)), bytes((0x80, 0, 0, 3, 16))
    for priority in (of_itself, exclusive):
        for kind, flags, payload in [
            (frames.PRIORITY, 0, priority),
            (frames.HEADERS, frames.PRIORITY_FLAG, priority + b"\x82"),
            (frames.HEADERS, frames.PRIORITY_FLAG | frames.PADDED, b"\0" + priority),
        ]:
            with pytest.raises(StreamError) as caught:
                frames.check_priority(kind, flags, 3, payload)
            assert caught.value.code is Code.PROTOCOL_ERROR
            frames.check_priority(kind, flags, 5, payload)
    frames.check_priority(frames.HEADERS, frames.END_HEADERS, 3, of_itself)


def setting(key: int, value: int) -> bytes:
    return key.to_bytes(2, "big") + value.to_bytes(4, "big")


@given(st.dictionaries(st.sampled_from([1, 3, 6]), st.integers(0, 2**32 - 1)))
def test_settings_are_read_as_they_were_written(values):
    ((_, _, _, payload),) = parsed(frames.settings(values))
    assert dict(frames.read_settings(payload)) == values


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        (frames.ENABLE_PUSH, 2, Code.PROTOCOL_ERROR),
        (frames.INITIAL_WINDOW_SIZE, 2**31, Code.FLOW_CONTROL_ERROR),
        (frames.MAX_FRAME_SIZE, 2**14 - 1, Code.PROTOCOL_ERROR),
        (frames.MAX_FRAME_SIZE, 2**24, Code.PROTOCOL_ERROR),
        (frames.ENABLE_CONNECT_PROTOCOL, 2, Code.PROTOCOL_ERROR),
    ],
)
def test_a_setting_out_of_its_range(key, value, code):
    with pytest.raises(BrokenError) as caught:
        frames.read_settings(setting(3, 1) + setting(key, value))
    assert caught.value.code is code


def test_settings_at_the_edge_of_their_range():
    allowed = [(2, 0), (2, 1), (4, 0), (4, 2**31 - 1), (5, 2**14), (5, 2**24 - 1), (8, 1)]
    assert frames.read_settings(b"".join(setting(*one) for one in allowed)) == allowed
    unknown = setting(0, 5) + setting(7, 5) + setting(9, 5) + setting(0xFFFF, 2**32 - 1)
    assert frames.read_settings(unknown) == []


def test_a_server_may_not_announce_that_it_pushes():
    assert frames.read_settings(setting(2, 0), from_server=True) == [(2, 0)]
    with pytest.raises(BrokenError):
        frames.read_settings(setting(2, 1), from_server=True)


def test_settings_cut_off():
    with pytest.raises(BrokenError) as caught:
        frames.read_settings(setting(3, 1) + b"\0")
    assert caught.value.code is Code.FRAME_SIZE_ERROR


def test_window_updates():
    assert frames.read_window_update(0, bytes.fromhex("80000001")) == 1
    assert frames.read_window_update(1, bytes.fromhex("7fffffff")) == frames.MAX_WINDOW
    with pytest.raises(BrokenError):
        frames.read_window_update(0, bytes(4))
    with pytest.raises(StreamError):
        frames.read_window_update(1, bytes.fromhex("80000000"))

"""The names in messages: what protobuf would read, wherever a message is cut, at flat memory."""

import gzip
import tracemalloc
import zlib

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from fleet.reasons import Reason
from gateway.core.refused import RefusedError
from gateway.grpc.core.inflating import FREE
from gateway.grpc.core.messages import Messages
from gateway.grpc.core.walking import MOST_FIELDS, MOST_NAME, read_name
from tests.core.grpcwire import CUTS, PACK, framed, infer, pieces, some_message, string, varint

MOST = 2**30


def taken(data: list[bytes] | bytes, *, encoding: bytes = b"", most: int = MOST) -> Messages:
    messages = Messages(1, encoding=encoding, most=most)
    for piece in [data] if isinstance(data, bytes) else data:
        messages.feed(piece)
    messages.end()
    return messages


def verdict(data: list[bytes] | bytes, **more) -> object:
    """The name, or the reason to refuse."""
    try:
        return taken(data, **more).first
    except RefusedError as error:
        return error.reason


@given(st.text(min_size=1, max_size=40), st.integers(0, 2000), CUTS)
def test_what_clients_write_is_read_wherever_it_is_cut(name, size, cuts):
    data = framed(infer(name, size, id="7", model_version="1"))
    assert taken(pieces(data, cuts)).first == name.encode()
    assert read_name(data, 1) == name.encode()


@settings(max_examples=200, deadline=None)
@given(some_message, CUTS)
def test_the_name_is_the_one_that_protobuf_reads(message, cuts):
    data = framed(message)
    found = verdict(pieces(data, cuts))
    assert found == verdict(data)
    request = service_pb2.ModelInferRequest.FromString(message)
    if isinstance(found, bytes):
        assert found == request.model_name.encode()
    elif found is Reason.NO_MODEL:
        assert not request.model_name
    else:
        assert found is Reason.MODEL_CONFLICT
    assert read_name(data, 1) in (None, found)


@settings(max_examples=200, deadline=None)
@given(some_message, st.data(), CUTS)
def test_no_damage_makes_us_read_another_name_than_protobuf(message, draw, cuts):
    octets = bytearray(message + b"\x0a\x01a")
    for _ in range(draw.draw(st.integers(1, 3))):
        octets[draw.draw(st.integers(0, len(octets) - 1))] = draw.draw(st.integers(0, 255))
    data = framed(bytes(octets))
    found = verdict(data)
    assert verdict(pieces(data, cuts)) == found
    assert read_name(data, 1) in (None, found)
    if isinstance(found, bytes):
        try:
            request = service_pb2.ModelInferRequest.FromString(bytes(octets))
        except DecodeError:
            return  # What fields hold is not ours to look at.
        assert found == request.model_name.encode()


def test_the_name_may_come_last_and_twice():
    late = string(7, b"x" * 300) + string(1, b"a")
    assert taken(framed(late)).first == b"a"
    assert taken(framed(string(1, b"a") + late)).first == b"a"


REFUSED = {
    "two names": (string(1, b"a") + string(1, b"b"), Reason.MODEL_CONFLICT),
    "two names far apart": (
        string(1, b"a") + string(7, b"x" * 5000) + string(1, b"b"),
        Reason.MODEL_CONFLICT,
    ),
    "a name, then an empty one": (string(1, b"a") + string(1, b""), Reason.MODEL_CONFLICT),
    "a second name behind an integer": (
        string(1, b"a") + b"\x40\x03" + string(1, b"b"),
        Reason.MODEL_CONFLICT,
    ),
    "no name": (string(2, b"1"), Reason.NO_MODEL),
    "nothing": (b"", Reason.NO_MODEL),
    "a length beyond the end": (string(1, b"a") + b"\x3a\x05abc", Reason.MALFORMED),
    "a name beyond the end": (b"\x0a\x05abc", Reason.MALFORMED),
    "a tag and no more": (string(1, b"a") + b"\x3a", Reason.MALFORMED),
    "a tag cut off": (string(1, b"a") + b"\x80", Reason.MALFORMED),
    "a length cut off": (string(1, b"a") + b"\x3a\x80", Reason.MALFORMED),
    "a length of four GiB": (string(1, b"a") + b"\x3a\xff\xff\xff\xff\x0f", Reason.MALFORMED),
    "a length of 33 bits": (string(1, b"a") + b"\x3a\xff\xff\xff\xff\x1f", Reason.MALFORMED),
    "a length of six bytes": (string(1, b"a") + b"\x3a\x81\x80\x80\x80\x80\0x", Reason.MALFORMED),
    "a tag of six bytes": (string(1, b"a") + b"\xba\x80\x80\x80\x80\0\x01x", Reason.MALFORMED),
    "a tag of 33 bits": (string(1, b"a") + b"\xba\x80\x80\x80\x10\x00", Reason.MALFORMED),
    "a name's tag of 33 bits": (b"\x8a\x80\x80\x80\x10\x01a", Reason.MALFORMED),
    "an integer of eleven bytes": (
        string(1, b"a") + b"\x40" + b"\x80" * 10 + b"\0",
        Reason.MALFORMED,
    ),
    "an integer cut off": (string(1, b"a") + b"\x40\x80", Reason.MALFORMED),
    "eight bytes cut off": (string(1, b"a") + b"\x411234567", Reason.MALFORMED),
    "four bytes cut off": (string(1, b"a") + b"\x45123", Reason.MALFORMED),
    "a group": (string(1, b"a") + b"\x43\x44", Reason.MALFORMED),
    "the end of a group": (string(1, b"a") + b"\x44", Reason.MALFORMED),
    "wire type 6": (string(1, b"a") + b"\x46", Reason.MALFORMED),
    "wire type 7": (string(1, b"a") + b"\x47", Reason.MALFORMED),
    "field 0": (string(1, b"a") + b"\x02\x00", Reason.MALFORMED),
    "a name that is a number": (string(1, b"a") + b"\x08\x01", Reason.MALFORMED),
    "a name that is too long": (string(1, b"a" * (MOST_NAME + 1)), Reason.MALFORMED),
    "too many fields": (string(1, b"a") + b"\x40\x01" * MOST_FIELDS, Reason.MALFORMED),
    "too many empty fields": (string(1, b"a") + b"\x42\x00" * MOST_FIELDS, Reason.MALFORMED),
}


@pytest.mark.parametrize(("message", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_message_that_is_refused(message, reason):
    data = framed(message)
    # What follows is no part of the message, whatever it would make of it.
    assert verdict(data) is reason
    assert verdict(data + framed(string(1, b"a"))) is reason
    assert verdict([data[index : index + 1] for index in range(len(data))]) is reason


ACCEPTED = {
    "an integer of ten bytes": b"\x40" + b"\x80" * 9 + b"\x01",
    "needless zeros": string(1, b"a", padding=3),
    "the last field number": varint((2**29 - 1) << 3) + b"\x01",
    "the longest name": b"",
    "as many fields as may be": b"\x40\x01" * (MOST_FIELDS - 1),
}


@pytest.mark.parametrize("more", ACCEPTED.values(), ids=ACCEPTED)
def test_a_message_at_the_edge(more):
    assert taken(framed(string(1, b"a") + more)).first == b"a"


def test_the_longest_name_however_it_is_cut():
    name = b"n" * MOST_NAME
    data = framed(string(1, name))
    for at in range(len(data)):
        assert taken([data[:at], data[at:]]).first == name


def test_every_message_of_a_stream_is_looked_at():
    one, other = framed(infer("a")), framed(infer("b"))
    assert taken(one * 5).count == 5
    assert taken([one] * 5).count == 5
    assert verdict([one, one, other]) is Reason.MODEL_CONFLICT
    assert verdict(one + one + other) is Reason.MODEL_CONFLICT
    assert verdict([one, framed(b"")]) is Reason.NO_MODEL


@given(st.lists(st.integers(0, 300), min_size=1, max_size=5), CUTS, st.booleans())
def test_a_stream_may_be_cut_anywhere(sizes, cuts, gone):
    data = b"".join(framed(infer("a", size)) for size in sizes)
    if gone:
        data += framed(infer("other"))
    expected = Reason.MODEL_CONFLICT if gone else b"a"
    assert verdict(pieces(data, cuts)) == expected


def test_a_name_is_known_before_its_message_has_come():
    messages = Messages(1, encoding=b"", most=MOST)
    data = framed(infer("a", 5000))
    messages.feed(data[:10])
    assert messages.first == b"a"
    assert messages.count == 0


def test_a_wrong_name_is_refused_before_its_message_has_come():
    messages = Messages(1, encoding=b"", most=MOST)
    messages.feed(framed(infer("a", 50)))
    with pytest.raises(RefusedError):
        messages.feed(framed(infer("b", 5000))[:10])


def test_a_field_beyond_its_message_is_refused_as_soon_as_its_length_has_come():
    messages = Messages(1, encoding=b"", most=MOST)
    with pytest.raises(RefusedError):
        messages.feed(b"\0\0\x01\0\0\x3a\xff\xff\xff\x07")


@pytest.mark.parametrize("data", [b"\0", b"\0\0\0\0", b"\0\0\0\0\x05\x0a", framed(b"")[:3]])
def test_a_message_that_is_cut_off(data):
    assert verdict(data) is Reason.MALFORMED


def test_a_message_over_the_limit_is_refused_by_its_prefix():
    data = framed(infer("a", 100))
    size = len(data) - 5
    assert verdict(data, most=size) == verdict([data[:3], data[3:]], most=size) == b"a"
    assert verdict(data, most=size - 1) is Reason.BODY_TOO_LARGE
    messages = Messages(1, encoding=b"", most=size - 1)
    with pytest.raises(RefusedError):
        messages.feed(data[:5])


def test_a_flag_that_is_none():
    assert verdict(b"\x02" + framed(infer("a"))[1:]) is Reason.MALFORMED
    packed = framed(gzip.compress(infer("a")), compressed=2)
    assert verdict(packed, encoding=b"gzip") is Reason.MALFORMED


@pytest.mark.parametrize("encoding", PACK)
@settings(max_examples=50)
@given(some_message, CUTS)
def test_compressed_messages_are_read_alike(encoding, message, cuts):
    data = framed(PACK[encoding](message), compressed=1)
    assert verdict(pieces(data, cuts), encoding=encoding) == verdict(framed(message))


@pytest.mark.parametrize("encoding", PACK)
def test_a_stream_may_mix_compressed_and_plain(encoding):
    plain = infer("a", 300)
    packed = framed(PACK[encoding](plain), compressed=1)
    assert taken(packed + framed(plain) + packed, encoding=encoding).count == 3
    other = framed(PACK[encoding](infer("b")), compressed=1)
    assert verdict(packed + other, encoding=encoding) is Reason.MODEL_CONFLICT


def test_what_cannot_be_opened_is_refused_and_what_is_plain_anyway_is_not():
    packed = framed(gzip.compress(infer("a")), compressed=1)
    assert verdict(packed, encoding=b"snappy") is Reason.UNKNOWN_ENCODING
    assert verdict(packed, encoding=b"identity") is Reason.MALFORMED
    assert verdict(packed) is Reason.MALFORMED
    assert verdict(packed, encoding=b"deflate") is Reason.MALFORMED
    assert verdict(framed(infer("a")), encoding=b"snappy") == b"a"


WHOLE = gzip.compress(infer("a", 300))


@pytest.mark.parametrize(
    "packed",
    [
        WHOLE[:-1],
        WHOLE[:20],
        b"",
        WHOLE + b"x",
        WHOLE + gzip.compress(string(1, b"b")),
        WHOLE[:-8] + bytes(8),
        gzip.compress(string(1, b"a") + b"\x3a\x05abc"),
        zlib.compress(infer("a"), wbits=-15),
    ],
    ids=["cut", "cut early", "empty", "more", "a second member", "sum", "inner cut", "raw"],
)
def test_a_compressed_message_that_is_not_exactly_one(packed):
    data = framed(packed, compressed=1)
    assert verdict(data, encoding=b"gzip") is Reason.MALFORMED
    assert verdict([data[index : index + 1] for index in range(len(data))], encoding=b"gzip") is (
        Reason.MALFORMED
    )


def packed_zeros(size: int) -> bytes:
    """A message that names a model and holds `size` zeros, compressed as far as it goes."""
    packer = zlib.compressobj(9)
    start = string(1, b"a") + varint(7 << 3 | 2) + varint(size)
    zeros = bytes(2**20)
    data = [packer.compress(start)]
    data += [packer.compress(zeros[: min(2**20, size - at)]) for at in range(0, size, 2**20)]
    return b"".join(data) + packer.flush()


def test_an_honest_message_of_nothing_but_zeros_passes():
    data = framed(packed_zeros(FREE - 100), compressed=1)
    assert verdict(data, encoding=b"deflate") == b"a"


def test_a_bomb_takes_neither_memory_nor_time():
    data = framed(packed_zeros(4 * FREE), compressed=1)
    tracemalloc.start()
    try:
        assert verdict(data, encoding=b"deflate") is Reason.BODY_TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 400_000
    finally:
        tracemalloc.stop()
    assert verdict(data, encoding=b"deflate", most=10**6) is Reason.BODY_TOO_LARGE


def test_a_message_of_a_gibibyte_takes_no_memory():
    size = 2**30
    frame = bytes(2**16)
    messages = Messages(1, encoding=b"", most=2 * size)
    start = string(1, b"a") + varint(7 << 3 | 2) + varint(size)
    tracemalloc.start()
    try:
        messages.feed(b"\0" + (len(start) + size).to_bytes(4, "big") + start)
        for _ in range(size // len(frame)):
            messages.feed(frame)
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()
    messages.end()
    assert (messages.first, messages.count) == (b"a", 1)


def test_what_is_kept_of_a_cut_name_is_bounded():
    messages = Messages(1, encoding=b"", most=2**30)
    with pytest.raises(RefusedError):
        messages.feed(b"\0\x10\0\0\0" + b"\x0a\xff\xff\x7f")

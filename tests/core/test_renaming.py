"""Renamed messages: what protobuf reads is the same but for the name, wherever they are cut."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from fleet.reasons import Reason
from gateway.core.refused import RefusedError
from gateway.grpc.core.messages import PREFIX
from gateway.grpc.core.renaming import KEPT, Renaming
from tests.core.grpcwire import CUTS, PACK, framed, infer, pieces, string


def renamed(data: list[bytes] | bytes, served: bytes = b"served", encoding: bytes = b"") -> bytes:
    renaming = Renaming(1, served, encoding=encoding, most=2**30)
    return b"".join(map(renaming.feed, [data] if isinstance(data, bytes) else data))


def messages(data: bytes) -> list[service_pb2.ModelInferRequest]:
    found = []
    while data:
        assert data[0] == 0
        end = PREFIX + int.from_bytes(data[1:PREFIX], "big")
        found.append(service_pb2.ModelInferRequest.FromString(data[PREFIX:end]))
        data = data[end:]
    return found


def refused(data: list[bytes] | bytes, encoding: bytes = b"") -> Reason:
    with pytest.raises(RefusedError) as caught:
        renamed(data, encoding=encoding)
    return caught.value.reason


NAMES = st.text(min_size=1, max_size=200)


@settings(deadline=None)
@given(NAMES, NAMES, st.lists(st.integers(0, 300), min_size=1, max_size=4), CUTS)
def test_the_name_changes_and_nothing_else(name, served, sizes, cuts):
    data = b"".join(framed(infer(name, size, id="7")) for size in sizes)
    expected = b"".join(framed(infer(served, size, id="7")) for size in sizes)
    assert renamed(pieces(data, cuts), served.encode()) == expected


def test_the_name_may_come_behind_other_fields():
    data = framed(string(2, b"1") + string(3, b"id") + string(1, b"name") + string(7, b"xyz"))
    (message,) = messages(renamed(data))
    assert (message.model_name, message.model_version, message.id) == ("served", "1", "id")
    assert message.raw_input_contents == [b"xyz"]


def test_a_large_message_passes_through_once_its_name_has_come():
    data = framed(infer("name", 10 * KEPT))
    renaming = Renaming(1, b"served", encoding=b"", most=2**30)
    start = renaming.feed(data[:20])
    assert len(start) == 20 + len(b"served") - len(b"name")
    assert renaming.feed(data[20:90_000]) == data[20:90_000]


def test_a_name_that_comes_too_late_is_refused():
    edge = KEPT - len(string(1, b"name")) - 4
    assert renamed(framed(string(7, b"x" * edge) + string(1, b"name")))
    late = framed(string(7, b"x" * (edge + 1)) + string(1, b"name"))
    assert refused(late) is Reason.MALFORMED
    assert refused(pieces(late, [20, 40, 200])) is Reason.MALFORMED
    assert refused([late[:-3], late[-3:]]) is Reason.MALFORMED


def test_a_name_that_stands_twice_is_refused():
    assert refused(framed(string(1, b"name") * 2)) is Reason.MALFORMED
    far = framed(string(1, b"name") + string(7, b"x" * 2 * KEPT) + string(1, b"name"))
    renaming = Renaming(1, b"served", encoding=b"", most=2**30)
    assert renaming.feed(far[:-6])
    with pytest.raises(RefusedError):
        renaming.feed(far[-6:])


@pytest.mark.parametrize("encoding", PACK)
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 3000), CUTS)
def test_a_compressed_message_goes_on_uncompressed(encoding, size, cuts):
    packed = framed(PACK[encoding](infer("name", size)), compressed=1)
    both = packed + framed(infer("name", 3)) + packed
    expected = [infer("served", size), infer("served", 3), infer("served", size)]
    found = renamed(pieces(both, cuts), encoding=encoding)
    assert found == b"".join(map(framed, expected))


@pytest.mark.parametrize("encoding", PACK)
def test_a_compressed_message_that_is_large_is_refused(encoding):
    assert refused(framed(PACK[encoding](infer("n", KEPT)), compressed=1), encoding) is (
        Reason.BODY_TOO_LARGE
    )
    large = random.Random(1).randbytes(2 * KEPT)
    packed = framed(PACK[encoding](string(1, b"n") + string(7, large)), compressed=1)
    assert refused(packed, encoding) is Reason.BODY_TOO_LARGE
    twice = framed(PACK[encoding](string(1, b"n") * 2), compressed=1)
    assert refused(twice, encoding) is Reason.MALFORMED


@pytest.mark.parametrize("message", [b"", string(7, b"x")])
def test_a_message_without_a_name_is_refused(message):
    assert refused(framed(message)) is Reason.NO_MODEL

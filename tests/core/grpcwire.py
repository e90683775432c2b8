"""Messages to try: made with the clients' own classes, or field by field, right and wrong."""

import gzip
import zlib
from itertools import pairwise

from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

__all__ = ["CUTS", "PACK", "framed", "infer", "pieces", "some_message", "string", "varint"]

PACK = {b"gzip": gzip.compress, b"deflate": zlib.compress}


def framed(message: bytes, *, compressed: int = 0) -> bytes:
    """With its prefix."""
    return bytes((compressed,)) + len(message).to_bytes(4, "big") + message


def infer(name: str, size: int = 64, **more: str) -> bytes:
    """An inference as a client writes it."""
    request = service_pb2.ModelInferRequest(model_name=name, **more)
    tensor = request.inputs.add()
    tensor.name, tensor.datatype = "x", "UINT8"
    tensor.shape.extend([1, size])
    request.raw_input_contents.append(b"\x01" * size)
    return request.SerializeToString()


def varint(value: int, *, padding: int = 0) -> bytes:
    """An integer, with as many needless zeros as asked for."""
    octets = []
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(octets) + (
        bytes((value | 0x80,)) + b"\x80" * (padding - 1) + b"\0" if padding else bytes((value,))
    )


def string(field: int, text: bytes, *, padding: int = 0) -> bytes:
    """A field of wire type 2."""
    return varint(field << 3 | 2, padding=padding) + varint(len(text), padding=padding) + text


_NAMES = st.sampled_from([b"a", b"a", b"a", b"b", b"", b"model" * 40])
_FIELDS = st.one_of(
    st.builds(string, st.just(1), _NAMES, padding=st.integers(0, 2)),
    st.builds(string, st.integers(2, 3), st.sampled_from([b"", b"1", b"text"])),
    st.builds(string, st.integers(8, 5000), st.binary(max_size=200), padding=st.integers(0, 2)),
    st.builds(
        lambda field, value: varint(field << 3) + varint(value),
        st.integers(8, 5000),
        st.integers(0, 2**64 - 1),
    ),
    st.builds(lambda field: varint(field << 3 | 1) + b"12345678", st.integers(8, 99)),
    st.builds(lambda field: varint(field << 3 | 5) + b"1234", st.integers(8, 99)),
)
some_message = st.lists(_FIELDS, max_size=6).map(b"".join)
"""Fields of an inference, known and unknown, in any order, as often as they like."""

CUTS = st.lists(st.integers(0, 400), max_size=6)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` cut at these places."""
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    return [data[start:end] for start, end in pairwise(places)]

"""Runs of whole chunks are read as single ones are, however the bytes are cut."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.chunks import Chunks, chunk, chunk_pieces
from gateway.core.refused import RefusedError

SPELLINGS = st.sampled_from([b"%x", b"%X", b"0%x", b"%x;a=b"])


def told(stream: bytes, cuts: list[int]) -> tuple[bytes, int] | str:
    """What was read of `stream`, given in pieces: the body and its end, or that it was refused."""
    chunks, pieces, used = Chunks(), [], 0
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    try:
        for start, end in pairwise(edges):
            if not chunks.done:
                used += chunks.read(stream[start:end], pieces)
    except RefusedError:
        return "refused"
    return (b"".join(pieces), used) if chunks.done else "more"


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=20), SPELLINGS), max_size=6),
    st.lists(st.integers(0, 300), max_size=6),
    st.binary(max_size=4),
)
@settings(max_examples=150)
def test_cuts_change_nothing(parts, cuts, behind):
    framed = b"".join(size % len(data) + b"\r\n" + data + b"\r\n" for data, size in parts)
    stream = framed + b"0\r\n\r\n"
    body = b"".join(data for data, _ in parts)
    assert told(stream + behind, cuts) == (body, len(stream))


@given(
    st.lists(st.binary(min_size=1, max_size=9).map(chunk), min_size=1, max_size=4),
    st.integers(0, 60),
    st.integers(0, 255),
)
@settings(max_examples=150)
def test_a_byte_that_is_wrong_is_seen_whole_or_cut(framed, where, byte):
    stream = bytearray(b"".join(framed) + b"0\r\n\r\n")
    stream[where % len(stream)] = byte
    whole = told(bytes(stream), [])
    assert told(bytes(stream), list(range(len(stream)))) == whole


def test_what_is_large_is_not_copied_for_its_frame():
    small, large = b"x" * 100, b"x" * 2**17
    assert chunk_pieces(small) == (chunk(small),)
    assert chunk_pieces(large)[1] is large
    assert b"".join(chunk_pieces(large)) == chunk(large)

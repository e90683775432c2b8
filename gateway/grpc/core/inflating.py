"""Compressed messages (`grpc-encoding`), opened only to look through them. Pure.

What is inflated is looked at in small pieces and dropped: a bomb takes no memory, and no more time
than one honest message of `FREE` bytes, as beyond that its size is held against what was sent.

Rule 1: gzip and deflate (as zlib wraps it), one stream to a message, complete, with nothing behind
        it: a reader that stops early and one that goes on would see two messages.
Rule 2: what a message inflates to is bounded as if it had been sent so.
"""

import zlib

from fleet.reasons import Reason
from gateway.core.refused import RefusedError
from gateway.grpc.core.walking import Walk

__all__ = ["ACCEPTED", "FREE", "Inflating", "inflated", "is_known"]

ACCEPTED = b"identity,deflate,gzip"
"""The `grpc-accept-encoding` of our own answers."""
FREE = 16 * 2**20
"""Up to this many bytes a message may inflate to whatever it was; see `_RATIO`."""
_RATIO = 128
"""And beyond that, to this many times what has come of it."""
_PIECE = 64 * 2**10
_WINDOW = {b"gzip": 31, b"deflate": 15}


def is_known(encoding: bytes) -> bool:
    """Whether messages with this `grpc-encoding` can be opened."""
    return encoding in _WINDOW


def inflated(data: bytes, encoding: bytes, most: int) -> bytes | None:
    """What a whole message inflates to; None if that is more than `most` bytes, or it is broken."""
    inflater = zlib.decompressobj(_WINDOW[encoding])
    try:
        text = inflater.decompress(data, most + 1)
    except zlib.error:
        return None
    return text if inflater.eof and len(text) <= most else None


class Inflating:
    """One compressed message, as it comes."""

    __slots__ = ("_came", "_inflater", "_walk", "made", "most")

    def __init__(self, encoding: bytes, walk: Walk, most: int) -> None:
        self._inflater = zlib.decompressobj(_WINDOW[encoding])
        self._walk = walk
        self.most = most
        self._came = 0
        self.made = 0
        """Bytes that it has inflated to so far."""

    def take(self, data: bytes, at: int, end: int) -> None:
        """Look through what `data` from `at` to `end` inflates to. Raises `RefusedError`."""
        for start in range(at, end, _PIECE):
            self._inflate(data[start : min(end, start + _PIECE)])

    def _inflate(self, rest: bytes) -> None:
        self._came += len(rest)
        inflater = self._inflater
        # What is not yet given out when all is taken in waits for the sum that ends the stream.
        while rest:
            try:
                piece = inflater.decompress(rest, _PIECE)
            except zlib.error as error:
                raise RefusedError(Reason.MALFORMED, "a message that does not inflate") from error
            self.made += len(piece)
            if self.made > min(self.most, max(FREE, self._came * _RATIO)):
                raise RefusedError(Reason.BODY_TOO_LARGE, "a message inflates to too much")
            self._walk.take(piece, 0, len(piece))
            if inflater.unused_data:
                raise RefusedError(Reason.MALFORMED, "something follows the compressed message")
            rest = inflater.unconsumed_tail

    def end(self) -> None:
        """The message has ended. Raises `RefusedError`."""
        if not self._inflater.eof:
            raise RefusedError(Reason.MALFORMED, "a compressed message is cut off")

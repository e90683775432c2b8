"""A message with the served name in place of a client's own name for the model. Pure.

The new name has another length, so the message gets another prefix, which goes first. So a message
is kept until its name has come; from there on it passes through.

Rule 1: it is given what `Messages` has taken, and looks again: only for where the name stands.
Rule 2: the name stands within the first `KEPT` bytes of its message (all known writers put it
        first), and once: a second one would come after its prefix was sent. Else it is refused.
Rule 3: a compressed message of up to `KEPT` bytes, inflated, goes on uncompressed, as any message
        may whatever the call's `grpc-encoding`; a larger one is refused, as its length could not be
        told before all of it was there.
"""

from fleet.reasons import Reason
from gateway.core.refused import RefusedError
from gateway.grpc.core.inflating import inflated
from gateway.grpc.core.messages import PREFIX, read_prefix
from gateway.grpc.core.walking import Walk
from gateway.grpc.core.writing import string_field

__all__ = ["KEPT", "Renaming"]

KEPT = 64 * 2**10
"""How much of a message is kept until its name has come."""


class Renaming:
    """Renames the model in the messages of one call.

    `field` (1 to 15), `encoding` and `most` as for `Messages`; `served`: the name to put in.
    """

    __slots__ = (
        "_compressed",
        "_encoding",
        "_field",
        "_kept",
        "_left",
        "_most",
        "_name",
        "_prefix",
        "_walk",
    )

    def __init__(self, field: int, served: bytes, *, encoding: bytes, most: int) -> None:
        self._field = field
        self._encoding = encoding
        self._most = most
        self._name = string_field(field, served)
        self._prefix = b""
        self._compressed = False
        self._left = 0
        self._kept = bytearray()
        self._walk: Walk | None = None

    def feed(self, data: bytes) -> bytes:
        """The next bytes as they came -> what is to go on now. Raises `RefusedError`."""
        pieces = []
        at, size = 0, len(data)
        while at < size:
            if not self._left:
                at = self._begin(data, at)
                continue
            end = min(size, at + self._left)
            self._left -= end - at
            pieces.append(self._go_on(data[at:end]))
            at = end
        return b"".join(pieces)

    def _begin(self, data: bytes, at: int) -> int:
        more = data[at : at + PREFIX - len(self._prefix)]
        self._prefix += more
        if len(self._prefix) == PREFIX:
            prefix, self._prefix = self._prefix, b""
            self._compressed, self._left = read_prefix(prefix, self._encoding, self._most)
            self._walk = Walk(self._field)
            if not self._left:
                raise _nameless()
        return at + len(more)

    def _go_on(self, piece: bytes) -> bytes:
        walk = self._walk
        if walk is None:
            return piece
        if self._compressed:
            return self._whole(piece)
        before = walk.times
        walk.take(piece, 0, len(piece))
        if walk.times > 1:
            raise RefusedError(Reason.MALFORMED, "a message names its model more than once")
        if before:
            return piece
        self._kept += piece
        known = len(self._kept) if not walk.times and self._left else walk.place[1]
        if known > KEPT:
            detail = f"the model's name must stand in the first {KEPT} bytes of a message"
            raise RefusedError(Reason.MALFORMED, detail)
        if not walk.times and self._left:
            return b""
        return self._renamed(self._taken(), walk, self._left)

    def _whole(self, piece: bytes) -> bytes:
        """Keep a compressed message until all of it has come."""
        self._kept += piece
        if len(self._kept) > KEPT:
            raise _too_large()
        if self._left:
            return b""
        text = inflated(self._taken(), self._encoding, KEPT)
        if text is None:
            raise _too_large()
        walk = Walk(self._field)
        walk.take(text, 0, len(text))
        if walk.times > 1:
            raise RefusedError(Reason.MALFORMED, "a message names its model more than once")
        return self._renamed(text, walk, 0)

    def _taken(self) -> bytes:
        kept = bytes(self._kept)
        self._kept.clear()
        return kept

    def _renamed(self, start: bytes, walk: Walk, left: int) -> bytes:
        """A message with the new name, from its prefix to where `start` ends; `left`: the rest."""
        if not walk.times:
            raise _nameless()
        begins, ends = walk.place
        message = b"%b%b%b" % (start[:begins], self._name, start[ends:])
        return b"\0%b%b" % ((len(message) + left).to_bytes(4, "big"), message)


def _nameless() -> RefusedError:
    return RefusedError(Reason.NO_MODEL, "a message names no model")


def _too_large() -> RefusedError:
    detail = f"a compressed message for this model inflates to at most {KEPT} bytes"
    return RefusedError(Reason.BODY_TOO_LARGE, detail)

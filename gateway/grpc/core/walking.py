"""Through one protobuf message, from field to field, to the name of its model. Pure.

Only the outermost fields are looked at: what they hold is skipped, uncopied.

Rule 1: the name is the last occurrence of its field, as protobuf has it; two that differ are
        refused, since nobody should wonder which of them ran.
Rule 2: an integer over its longest form, a group, a wire type that is none, field 0, and a name
        that is no string are refused.
Rule 3: a walk remembers a name, how many bytes to skip, and what is cut off of one field: not more
        than `MOST_NAME` and a few bytes, however the message is cut.
"""

from fleet.reasons import Reason
from gateway.core.refused import RefusedError

__all__ = ["MOST_FIELDS", "MOST_NAME", "Walk", "read_field", "read_name"]

MOST_NAME = 1024
"""Longest name that is looked at, in bytes; no model's is as long."""
MOST_FIELDS = 2**14
"""Most outermost fields of one message: one of two bytes costs as much as one of a GiB."""

_ENOUGH = MOST_NAME + 32
"""In these bytes any field that is not skipped is whole."""
_LONGEST_INTEGER = 10
_FIXED = {1: 8, 5: 4}
"""Wire type -> the length of its value, where that is the same for all."""


def _malformed(detail: str) -> RefusedError:
    return RefusedError(Reason.MALFORMED, detail)


def _long_integer(data: bytes, at: int, low: int) -> tuple[int, int]:
    """A tag or length whose first byte was `low`, with more to come; and where it ends."""
    value, shift = low & 0x7F, 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 28:
            msg = "a tag or length of over five bytes"
            raise _malformed(msg)
    if value >= 2**32:
        msg = "a tag or length of over 32 bits"
        raise _malformed(msg)
    return value, at


def _past_integer(data: bytes, at: int) -> int:
    """Where the integer that is a field's value ends."""
    for end in range(at, at + _LONGEST_INTEGER):
        if data[end] < 0x80:
            return end + 1
    msg = "an integer of over ten bytes"
    raise _malformed(msg)


def read_field(data: bytes, at: int, end: int) -> tuple[int, int, int] | None:
    """The tag of the field at `at`, and from where to where its value goes.

    None: its beginning is cut off at `end`; the value may well go on beyond it.
    """
    try:
        key = data[at]
        at += 1
        if key > 0x7F:
            key, at = _long_integer(data, at, key)
        kind = key & 7
        if key < 8 or kind > 5 or kind in (3, 4):
            msg = "a field 0, a group, or a wire type that is none"
            raise _malformed(msg)
        length = _FIXED.get(kind, 0)
        if kind == 2:
            length = data[at]
            at += 1
            if length > 0x7F:
                length, at = _long_integer(data, at, length)
        elif not kind:
            at = _past_integer(data, at)
    except IndexError:
        return None
    return (key, at, at + length) if at <= end else None


def read_name(data: bytes, field: int) -> bytes | None:
    """The name in the one message that `data` is: with its prefix, uncompressed and whole.

    None: it is not as simple as that, or something is wrong with it; a `Walk` finds out. Nearly
    all messages are as simple, and this costs them a fifth.
    """
    size = len(data)
    if size < 7 or data[0] or int.from_bytes(data[1:5], "big") != size - 5:
        return None
    tag, at, name, left = field << 3 | 2, 5, None, MOST_FIELDS
    try:
        while at < size:
            key, length = data[at], data[at + 1]
            at += 2
            left -= 1
            if length > 0x7F:
                length, at = _long_integer(data, at, length)
            if key == tag and name is None:
                name = data[at : at + length]
            elif key & 0x87 != 2 or key == tag or key < 8:
                return None
            at += length
    except (IndexError, RefusedError):
        return None
    if at != size or name is None or len(name) > MOST_NAME or left < 0:
        return None
    return name


class Walk:
    """Through one message, as it comes."""

    __slots__ = ("_at", "_field", "_held", "_left", "name", "place", "skip", "times")

    def __init__(self, field: int) -> None:
        self.name: bytes | None = None
        """The name so far."""
        self.times = 0
        """How often it has stood there."""
        self.place = (0, 0)
        """Where its field was last, tag and all: from which byte of the message to which."""
        self.skip = 0
        """How many bytes more the field goes on for."""
        self._field = field
        self._held = b""
        self._left = MOST_FIELDS
        # At which byte of the message the next field begins, or the one that is cut off.
        self._at = 0

    @property
    def whole(self) -> bool:
        """The message may end here."""
        return not self.skip and not self._held

    def take(self, data: bytes, at: int, end: int) -> None:
        """Go on through `data` from `at` to `end`, all of which is of this message.

        Raises `RefusedError`.
        """
        while at < end:
            if self.skip:
                step = min(self.skip, end - at)
                self.skip -= step
                at += step
            elif self._held:
                held, self._held = self._held, b""
                piece = held + data[at : min(end, at + _ENOUGH)]
                at += self._next(piece, 0, len(piece)) - len(held)
            else:
                at = self._next(data, at, end)

    def _next(self, data: bytes, at: int, end: int) -> int:
        """Go through one field; returns where that leads."""
        found = read_field(data, at, end)
        if found is None:
            self._held = data[at:end]
            return end
        key, start, stop = found
        if key >> 3 == self._field:
            if key & 7 != 2 or stop - start > MOST_NAME:
                msg = f"the name must be a string of at most {MOST_NAME} bytes"
                raise _malformed(msg)
            if stop > end:
                self._held = data[at:end]
                return end
            self._found(data[start:stop], stop - at)
        self._left -= 1
        if self._left < 0:
            msg = f"at most {MOST_FIELDS} fields"
            raise _malformed(msg)
        self._at += stop - at
        if stop > end:
            self.skip = stop - end
            return end
        return stop

    def _found(self, name: bytes, length: int) -> None:
        if self.name is not None and self.name != name:
            raise RefusedError(Reason.MODEL_CONFLICT, "a message names two models")
        self.name = name
        self.times += 1
        self.place = (self._at, self._at + length)

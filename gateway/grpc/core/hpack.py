"""Header blocks (HPACK, RFC 7541): read with a dynamic table, written without one. Pure.

What is written points at the static table or is a literal, so a written block means the same on
every connection, at any time, and may be remembered and sent again.

Rule 1: a block that breaks a rule ends its connection: the table can no longer be trusted.
Rule 2: a list over the limit is read to its end first, so the table stays right and the connection
        goes on.
Rule 3: a field that must never be indexed is a `Secret`, and is written as one (7.1.3); those that
        carry credentials are, however they came.
Rule 4: a block holds no more than its own bytes, times 1.6, and eight bytes for each of them: what
        it points at is not copied.
"""

from collections.abc import Iterable

from fleet.errors import EbbtideError
from gateway.grpc.core.huffman import decode_huffman
from gateway.grpc.core.static import STATIC

__all__ = ["Decoder", "Field", "HpackError", "ListTooLargeError", "Secret", "encode"]

Field = tuple[bytes, bytes]
"""A field's name and value."""

_DEFAULT = 4096
_OVERHEAD = 32
_STATICS = len(STATIC)
_LARGEST_STATIC = 96
_MOST_SHIFT = 28
_CREDENTIALS = frozenset(
    {b"authorization", b"cookie", b"proxy-authorization", b"set-cookie", b"x-api-key"}
)


class HpackError(EbbtideError):
    """A header block breaks a rule of RFC 7541: a connection error, COMPRESSION_ERROR."""


class ListTooLargeError(EbbtideError):
    """The fields of one block are over the limit together; the dynamic table is as it should be."""


class Secret(tuple[bytes, bytes]):
    """A field that was sent as never indexed, and is to be sent on so; equal to its like alone."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is Secret and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return ~tuple.__hash__(self)


class Decoder:
    """Reads the header blocks of one connection, in their order.

    `capacity` is the SETTINGS_HEADER_TABLE_SIZE that was announced: at least the 4096 that stand
    before the other side has seen it, as less would have to be acknowledged first.
    """

    __slots__ = ("_capacity", "_most", "_size", "_table", "changed", "version")

    def __init__(self, capacity: int = _DEFAULT) -> None:
        if capacity < _DEFAULT:
            msg = f"a header table has {_DEFAULT} bytes at least"
            raise ValueError(msg)
        self.changed = False
        """The last block changed the dynamic table."""
        self.version = 0
        """Grows with each change; what a block was read to holds for its bytes while it stands."""
        self._capacity = capacity
        self._most = _DEFAULT
        self._size = 0
        # Oldest first, then the static table backwards: index i is at -i, whichever it points into.
        self._table: list[Field] = list(reversed(STATIC))

    def decode(self, block: bytes, *, limit: int) -> list[Field]:
        """The fields of a complete block, of `limit` bytes at most as RFC 9113, 6.5.2 counts them.

        Raises `HpackError`, `ListTooLargeError`.
        """
        self.changed = False
        try:
            fields = self._read(block)
        except IndexError as error:
            msg = "a header block is cut off, or points at a field that is not there"
            raise HpackError(msg) from error
        except ValueError as error:
            raise HpackError(str(error)) from error
        if self.changed:
            self.version += 1
        # Most lists are far below the limit, which is told without adding up.
        largest = max(self._most, self._capacity, _LARGEST_STATIC) + _OVERHEAD
        if len(fields) * largest + 2 * len(block) > limit:
            size = sum(len(name) + len(value) + _OVERHEAD for name, value in fields)
            if size > limit:
                msg = f"{size} bytes of fields, at most {limit}"
                raise ListTooLargeError(msg)
        return fields

    def _read(self, block: bytes) -> list[Field]:
        table = self._table
        fields: list[Field] = []
        at, end = 0, len(block)
        if end and block[0] & 0xE0 == 0x20:
            at = self._resize(block)
        while at < end:
            first = block[at]
            if first > 0x80:
                at += 1
                if first == 0xFF:
                    first, at = _integer(block, at, 127)
                    fields.append(table[-first])
                else:
                    fields.append(table[0x80 - first])
            elif first & 0xE0 == 0x20:
                msg = "a header block resizes the table after its first field, or a third time"
                raise HpackError(msg)
            elif first == 0x80:
                msg = "a header block points at field 0"
                raise HpackError(msg)
            else:
                field, at = self._literal(block, at)
                fields.append(field)
        return fields

    def _literal(self, block: bytes, at: int) -> tuple[Field, int]:
        first = block[at]
        most = 0x3F if first & 0x40 else 0x0F
        index = first & most
        at += 1
        if index:
            if index == most:
                index, at = _integer(block, at, most)
            name = self._table[-index][0]
        else:
            name, at = _string(block, at)
        value, at = _string(block, at)
        if first & 0x40:
            field: Field = (name, value)
            self._insert(field)
            return field, at
        return Secret((name, value)) if first & 0x10 else (name, value), at

    def _insert(self, field: Field) -> None:
        self.changed = True
        size = len(field[0]) + len(field[1]) + _OVERHEAD
        self._evict(self._most - size)
        if size <= self._most:
            self._table.insert(len(self._table) - _STATICS, field)
            self._size += size

    def _evict(self, most: int) -> None:
        """Take out the oldest until `most` bytes are left, or none."""
        table, size, count = self._table, self._size, 0
        dynamic = len(table) - _STATICS
        while size > most and count < dynamic:
            name, value = table[count]
            size -= len(name) + len(value) + _OVERHEAD
            count += 1
        if count:
            del table[:count]
            self._size = size

    def _resize(self, block: bytes) -> int:
        """Follow the updates that a block begins with, two at most; returns where they end."""
        at = 0
        for _ in range(2):
            if at == len(block) or block[at] & 0xE0 != 0x20:
                break
            most = block[at] & 0x1F
            at += 1
            if most == 0x1F:
                most, at = _integer(block, at, 0x1F)
            if most > self._capacity:
                msg = f"a header table of {most} bytes, at most {self._capacity}"
                raise HpackError(msg)
            self._most = most
            self._evict(most)
            self.changed = True
        return at


def _integer(block: bytes, at: int, value: int) -> tuple[int, int]:
    """An integer whose prefix, all ones, is `value`; and where it ends. Bounded to 35 bits."""
    shift = 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > _MOST_SHIFT:
            msg = "an integer in a header block is too long"
            raise HpackError(msg)


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    first = block[at]
    at += 1
    length = first & 0x7F
    if length == 0x7F:
        length, at = _integer(block, at, 0x7F)
    end = at + length
    if end > len(block):
        raise IndexError
    text = block[at:end]
    return decode_huffman(text) if first & 0x80 else text, end


def _prefixed(value: int, most: int, first: int) -> bytes:
    """`value` as an integer whose first byte shares `first` with other bits."""
    if value < most:
        return bytes((first | value,))
    written = bytearray((first | most,))
    value -= most
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _names(first: int) -> dict[bytes, bytes]:
    """How a literal begins whose name stands in the static table."""
    found: dict[bytes, bytes] = {}
    for index, (name, _) in enumerate(STATIC, 1):
        found.setdefault(name, _prefixed(index, 0x0F, first))
    return found


_WHOLE = {field: bytes((0x80 | index,)) for index, field in reversed([*enumerate(STATIC, 1)])}
_NAMED = _names(0x00)
_NAMED_SECRET = _names(0x10)


def encode(fields: Iterable[Field]) -> bytes:
    """A block that means `fields` on every connection, and changes no table."""
    pieces = []
    for field in fields:
        secret = type(field) is Secret or field[0] in _CREDENTIALS
        piece = None if secret else _WHOLE.get(field)
        if piece is None:
            name, value = field
            start = (_NAMED_SECRET if secret else _NAMED).get(name)
            if start is None:
                start = b"%c%b%b" % (0x10 if secret else 0, _prefixed(len(name), 0x7F, 0), name)
            piece = b"%b%b%b" % (start, _prefixed(len(value), 0x7F, 0), value)
        pieces.append(piece)
    return b"".join(pieces)

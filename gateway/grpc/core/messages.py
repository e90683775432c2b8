"""The messages of one direction of a call: where each ends, and which model it names. Pure.

Rule 1: every message names a model, and all of a call name the same one.
Rule 2: a message is refused by its length as soon as that is known.
Rule 3: memory is flat: nothing is kept of a message but what its `Walk` needs, and of a compressed
        one the 32 KiB that inflating looks back on.
Rule 4: what is refused is refused before the last byte of its message is passed on, if it is fed
        first and passed on then: so no server gets to see it whole.
"""

from fleet.reasons import Reason
from gateway.core.refused import RefusedError
from gateway.grpc.core.inflating import Inflating, is_known
from gateway.grpc.core.walking import Walk, read_name

__all__ = ["PREFIX", "Messages", "read_prefix"]

PREFIX = 5
"""A message begins with its compressed-flag and four bytes of length."""
_PLAIN = frozenset({b"", b"identity"})


def read_prefix(prefix: bytes, encoding: bytes, most: int) -> tuple[bool, int]:
    """Whether a message is compressed, and its length. Raises `RefusedError`."""
    flag, length = prefix[0], int.from_bytes(prefix[1:PREFIX], "big")
    if flag > 1:
        raise RefusedError(Reason.MALFORMED, "the compressed-flag of a message is 0 or 1")
    if length > most:
        raise RefusedError(Reason.BODY_TOO_LARGE, f"a message of at most {most} bytes")
    if flag and not is_known(encoding):
        if encoding in _PLAIN:
            raise RefusedError(Reason.MALFORMED, "a compressed message without grpc-encoding")
        raise RefusedError(Reason.UNKNOWN_ENCODING)
    return bool(flag), length


class Messages:
    """Looks through the messages of one call in one direction.

    `field`: the number of the protobuf field that names the model; `encoding`: the call's
    `grpc-encoding`; `most`: bytes of one message, as it comes and as it is inflated.
    """

    __slots__ = (
        "_encoding",
        "_field",
        "_inflating",
        "_largest",
        "_left",
        "_prefix",
        "_walk",
        "count",
        "first",
        "most",
    )

    def __init__(self, field: int, *, encoding: bytes, most: int) -> None:
        self.first: bytes | None = None
        """The name, as soon as it has been seen. What contradicts it is refused when it comes."""
        self.count = 0
        """Messages that are complete."""
        self.most = most
        """Lowered when it is known whose messages they are; see `bound`."""
        self._largest = 0
        self._field = field
        self._encoding = encoding
        self._prefix = b""
        self._left = 0
        self._walk: Walk | None = None
        self._inflating: Inflating | None = None

    @property
    def between(self) -> bool:
        """No message is under way."""
        return self._walk is None and not self._prefix

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises `RefusedError`."""
        if self._walk is None and not self._prefix:
            name = read_name(data, self._field)
            if name is not None and len(data) - PREFIX <= self.most:
                self.count += 1
                if name != self.first:
                    self._named(name)
                return
        at, size = 0, len(data)
        while at < size:
            walk = self._walk
            if walk is None:
                at = self._begin(data, at)
                continue
            end = min(size, at + self._left)
            self._left -= end - at
            if self._inflating is None:
                walk.take(data, at, end)
                if walk.skip > self._left:
                    raise RefusedError(Reason.MALFORMED, "a field goes beyond its message")
            else:
                self._inflating.take(data, at, end)
            at = end
            self._look(walk)

    def bound(self, most: int) -> None:
        """Hold what comes to `most` bytes a message, and what came. Raises `RefusedError`."""
        self.most = most
        made = 0
        if self._inflating is not None:
            self._inflating.most = most
            made = self._inflating.made
        if max(self._largest, made) > most:
            raise RefusedError(Reason.BODY_TOO_LARGE, f"a message of at most {most} bytes")

    def end(self) -> None:
        """Nothing follows. Raises `RefusedError`."""
        if self._walk is not None or self._prefix:
            raise RefusedError(Reason.MALFORMED, "a message is cut off")

    def _begin(self, data: bytes, at: int) -> int:
        """Read as much of a prefix as there is; returns where that ends."""
        prefix = self._prefix + data[at : at + PREFIX - len(self._prefix)]
        at += len(prefix) - len(self._prefix)
        if len(prefix) < PREFIX:
            self._prefix = prefix
            return at
        self._prefix = b""
        compressed, self._left = read_prefix(prefix, self._encoding, self.most)
        self._largest = max(self._largest, self._left)
        walk = self._walk = Walk(self._field)
        if compressed:
            self._inflating = Inflating(self._encoding, walk, self.most)
        self._look(walk)
        return at

    def _look(self, walk: Walk) -> None:
        """Take what has become known of a message, and its end."""
        name = walk.name
        if name is not None and name != self.first:
            self._named(name)
        if self._left:
            return
        if self._inflating is not None:
            self._inflating.end()
            self._largest = max(self._largest, self._inflating.made)
            self._inflating = None
        if not walk.whole:
            raise RefusedError(Reason.MALFORMED, "a field goes beyond its message")
        if name is None:
            raise RefusedError(Reason.NO_MODEL, "a message names no model")
        self._walk = None
        self.count += 1

    def _named(self, name: bytes) -> None:
        if self.first is not None:
            raise RefusedError(Reason.MODEL_CONFLICT, "the messages of a call name two models")
        self.first = name

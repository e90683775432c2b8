"""Heads of calls seen before, whatever their deadlines: read once. Pure.

A client with deadlines sends another `grpc-timeout` with every call, so no two of its blocks are
the same bytes; the fields beside it are the same again and again.

Rule 1: only what was accepted is remembered; what is refused is read anew each time.
Rule 2: bounded in number and size. Full, it forgets everything: a client whose heads all differ
        costs an insertion a call, and nobody more than one reading.
"""

from collections.abc import Sequence

from gateway.core.limits import MAX_FIELDS
from gateway.core.refused import RefusedError
from gateway.grpc.core.frames import StreamError
from gateway.grpc.core.heads import Call, read_call
from gateway.grpc.core.hpack import Field
from gateway.grpc.core.timeouts import read_timeout

__all__ = ["Heads", "Seen"]

_MOST = 256
_LONGEST = 2048
_TIMEOUT = b"grpc-timeout"


def _is_pseudo(fields: Sequence[Field], at: int) -> bool:
    return at < len(fields) and fields[at][0].startswith(b":")


class Seen:
    """A head as it came: what it shares with others, and its own deadline."""

    __slots__ = ("head", "timeout")

    def __init__(self, head: Call, timeout: float | None) -> None:
        self.head = head
        """All but the deadline: `head.timeout` is None."""
        self.timeout = timeout
        """In seconds."""


class Heads:
    """The heads of calls by their fields; may serve any number of connections."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[Field, ...], Seen] = {}

    def __len__(self) -> int:
        return len(self._known)

    def read(self, fields: Sequence[Field]) -> Seen:
        """As `read_call`, whose errors it raises."""
        for at, (name, value) in enumerate(fields):
            if name == _TIMEOUT:
                return self._within(value, fields, at)
        return self._find(tuple(fields))

    def _within(self, timeout: bytes, fields: Sequence[Field], at: int) -> Seen:
        """The head of `fields` but for this timeout, at `at`; and that."""
        key = (*fields[:at], *fields[at + 1 :])
        try:
            seen = self._find(key)
            seconds = read_timeout(timeout)
        except (ValueError, RefusedError, StreamError):
            pass
        else:
            # Not where there are two timeouts, or too many fields, or pseudo-fields behind it.
            if seen.head.timeout is None and len(key) < MAX_FIELDS and not _is_pseudo(key, at):
                return Seen(seen.head, seconds)
        # Which of its faults it is told is the same whether it was seen before or not.
        call = read_call(fields)
        return Seen(call, call.timeout)

    def _find(self, key: tuple[Field, ...]) -> Seen:
        seen = self._known.get(key)
        if seen is None:
            seen = Seen(read_call(key), None)
            self._remember(key, seen)
        return seen

    def _remember(self, key: tuple[Field, ...], seen: Seen) -> None:
        if sum(len(name) + len(value) for name, value in key) > _LONGEST:
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = seen

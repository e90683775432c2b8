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

__all__ = ["Heads"]

_MOST = 256
_LONGEST = 2048
_TIMEOUT = b"grpc-timeout"


def _is_pseudo(fields: Sequence[Field], at: int) -> bool:
    return at < len(fields) and fields[at][0].startswith(b":")


class Heads:
    """The heads of calls by their fields; may serve any number of connections."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[Field, ...], Call] = {}

    def __len__(self) -> int:
        return len(self._known)

    def read(self, fields: Sequence[Field]) -> Call:
        """As `read_call`, whose errors it raises."""
        key = tuple(fields)
        for at, (name, value) in enumerate(fields):
            if name == _TIMEOUT:
                try:
                    return self._within(value, (*key[:at], *key[at + 1 :]), at)
                except (ValueError, RefusedError, StreamError):
                    # Which of its faults it is told is the same whether it was seen before or not.
                    return read_call(fields)
        return self._find(key)

    def _within(self, timeout: bytes, key: tuple[Field, ...], at: int) -> Call:
        """The head that has `key` and, before its place `at`, this timeout."""
        call = self._find(key)
        if call.timeout is not None or len(key) == MAX_FIELDS or _is_pseudo(key, at):
            msg = "two timeouts, or too many fields, or pseudo-fields behind it"
            raise ValueError(msg)
        return call.within(read_timeout(timeout))

    def _find(self, key: tuple[Field, ...]) -> Call:
        call = self._known.get(key)
        if call is None:
            call = read_call(key)
            self._remember(key, call)
        return call

    def _remember(self, key: tuple[Field, ...], call: Call) -> None:
        if sum(len(name) + len(value) for name, value in key) > _LONGEST:
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = call

"""What the gateway itself answers to a call: refusals, and what it knows without a replica.

Rule 1: a refusal is a head that is the end too (trailers-only); behind the head of an answer it is
        the trailers, and what that answer still had to send is dropped: half of one never looks
        like a whole one, since the status says what became of it.
Rule 2: readiness of a model with a replica is that replica's to tell; of a sleeping one ours: it
        will answer, so it is ready. Metadata and configuration of a sleeping model are the last
        copy seen; with none, the model is woken for it. Statistics are of a running server only.
"""

from math import inf

from fleet.reasons import Reason
from fleet.runtimes import CallKind
from gateway.core.answers import timing_line
from gateway.core.refused import RefusedError
from gateway.core.table import Entry, Table
from gateway.grpc.core.heads import Answer
from gateway.grpc.core.hpack import encode
from gateway.grpc.core.refusals import refusal
from gateway.grpc.core.v2 import (
    HEALTH_CHECK,
    SERVER_LIVE,
    SERVER_METADATA,
    SERVICE,
    Health,
    health,
    read_service,
    server_metadata,
    truth,
)
from gateway.grpc.stream import Stream
from gateway.http.context import Context

__all__ = ["NOBODY", "asleep", "give", "refuse", "server", "timing_block"]

_HEAD = encode([(b":status", b"200"), (b"content-type", b"application/grpc")])
_OK = encode([(b"grpc-status", b"0")])
_SERVER_TIMING = len(b"Server-Timing: ")
_TIMING = encode([(b"server-timing", b"")])[:-1]
_OF_A_HEAD = frozenset({b":status", b"content-type"})


class _Nobody:
    """Takes what comes in on a stream that has been answered already."""

    __slots__ = ()
    due = inf

    def expire(self) -> None:
        """It has all the time."""

    def heed(self) -> None:
        """It has all the time."""

    def data(self, _payload: bytes, _length: int, _end: int) -> None:
        """Pass it over."""

    def head(self, _found: Answer, _end: int) -> None:
        """Pass it over."""

    def reset(self, _code: int) -> None:
        """Nobody is told."""

    def broken(self, _detail: str) -> None:
        """Nobody is told."""

    def lost(self) -> None:
        """Nobody is told."""


NOBODY = _Nobody()


def refuse(
    stream: Stream, error: RefusedError, retry_after: float | None = None, *, headed: object = False
) -> None:
    """Tell the client why its call is not served. `headed`: the head of an answer has gone out."""
    if not stream.open:
        return
    fields = refusal(error.reason, error.detail, retry_after)
    if headed:
        fields = [field for field in fields if field[0] not in _OF_A_HEAD]
    stream.taker = NOBODY
    sending = stream.sending
    sending.forget(stream)
    sending.trailers(stream, encode(fields))
    sending.relieve()


def give(stream: Stream, answer: bytes) -> None:
    """Answer with one message, prefix included."""
    sending = stream.sending
    stream.taker = NOBODY
    sending.head(stream, _HEAD, end=False)
    sending.data(stream, answer, 0, None, 0)
    sending.trailers(stream, _OK)


def timing_block(
    wait: float, upstream: float, cold: float | None = None, retries: int = 0
) -> bytes:
    """The Server-Timing field as a block; seconds in, as `gateway.core.answers` has it."""
    if not wait and cold is None and upstream < 0.1 and not retries:
        return _AT_ONCE[int(upstream * 1e4 + 0.5)]
    return _as_block(timing_line(wait, upstream, cold, retries))


def _as_block(line: bytes) -> bytes:
    value = line[_SERVER_TIMING:]
    return b"%b%c%b" % (_TIMING, len(value), value)


_AT_ONCE = tuple(_as_block(timing_line(0.0, tenths / 1e4)) for tenths in range(1001))
"""The field of a warm call, by tenths of a millisecond."""


def asleep(context: Context, entry: Entry, kind: CallKind, key: bytes) -> bytes | None:
    """The answer for a model without a replica; None: it is to be woken for this.

    Raises `RefusedError`.
    """
    if kind is CallKind.READY:
        reason = entry.line.hopeless()
        if reason is not None:
            raise RefusedError(reason)
        if not context.settings.ready_when_asleep:
            raise RefusedError(Reason.ASLEEP)
        return truth("ready")
    if kind is CallKind.STATS:
        raise RefusedError(Reason.ASLEEP)
    copy = context.copies.find(entry.revision, key)
    return None if copy is None else copy.body


def server(context: Context, method: str, asked: bytes, table: Table) -> bytes:
    """The answer about the gateway as a server, to who sees `table`. Raises `RefusedError`."""
    if method == SERVER_METADATA:
        return server_metadata("ebbtide", context.version, ())
    if method == HEALTH_CHECK:
        return health(_health(context, read_service(asked), table))
    return truth(method == SERVER_LIVE or not context.leaving)


def _health(context: Context, service: str, table: Table) -> Health:
    """Of the server, or of a model by its name: a sleeping one will answer, so it serves."""
    ready = not context.leaving
    if service not in ("", SERVICE):
        entry = table.names.get(service)
        if entry is None:
            raise RefusedError(Reason.UNKNOWN_MODEL)
        ready = entry.line.peek() is not None or (
            context.settings.ready_when_asleep and entry.line.hopeless() is None
        )
    return Health.SERVING if ready else Health.NOT_SERVING

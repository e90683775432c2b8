"""A request over HTTP/2 that is no gRPC call: read to its end, and told to come over HTTP/1.1.

It is read first, up to 64 KiB, so that it costs its sender no broken stream and is answered alike
however its bytes are cut.
"""

from math import inf
from typing import TYPE_CHECKING

from fleet.reasons import Reason
from fleet.runtimes import ErrorShape
from gateway.core.limits import DISCARDED_BYTES
from gateway.core.refused import RefusedError
from gateway.errors import ERRORS, error_body
from gateway.grpc.answering import NOBODY
from gateway.grpc.core.heads import Answer, Call
from gateway.grpc.core.hpack import encode
from gateway.grpc.noting import note_refused
from gateway.grpc.stream import Stream

if TYPE_CHECKING:
    from gateway.grpc.downstream import Downstream

__all__ = ["Foreign"]

_STATUS = ERRORS[Reason.NOT_GRPC].status
_BODY = error_body(Reason.NOT_GRPC, "", ErrorShape.PROBLEM)
_HEAD = encode(
    [
        (b":status", b"%d" % _STATUS),
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(_BODY)),
        (b"ebbtide-reason", Reason.NOT_GRPC.value.encode()),
    ]
)


class Foreign:
    """One such request."""

    __slots__ = ("_down", "_head", "_size", "_stream", "due")

    def __init__(self, down: "Downstream", stream: Stream, head: Call) -> None:
        self.due = inf
        self._down = down
        self._stream = stream
        self._head = head
        self._size = 0

    def start(self, end: int) -> None:
        """The head has come; `end`: nothing follows it."""
        if end:
            self._answer()
            return
        context = self._down.context
        self.due = context.now() + context.limits.body_timeout
        context.deadlines.file(self._down, self.due)

    def expire(self) -> None:
        """It took too long."""
        self._answer()

    def heed(self) -> None:
        """Its time runs from its start."""

    def data(self, payload: bytes, length: int, end: int) -> None:
        self._size += len(payload)
        self._stream.give_back(length)
        if end or self._size > DISCARDED_BYTES:
            self._answer()

    def head(self, _found: Answer, _end: int) -> None:
        self._answer()

    def reset(self, _code: int) -> None:
        """It was of no use to anybody."""

    def broken(self, _detail: str) -> None:
        """It was of no use to anybody."""

    def lost(self) -> None:
        """It was of no use to anybody."""

    def _answer(self) -> None:
        stream, tally = self._stream, self._down.context.other
        stream.taker = NOBODY
        tally.refuse(Reason.NOT_GRPC)
        tally.count(_STATUS)
        if self._down.noted:
            note_refused(RefusedError(Reason.NOT_GRPC), len(_BODY))
        bodiless = self._head.verb == b"HEAD"
        if bodiless:
            stream.sending.trailers(stream, _HEAD)
        else:
            stream.sending.head(stream, _HEAD, end=False)
            stream.sending.data(stream, _BODY, 1, None, 0)

"""Signs of life for a client that is held and reads an event stream: comments, until the answer.

Where a model's annotation `heartbeat` says so, a held request that accepts `text/event-stream` is
answered 200 once it has waited that long, and then gets a comment line as often, so that neither
its client nor what lies between hangs up. `Beats` then stands in for the client's `Answering`.

Rule 1: the status is given away by that, so an answer can only be the rest of the stream: an event
        stream with 200 follows as it comes; anything else becomes one event, an error or a refusal
        `event: error`, and the stream ends.
Rule 2: only for a request that was read to its end: who still sends would stop at an answer.
Rule 3: what is counted is what would have been answered without.
"""

from math import inf
from typing import TYPE_CHECKING

from fleet.model import Phase
from fleet.reasons import Reason
from gateway.core.chunks import LAST_CHUNK, chunk
from gateway.core.events import EVENT_STREAM, comment, event
from gateway.core.head import RequestHead, ResponseHead
from gateway.errors import ERRORS, error_body, error_seconds
from gateway.http.replying import NO_TIME, shape_for

if TYPE_CHECKING:
    from gateway.http.relay import Exchange

__all__ = ["Beats", "expect_beats"]

_MOST_COLLECTED = 64 * 2**10
_START = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n"
)
_WORDS = {
    Phase.ASLEEP: "for the model to be woken",
    Phase.PENDING: "for a GPU",
    Phase.LOADING: "for the model to be loaded",
    Phase.READY: "for its turn",
    Phase.DRAINING: "for another replica",
    Phase.FAILED: "for the model to be started again",
}


def expect_beats(exchange: "Exchange") -> None:
    """`exchange` is held now: see to its heartbeats, if it is to have any."""
    every = exchange.entry.revision.policy.heartbeat
    head = exchange.head
    if every is None or not (head.streams and exchange.complete) or head.old or head.switches:
        return
    if head.method == b"HEAD":
        return
    context = exchange.inbound.context
    context.deadlines.file(Beats(exchange, every), context.now() + every)


class Beats:
    """The answer to one request that may begin before its replica's does. Like `Answering`."""

    __slots__ = (
        "_begun",
        "_collected",
        "_event",
        "_every",
        "_exchange",
        "_inbound",
        "_size",
        "closes",
        "filed",
        "last",
        "started",
    )

    def __init__(self, exchange: "Exchange", every: float) -> None:
        self.filed = inf
        self.started = False
        """The replica's own event stream has begun to go out."""
        self.closes = False
        self.last = LAST_CHUNK
        self._exchange = exchange
        self._inbound = exchange.inbound
        self._every = every
        self._begun = False
        self._collected: list[bytes] | None = None
        self._event = b""
        self._size = 0

    def overdue(self, now: float) -> float:
        """See `Timed`."""
        exchange = self._exchange
        if exchange.over or exchange.gone or self.started or self._collected is not None:
            return inf
        if not self._begun:
            if exchange.seat is not None:
                # Sent, and held again should its replica break before it answers.
                return inf if exchange.begun else now + self._every
            self._begin()
        if not self._inbound.choked:
            self._send(comment(self._words()))
        return now + self._every

    # What stands in for `Answering`.

    def note(
        self,
        *,
        status: int = 0,
        reason: Reason | None = None,
        timing: bytes = NO_TIME,
        size: int = 0,
    ) -> None:
        """See there."""
        self._inbound.plain.note(status=status, reason=reason, timing=timing, size=size)

    def left(self) -> None:
        """The connection is lost."""
        self._inbound.plain.left()
        del self._inbound

    def clear(self) -> None:
        """The request is over: the next one is answered as ever."""
        inbound = self._inbound
        inbound.answering = inbound.plain
        inbound.answering.clear()

    def informed(self, _request: RequestHead, _head: ResponseHead) -> None:
        """A 1xx, which comes too late."""

    def begin(
        self, _request: RequestHead, head: ResponseHead, timing: bytes, *, framed: bool, keep: bool
    ) -> None:
        """The head of the answer."""
        del framed, keep
        self.note(timing=timing)
        streams = head.media.partition(b";")[0].strip().lower() == EVENT_STREAM
        if head.status == 200 and streams and not head.encoded:
            self.started = True
        else:
            self._collected = []
            self._event = b"" if head.status < 300 else b"error"

    def body(self, data: bytes) -> None:
        """A piece of the answer's body."""
        if self._collected is None:
            self._send(data)
            return
        self._size += len(data)
        if self._size <= _MOST_COLLECTED:
            self._collected.append(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def end(self) -> None:
        """The answer is complete."""
        if self._collected is None:
            self._inbound.send(self.last)
            self._inbound.plain.closed()
            return
        told = event(self._event, b"".join(self._collected))
        if told is None or self._size > _MOST_COLLECTED:
            told = self._error(Reason.UPSTREAM_INVALID, "the answer is no event stream")
        self._send(told, LAST_CHUNK)
        self._inbound.plain.closed()

    def refuse(
        self,
        reason: Reason,
        detail: str = "",
        *,
        retry_after: float | None = None,
        timing: bytes = NO_TIME,
    ) -> None:
        """Tell that the request is not served, and why."""
        tally = self._exchange.entry.tally
        tally.refuse(reason)
        tally.count(ERRORS[reason].status)
        self.note(reason=reason, timing=timing)
        self._send(self._error(reason, detail, retry_after), LAST_CHUNK)
        self._inbound.plain.closed()
        self._inbound.done(keep=True)

    # Its own.

    def _send(self, data: bytes, end: bytes = b"") -> None:
        self.note(size=len(data))
        self._inbound.send(chunk(data) + end)

    def _begin(self) -> None:
        self._begun = True
        exchange, inbound = self._exchange, self._inbound
        exchange.head = exchange.head.unencoded()
        connection = b"" if inbound.keeps() else b"Connection: close\r\n"
        inbound.send(_START + connection + b"\r\n")
        inbound.answering = self
        self.note(status=200)

    def _words(self) -> str:
        if self._exchange.seat is not None:
            return "waiting for the answer"
        phase = self._exchange.line.phase()
        return f"waiting {_WORDS[phase]} ({phase.value})"

    def _error(self, reason: Reason, detail: str, retry_after: float | None = None) -> bytes:
        shape = shape_for(self._exchange.entry, self._exchange.head)
        seconds = error_seconds(reason, retry_after)
        told: bytes | None = event(b"error", error_body(reason, detail, shape), seconds)
        return told or b""

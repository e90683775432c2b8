"""How an answer goes out to its client: one writer per client connection, used again and again.

Rule 1: the head waits for the first piece of the body, unless nothing more has come for now: so a
        small answer is one write, and a slow one is begun at once.
Rule 2: a body whose length nobody said is chunked for whoever can read chunks, and ends with the
        connection for whoever cannot.
"""

from typing import TYPE_CHECKING

from fleet.reasons import Reason
from gateway.core.answers import NO_BODY, answer_start, status_line, switched_head
from gateway.core.chunks import LAST_CHUNK, chunk_pieces
from gateway.core.head import RequestHead, ResponseHead
from gateway.errors import ERRORS
from gateway.http.local import Reply
from gateway.http.replying import NO_TIME, refusal, reply_bytes

if TYPE_CHECKING:
    from gateway.http.inbound import Inbound

__all__ = ["Answering"]

_CLOSE = b"Connection: close"
_CHUNKED = b"Transfer-Encoding: chunked"
_JOINED = 64 * 2**10


class Answering:
    """Writes one answer at a time to `inbound`."""

    __slots__ = ("_chunked", "_inbound", "_pending", "closes", "last", "started")

    def __init__(self, inbound: "Inbound") -> None:
        self._inbound = inbound
        self._chunked = False
        self.last = LAST_CHUNK
        """What ends the body, where it is chunked."""
        self.clear()

    def clear(self) -> None:
        """For the next request."""
        self.started = False
        """The head of the answer has gone out."""
        self._pending = b""
        self.closes = False
        """The client has been told that its connection ends behind this, or is to see it."""

    def reply(self, reply: Reply, timing: bytes = NO_TIME) -> None:
        """Give an answer of the gateway's own."""
        inbound = self._inbound
        head = inbound.reception.head
        bodiless = head is not None and head.method == b"HEAD"
        connection = self._connection(keep=True)
        inbound.send(reply_bytes(reply, timing, connection, bodiless=bodiless))
        inbound.done(keep=True)

    def refuse(
        self,
        reason: Reason,
        detail: str = "",
        *,
        retry_after: float | None = None,
        timing: bytes = NO_TIME,
    ) -> None:
        """Answer that the request is not served, and why."""
        inbound = self._inbound
        entry, head = inbound.reception.entry, inbound.reception.head
        tally = inbound.context.other if entry is None else entry.tally
        tally.refuse(reason)
        tally.count(ERRORS[reason].status)
        inbound.context.faults.tell(reason, detail, inbound.transport)
        self.reply(refusal(reason, detail, retry_after, entry=entry, head=head), timing)

    def informed(self, request: RequestHead, head: ResponseHead) -> None:
        """A 1xx before the answer."""
        if head.status != 100 and not request.old:
            self._inbound.send(b"\r\n".join([status_line(head.status), *head.fields, b"", b""]))

    def switched(self, head: ResponseHead, timing: bytes) -> None:
        """A 101: the connection is a tunnel's from here on."""
        self._inbound.send(switched_head(head, timing))

    def begin(
        self, request: RequestHead, head: ResponseHead, timing: bytes, *, framed: bool, keep: bool
    ) -> None:
        """The head of the answer. `framed`: its body ends before its connection does."""
        lines = [answer_start(head), timing]
        self._chunked = False
        self.last = LAST_CHUNK
        if head.length is None and (not framed or head.chunked) and head.status not in NO_BODY:
            if request.old:
                self.closes = True
            else:
                self._chunked = request.method != b"HEAD"
                lines.append(_CHUNKED)
        connection = self._connection(keep=keep and not self.closes)
        if connection:
            self.closes = connection is _CLOSE
            lines.append(connection)
        lines.append(b"\r\n")
        self._pending = b"\r\n".join(lines)

    def body(self, data: bytes) -> None:
        """A piece of the answer's body."""
        if self._chunked:
            *before, data = chunk_pieces(data)
            if before:
                self.flush()
                for piece in before:
                    self._inbound.send(piece)
        if self._pending:
            head, self._pending = self._pending, b""
            self.started = True
            if len(data) < _JOINED:
                data = head + data
            else:
                self._inbound.send(head)
        self._inbound.send(data)

    def flush(self) -> None:
        """Nothing more has come for now: the head does not wait for a body."""
        if self._pending:
            head, self._pending = self._pending, b""
            self.started = True
            self._inbound.send(head)

    def end(self) -> None:
        """The answer is complete."""
        if self._chunked:
            self._pending += self.last
        if self._pending:
            self.flush()

    # Of what interests a log (`gateway.http.noting`), and here nobody.

    def note(
        self,
        *,
        status: int = 0,
        reason: Reason | None = None,
        timing: bytes = NO_TIME,
        size: int = 0,
    ) -> None:
        """What becomes of the request."""

    def left(self) -> None:
        """The connection is lost."""
        # Neither holds the other any more: no work for the garbage collector.
        del self._inbound

    def closed(self) -> None:
        """The request is over."""

    def _connection(self, *, keep: bool) -> bytes:
        """The Connection field; empty where none is needed."""
        inbound = self._inbound
        if not keep or not inbound.keeps():
            return _CLOSE
        head = inbound.reception.head
        return b"Connection: keep-alive" if head is not None and head.old else b""

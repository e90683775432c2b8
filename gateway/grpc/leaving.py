"""What runs on at a replica for a client that has left, or whose deadline has passed.

Rule 1: a server that goes on computing when its call is reset keeps its slot until its last word,
        or until the call's time there is up: it never has more inside than it has slots. So the
        call is not reset there, and what it still says is passed over.
Rule 2: what the replica has not got whole it has not begun: that is reset, and the slot is free.
        A stream may be within its messages; between two of them it is ended instead.
Rule 3: nor is such a server told a deadline shorter than the model's own limit: that would end
        the call then, and not the work. The client is told by us.
"""

from math import inf
from typing import TYPE_CHECKING

from gateway.grpc.answering import NOBODY
from gateway.grpc.core.frames import Code
from gateway.grpc.core.heads import Answer
from gateway.grpc.stream import Stream

if TYPE_CHECKING:
    from activator.core.ledger import Ticket
    from gateway.core.ports import Line
    from gateway.grpc.call import Call
    from gateway.http.context import Context

__all__ = ["run_on", "told_until"]


class _Leftover:
    """A call that nobody waits for, and its slot."""

    __slots__ = ("_context", "_due", "_line", "_stream", "_ticket", "filed")

    def __init__(
        self, context: "Context", line: "Line", ticket: "Ticket", stream: Stream, due: float
    ) -> None:
        self.filed: float = inf
        self._context = context
        self._line = line
        self._ticket = ticket
        self._stream = stream
        self._due = due
        context.requests += 1
        context.deadlines.file(self, due)

    def overdue(self, now: float) -> float:
        """See `gateway.http.deadlines.Timed`."""
        if now < self._due:
            return self._due
        self._over()
        return inf

    # What the replica's connection calls.

    def head(self, _found: Answer, end: int) -> None:
        if end:
            self._over()

    def data(self, _payload: bytes, length: int, end: int) -> None:
        self._stream.give_back(length)
        if end:
            self._over()

    def reset(self, _code: int) -> None:
        self._over()

    def broken(self, _detail: str) -> None:
        self._over()

    def lost(self) -> None:
        self._over()

    def _over(self) -> None:
        stream, context = self._stream, self._context
        stream.taker = NOBODY
        if stream.ended and stream.finished:
            stream.connection.close(stream)
        else:
            stream.connection.cut(stream, Code.CANCEL)
        context.deadlines.drop(self)
        self._line.leave(self._ticket)
        context.requests -= 1
        if context.closing:
            context.changed()


def run_on(call: "Call") -> None:
    """Take off `call` what its replica goes on with; the call itself is about to end."""
    attempt, ticket, entry = call.attempt, call.ticket, call.entry
    if attempt is None or ticket is None or entry is None or entry.resets:
        return
    stream, asked = attempt.stream, call.asked
    if not asked.complete and asked.between:
        stream.sending.data(stream, b"", 1, None, 0)
    elif not stream.finished:
        return
    call.attempt = call.ticket = call.pool = None
    stream.taker = _Leftover(call.context, entry.line, ticket, stream, call.limit)


def told_until(call: "Call") -> float:
    """Until when its replica is told that it may take; loop time."""
    entry = call.entry
    if call.ticket is None or entry is None or entry.resets:
        return min(call.limit, call.deadline)
    return call.limit

"""One call on its way: named, held, sent to a replica, sent again if that breaks.

The gateway's half of a ticket (`Guest`), and the client's half of a call. Callbacks on the loop.

Rule 1: nothing is sent before the line dispatches. A held call keeps what its client has sent: one
        window of its stream at most, since the window opens only as the call is sent on.
Rule 2: every message of a call to the V2 service names its model, and all of them the same one; the
        last bytes of a message are not sent on before that is known of it.
Rule 3: until the first byte of an answer what was sent is kept (up to 1 MiB), and goes out again
        where that is safe. After that byte a broken answer ends with a status that says so.
Rule 4: a client that leaves, or whose deadline passes, ends the call at the replica too, and the
        slot is free at once; unless that goes on computing (`gateway.grpc.leaving`).
"""

from math import inf
from typing import TYPE_CHECKING, ClassVar

from activator.core.ledger import Seat, Ticket
from activator.core.retries import Loss
from activator.core.seats import ANYWHERE
from fleet.reasons import Reason
from fleet.runtimes import CallKind
from gateway.core.callers import Admitted
from gateway.core.copies import Copy
from gateway.core.ports import Refusal
from gateway.core.refused import RefusedError
from gateway.core.table import Entry, Table
from gateway.core.tally import Tally
from gateway.errors import ERRORS
from gateway.grpc.answering import NOBODY, asleep, give, refuse, server, timing_block
from gateway.grpc.asked import Asked
from gateway.grpc.attempt import Attempt
from gateway.grpc.core.frames import Code, StreamError
from gateway.grpc.core.heads import Answer
from gateway.grpc.core.hops import told_block
from gateway.grpc.core.leads import Lead
from gateway.grpc.core.statuses import OK, http_status
from gateway.grpc.core.timeouts import timeout_field
from gateway.grpc.leaving import run_on, told_until
from gateway.grpc.listening import expire, heed, listen
from gateway.grpc.naming import entry_of
from gateway.grpc.pool import Pool, pool_of
from gateway.grpc.resending import again, judge
from gateway.grpc.stream import Stream
from gateway.grpc.upstream import Upstream
from gateway.grpc.wishing import wish_of
from gateway.http.pace import Pace

if TYPE_CHECKING:
    from gateway.grpc.downstream import Downstream

__all__ = ["Call"]

_SENDING_ROOM = 512 * 2**10
# Asked for with every call, and a member of an Enum costs a search each time.
_INFER, _SERVER = CallKind.INFER, CallKind.SERVER


class Call:
    """One call and its answer."""

    attempts: ClassVar[type[Attempt]] = Attempt
    __slots__ = (
        "_copy_key",
        "_mine",
        "_sent_at",
        "asked",
        "attempt",
        "context",
        "deadline",
        "down",
        "due",
        "entry",
        "kind",
        "lead",
        "limit",
        "over",
        "owed",
        "pace",
        "pool",
        "refreshed",
        "seat",
        "sends",
        "sent",
        "stream",
        "ticket",
        "unary",
        "until",
    )

    def __init__(
        self,
        down: "Downstream",
        stream: Stream,
        lead: Lead,
        mine: Admitted,
        timeout: float | None,
    ) -> None:
        self.stream = stream
        self.kind = lead.kind
        self.unary = lead.unary
        self.due = inf
        """Until when it must be over; loop time."""
        self.down = down
        self.context = down.context
        self.lead = lead
        self._mine = mine
        self.entry: Entry | None = None
        self.asked = Asked(lead, down.context.room)
        self._copy_key = b""
        self.owed = 0
        """What it has taken of its window, and may have back once it is sent on."""
        self.sent = self.refreshed = self.over = False
        self.ticket: Ticket | None = None
        self.seat: Seat | None = None
        self.pool: Pool | None = None
        self.attempt: Attempt | None = None
        self._sent_at = 0.0
        self.until = inf
        """What `due` is but for pauses."""
        self.limit = inf
        """Until when its replica may take; loop time."""
        self.pace: Pace | None = None
        """How its request comes in; None: there was no need to ask."""
        self.sends = 0
        self.deadline = inf
        down.context.requests += 1
        if timeout is not None:
            self.due = self.until = self.deadline = self.context.now() + timeout
            self.context.deadlines.file(down, self.due)

    # What the client's connection calls.

    def start(self, end: int) -> None:
        """The head has come; `end`: nothing follows it."""
        if end:
            self.asked.complete = True
            self._step()
        elif self.lead.field is None:
            self._step()

    def take(self, entry: Entry, payload: bytes) -> None:
        """Head and message have come, and it is an inference of `entry`: nothing is left to ask."""
        self.asked.whole(payload)
        self.entry = entry
        self._enter(entry)

    def data(self, payload: bytes, length: int, end: int) -> None:
        asked, attempt = self.asked, self.attempt
        try:
            payload = asked.take(payload, end)
            if attempt is None and not (end and self.entry is None):
                # Else it gets in line at once, and its ticket counts it.
                asked.hold(len(payload))
        except RefusedError as error:
            self.give_up(error.reason, error.detail)
            return
        if attempt is None:
            self.owed += length
            if self.entry is None:
                self._step()
            return
        asked.sent()
        if self.unary:
            listen(self, end)
        if payload or end:
            attempt.stream.sending.data(attempt.stream, payload, end, self.stream, length)
        else:
            self.stream.give_back(length)

    def head(self, found: Answer, end: int) -> None:
        if not end or found.status:
            raise StreamError(Code.PROTOCOL_ERROR, "a second head of a call")
        # No client of gRPC has trailers of its own; their end is the request's.
        self.data(b"", 0, 1)

    def reset(self, _code: int) -> None:
        self.lost()

    def broken(self, _detail: str) -> None:
        self.lost()

    def lost(self) -> None:
        if not self.over:
            self._tally.refuse(Reason.CLIENT_LEFT)
            run_on(self)
            self._finish()

    def expire(self) -> None:
        """Its time is up, or its client has said too little."""
        expire(self)

    def heed(self) -> None:
        """Its connection is looked at."""
        if self.due == inf:
            heed(self)

    @property
    def table(self) -> Table:
        """The models that are there for its caller."""
        return self.context.tables.seen(self._mine.models)

    # What the line calls.

    def dispatched(self, ticket: Ticket, seat: Seat) -> None:
        self.ticket = ticket
        if self.over:
            if self.entry is not None:
                self.entry.line.leave(ticket)
            return
        self._go(seat)

    def refused(self, ticket: Ticket, refusal: Refusal) -> None:
        self.ticket = ticket
        self.give_up(refusal.reason, retry_after=refusal.retry_after)

    # What the pool calls.

    def attached(self, upstream: Upstream) -> None:
        """A connection to the seat: everything so far goes out on it."""
        asked = self.asked
        kept, complete = asked.kept or [], asked.complete
        block = told_block(self.lead.head, self.down.edge)
        if self.deadline < inf:
            block += timeout_field(told_until(self) - self.context.now())
        self.sent = True
        self.sends += 1
        attempt = self.attempt = self.attempts(self, upstream)
        if complete and len(kept) == 1:
            attempt.stream = upstream.ask(attempt, block, kept[0])
            asked.sent()
            return
        stream = attempt.stream = upstream.begin(attempt, block, end=complete and not kept)
        for piece in kept[:-1]:
            stream.sending.data(stream, piece, 0, None, 0)
        if kept:
            owed, self.owed = self.owed, 0
            stream.sending.data(stream, kept[-1], int(complete), self.stream, owed)
        if not complete:
            self.stream.widen(_SENDING_ROOM)
            if self.unary:
                listen(self, 0)
        asked.sent()

    def connect_failed(self) -> None:
        """The seat takes no connection."""
        again(self, Loss.RESET if self.sent else Loss.REFUSED)

    # What an attempt calls.

    def began(self) -> bytes:
        """The first byte of an answer; returns the fields that we add to its head."""
        self.asked.drop()
        ticket, entry = self.ticket, self.entry
        cold = None
        if ticket is not None and entry is not None:
            entry.line.first_byte(ticket)
            if ticket.cold:
                cold = self.context.now() - ticket.arrived
        wait, upstream = self._times()
        tally = self._tally
        tally.wait.add(wait)
        tally.upstream.add(upstream)
        return timing_block(wait, upstream, cold, self.sends - 1)

    def done(self, last: Answer | None, copy: Copy | None) -> None:
        """The replica's last word."""
        status = None if last is None else last.grpc_status
        code = http_status(status)
        self._tally.count(code)
        seat = self.seat
        if seat is not None and (code >= 500 or seat.failures):
            judge(self, code)
        if copy is not None and status == OK and self.entry is not None:
            self.context.copies.remember(self.entry.revision, self._copy_key, copy)
        # It is over already.
        self.attempt = self.pool = None
        self._finish()

    def give_up(
        self,
        reason: Reason,
        detail: str = "",
        *,
        retry_after: float | None = None,
        headed: object = False,
    ) -> None:
        """End it from our side, whatever state it is in, and tell the client.

        `headed`: the head of an answer has gone out.
        """
        if self.over:
            return
        headed = headed or (self.attempt is not None and self.attempt.begun)
        self._tally.refuse(reason)
        self._tally.count(ERRORS[reason].status)
        self._finish()
        refuse(self.stream, RefusedError(reason, detail), retry_after, headed=headed)

    # Its own.

    @property
    def _tally(self) -> Tally:
        return self.context.other if self.entry is None else self.entry.tally

    def _step(self) -> None:
        """Go on, as far as what is known of the call lets it."""
        try:
            if self.kind is _SERVER:
                if self.asked.complete:
                    method, kept = self.lead.head.method, b"".join(self.asked.kept or ())
                    self._answer(server(self.context, method, kept, self.table))
                return
            entry = entry_of(self)
            if entry is not None:
                self.entry = entry
                self._enter(entry)
            elif self.unary:
                listen(self, 0)
        except RefusedError as error:
            self.give_up(error.reason, error.detail)

    def _enter(self, entry: Entry) -> None:
        if self.kind is not _INFER:
            self._copy_key = b"GRPC %b %b" % (self.lead.head.path, b"".join(self.asked.kept or ()))
            seat = entry.line.peek()
            if seat is not None:
                self._go(seat)
                return
            message = asleep(self.context, entry, self.kind, self._copy_key)
            if message is not None:
                self._answer(message)
                return
        if self.pace is not None:
            self.pace, self.due = None, self.until
        mine, asked = self._mine, self.asked
        asked.hand_back()
        wish = ANYWHERE
        if entry.wishes or entry.line.sequential:
            wish = wish_of(entry, self.lead.head, asked.kept or (), self.down.visitor)
        ticket = entry.line.enter(
            self, size=asked.size, caller=mine.caller, precedence=mine.precedence, wish=wish
        )
        if self.ticket is None and not self.over:
            self.ticket = ticket

    def _go(self, seat: Seat) -> None:
        context, entry = self.context, self.entry
        if entry is None:
            return
        now = context.now()
        self.seat, self.sent, self._sent_at = seat, False, now
        self.limit = now + entry.revision.policy.request_timeout
        self.until = min(self.limit, self.deadline)
        self.due = self.until
        if self.due < self.down.filed:
            context.deadlines.file(self.down, self.due)
        pool = self.pool = pool_of(context, seat)
        upstream = pool.take()
        if upstream is None:
            pool.wait(self)
        else:
            self.attached(upstream)

    def _times(self) -> tuple[float, float]:
        """Waited, and since dispatch; seconds."""
        now, ticket = self.context.now(), self.ticket
        return (0.0 if ticket is None else ticket.waited), now - self._sent_at

    def _answer(self, message: bytes) -> None:
        self._tally.count(200)
        self._finish()
        give(self.stream, message)

    def _finish(self) -> None:
        self.over = True
        self.stream.taker = NOBODY
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            attempt.cancel()
        elif self.pool is not None:
            self.pool.leave(self)
        ticket, self.ticket = self.ticket, None
        if ticket is not None and self.entry is not None:
            self.entry.line.leave(ticket)
        self.asked.drop()
        context = self.context
        context.requests -= 1
        if context.closing:
            context.changed()

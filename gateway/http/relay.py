"""One request on its way: held, sent to a replica, sent again if that breaks, its answer relayed.

The gateway's half of a ticket (`Guest`). Callbacks on the event loop.

Rule 1: nothing is sent before the line dispatches; a client that leaves before that frees its place
        at once and is never dispatched.
Rule 2: until the head of an answer what was sent is kept (a body up to 1 MiB), and goes out again
        where that is safe (`activator.core.retries`); also when the answer is a 503 from a replica
        that takes nothing new. Once a byte has come a broken answer breaks the client's connection
        too: half an answer never looks like a whole one.
Rule 3: a client that leaves while its request runs keeps the slot taken until the model server is
        done, or its time is up; unless closing its connection stops that.
Rule 4: the connection goes back to its pool before the slot is given back, so that whoever gets the
        slot finds it.
"""

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from activator.core.ledger import Seat, Ticket
from activator.core.retries import Loss
from fleet.reasons import Reason
from fleet.runtimes import CallKind
from gateway.core.answers import CONTINUE, has_taken_up, timing_line
from gateway.core.chunks import LAST_CHUNK, chunk_pieces
from gateway.core.copies import Copying
from gateway.core.head import RequestHead, ResponseHead
from gateway.core.limits import UNCOUNTED_BYTES
from gateway.core.ports import Refusal
from gateway.core.refused import RefusedError
from gateway.core.requests import request_pieces
from gateway.core.table import Entry, Route
from gateway.core.trailers import last_chunk
from gateway.http import resending
from gateway.http.heartbeat import expect_beats
from gateway.http.joining import join
from gateway.http.keeping import drop, hand_back, keep
from gateway.http.link import link_of
from gateway.http.outbound import Outbound
from gateway.http.tallying import begun, times
from gateway.http.tunnel import Tunnel

if TYPE_CHECKING:
    from gateway.http.inbound import Inbound

__all__ = ["Exchange"]

_INFER = CallKind.INFER
_COPIED = frozenset({CallKind.METADATA, CallKind.CONFIG})


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_copy",
        "_last",
        "_start",
        "begun",
        "bodiless",
        "complete",
        "counted",
        "due",
        "entry",
        "gathers",
        "gone",
        "head",
        "inbound",
        "kept",
        "line",
        "outbound",
        "over",
        "refreshed",
        "retries",
        "route",
        "seat",
        "sends",
        "sent",
        "sent_at",
        "size",
        "ticket",
    )

    def __init__(
        self, inbound: "Inbound", entry: Entry, route: Route, head: RequestHead, query: bytes
    ) -> None:
        self.inbound = inbound
        self.route = route
        self.outbound: Outbound | None = None
        """The connection that it is on now."""
        self.complete = not head.has_body
        """The whole request has come in."""
        self.bodiless = head.method == b"HEAD"
        """The answer has no body, whatever its head says."""
        self.begun = False
        """A byte of the answer has come."""
        self.due = inf
        """Until when the last byte must have come; loop time."""
        self.gathers = False
        """More of its body is to be read before it gets in line."""
        self.entry = entry
        self.line = entry.line
        self.head = head
        self._start = route.start + query + b" HTTP/1.1" if query else route.line
        self.kept: list[bytes] | None = []
        self.size = 0
        self.counted = 0
        """What of it is counted as held, while it does not wait."""
        self._last = LAST_CHUNK
        self.ticket: Ticket | None = None
        self.seat: Seat | None = None
        self.sent = False
        self.sent_at = 0.0
        self.sends = self.retries = 0
        self.refreshed = False
        self.gone = False
        self.over = False
        self._copy: Copying | None = None
        inbound.context.requests += 1

    # What the client's connection calls.

    @property
    def reads(self) -> bool:
        """Whether the client may be read from."""
        outbound = self.outbound
        return self.gathers if outbound is None else not outbound.choked

    def start(self) -> None:
        """Get in line, or go to a seat that takes no slot for it."""
        if self.route.kind is not _INFER:
            seat = self.line.peek()
            if seat is not None:
                self._go(seat)
                return
        ticket = join(self)
        if self.ticket is None and not self.over:
            self.ticket = ticket
            expect_beats(self)

    def body_in(self, data: bytes) -> None:
        """A piece of the request's body."""
        self.size += len(data)
        if self.kept is not None:
            self.kept.append(data)
        if self.outbound is not None:
            if self.size > UNCOUNTED_BYTES:
                keep(self)
            for piece in chunk_pieces(data) if self.head.chunked else (data,):
                self.outbound.transport.write(piece)

    def body_in_end(self, trailers: Sequence[bytes] = ()) -> None:
        """The request is complete."""
        self.complete = True
        if trailers and self.entry.profile.trailers:
            self._last = last_chunk(trailers, self.head.options)
        if self.outbound is not None and self.head.chunked:
            self.outbound.transport.write(self._last)

    def client_left(self) -> None:
        """The client is gone."""
        if self.gone or self.over:
            return
        self.gone = True
        self.entry.tally.refuse(Reason.CLIENT_LEFT)
        outbound = self.outbound
        if outbound is None or not self.complete or self.entry.cancels:
            self.finish()
        else:
            outbound.resume()

    def give_up(self, reason: Reason, detail: str = "") -> None:
        """End it from our side, whatever state it is in, and tell the client if it still can be."""
        if self.over:
            return
        if reason is Reason.REQUEST_TIMEOUT:
            resending.failed(self)
        gone = self.gone
        wait, upstream = times(self)
        self.finish()
        if gone:
            return
        if self.inbound.answering.started:
            self.entry.tally.refuse(reason)
            self.inbound.answering.note(reason=reason)
            self.inbound.reset()
        else:
            timing = timing_line(wait, upstream, None, self.retries)
            self.inbound.answering.refuse(reason, detail, timing=timing)

    # What the line calls.

    def dispatched(self, ticket: Ticket, seat: Seat) -> None:
        if self.over:
            self.line.leave(ticket)
            return
        self.ticket = ticket
        self._go(seat)

    def refused(self, ticket: Ticket, refusal: Refusal) -> None:
        if self.over:
            return
        self.ticket = ticket
        wait = self.inbound.context.now() - ticket.arrived if ticket.arrived else 0.0
        self.finish()
        self.inbound.answering.refuse(
            refusal.reason,
            retry_after=refusal.retry_after,
            timing=timing_line(wait, 0.0, None, self.retries),
        )

    # What the link calls.

    def attached(self, outbound: Outbound) -> None:
        """A connection to the seat: everything so far goes out on it."""
        if self.over:
            outbound.link.put(outbound)
            return
        self.outbound = outbound
        outbound.exchange = self
        self.sent = True
        self.sends += 1
        for piece in request_pieces(
            self._start,
            outbound.link.host_line,
            self.head,
            self.kept or [],
            last=self._last if self.complete else None,
            edge=self.inbound.edge,
        ):
            outbound.transport.write(piece)
        if self.size > UNCOUNTED_BYTES:
            keep(self)
        inbound = self.inbound
        if self.head.expects and not self.complete and not self.size:
            inbound.send(CONTINUE)
        if inbound.choked:
            outbound.pause()
        if outbound.choked or not inbound.reading:
            inbound.settle()

    def connect_failed(self) -> None:
        """The seat takes no connection: of this dispatch nothing can have run."""
        if not self.over:
            resending.again(self, Loss.RESET if self.sent else Loss.REFUSED)

    # What the replica's connection calls.

    def begin(self) -> None:
        """The first byte of an answer."""
        self.begun = True
        if self.ticket is not None:
            self.line.first_byte(self.ticket)

    def turned_away(self, outbound: Outbound) -> bool:
        """503. True: the replica takes nothing new, and another one is asked instead."""
        return resending.turned_away(self, outbound)

    def switched(self, outbound: Outbound, head: ResponseHead, rest: bytes) -> None:
        """The replica speaks another protocol from now on. Raises `RefusedError`."""
        if not (self.head.switches and self.complete and has_taken_up(self.head, head)):
            raise RefusedError(Reason.UPSTREAM_INVALID, "it switched protocols unasked")
        if self.gone:
            self.finish()
            return
        inbound = self.inbound
        drop(self)
        wait, upstream = begun(self, head.status)
        self.outbound = outbound.exchange = None
        inbound.plain.switched(head, timing_line(wait, upstream, None, self.retries))
        tunnel = Tunnel(inbound.context, inbound, outbound, over=self.finish)
        tunnel.open(inbound.hand_over(), rest)

    def answer(self, head: ResponseHead, *, framed: bool) -> None:
        """The head of the answer. `framed`: its body ends before its connection does."""
        self.kept = None
        if self.counted:
            hand_back(self)
        wait, upstream = begun(self, head.status)
        if head.status == 200 and self.route.kind in _COPIED and not head.encoded:
            self._copy = Copying(head.media)
        if self.gone:
            return
        cold = None
        if self.ticket is not None and self.ticket.cold:
            cold = self.inbound.context.now() - self.ticket.arrived
        timing = timing_line(wait, upstream, cold, self.retries)
        self.inbound.answering.begin(self.head, head, timing, framed=framed, keep=self.complete)

    def body(self, data: bytes) -> None:
        """A piece of the answer's body."""
        if self._copy is not None:
            self._copy.add(data)
        if not self.gone:
            self.inbound.answering.body(data)

    def trailed(self, trailers: Sequence[bytes], head: ResponseHead) -> None:
        """The fields behind the answer's last chunk."""
        if not self.gone:
            self.inbound.answering.last = last_chunk(trailers, head.options)

    def flush(self) -> None:
        """Nothing more has come for now."""
        if not self.gone:
            self.inbound.answering.flush()

    def end(self, outbound: Outbound, *, reusable: bool) -> None:
        """The answer is complete."""
        if not self.gone:
            self.inbound.answering.end()
        if self._copy is not None:
            self._remember(self._copy)
        self.outbound = None
        if reusable and self.complete:
            outbound.link.put(outbound)
        else:
            outbound.transport.abort()
        gone, inbound = self.gone, self.inbound
        self.finish()
        if not gone:
            inbound.done(keep=not inbound.answering.closes)

    def broken(self, reason: Reason, detail: str) -> None:
        """What came was no answer."""
        self.outbound = None
        resending.failed(self)
        self.give_up(reason, detail)

    def lost(self, outbound: Outbound) -> None:
        """The replica's connection broke."""
        self.outbound = None
        resending.lost(self, outbound)

    # Its own.

    def _go(self, seat: Seat) -> None:
        inbound = self.inbound
        now = inbound.context.now()
        self.seat = seat
        self.sent = False
        self.sent_at = now
        self.due = now + self.entry.revision.policy.request_timeout
        if self.due < inbound.filed:
            inbound.file(self.due)
        link = link_of(inbound.context, seat)
        outbound = link.take()
        if outbound is None:
            link.connect(self)
            inbound.settle()
        else:
            self.attached(outbound)

    def finish(self) -> None:
        """It is over: its slot and its connection are no longer its own."""
        self.over = True
        outbound, self.outbound = self.outbound, None
        if outbound is not None:
            outbound.abort()
        ticket, self.ticket = self.ticket, None
        if ticket is not None:
            # Neither holds the other any more: no work for the garbage collector.
            self.line.leave(ticket)
        self.kept = None
        if self.counted:
            hand_back(self)
        context = self.inbound.context
        context.requests -= 1
        self.inbound.over(self)
        if context.closing:
            context.changed()

    def _remember(self, copying: Copying) -> None:
        copy = copying.copy
        if copy is not None and b"?" not in self._start:
            self.inbound.context.copies.remember(self.entry.revision, self.route.start, copy)

"""The request that a connection is reading now: what it leads to, and its body.

Rule 1: a request that is refused, or answered here, is first read to its end, up to 64 KiB of body:
        so it costs its sender no connection, and is answered alike however its bytes are cut.
Rule 2: only an inference gets in line and so wakes; metadata and configuration do when no copy of
        an answer was ever seen; nothing else does, and nothing that is refused here.
Rule 3: a body that names its model, or on which its replica depends (a sequence, a prompt), is read
        whole first, up to a limit; whoever finds no room for it among all that is held is refused.
Rule 4: of a body whose length nobody has said, the first 64 KiB are read before a sleeping model is
        woken for it: what breaks a limit up to there, or ends badly, wakes nothing. Where there is
        no room for them the rest stays in the socket.
Rule 5: whoever is asked for a key and has none learns that, and nothing else.
"""

from copy import copy
from typing import TYPE_CHECKING

from fleet.reasons import Reason
from fleet.runtimes import CallKind
from gateway.core.answers import CONTINUE
from gateway.core.bodies import Body
from gateway.core.head import RequestHead
from gateway.core.limits import DISCARDED_BYTES
from gateway.core.naming import read_named_body
from gateway.core.refused import RefusedError
from gateway.core.route import find_route, route_by_body
from gateway.core.steps import check_step
from gateway.core.table import Entry, Route
from gateway.http.asking import ask
from gateway.http.context import Context
from gateway.http.keeping import gather
from gateway.http.local import Reply, asleep, server
from gateway.http.relay import Exchange
from gateway.visitor import Visitor

if TYPE_CHECKING:
    from gateway.http.inbound import Inbound

__all__ = ["Reception"]

_INFER, _SERVER = CallKind.INFER, CallKind.SERVER
_CLOSES = frozenset({Reason.MALFORMED, Reason.TARGET_TOO_LONG, Reason.BODY_TOO_LARGE})


class Reception:
    """One request at a time, from its head to its exchange."""

    __slots__ = (
        "_body",
        "_context",
        "_inbound",
        "_limit",
        "_named",
        "_pieces",
        "_reply",
        "_verdict",
        "begun",
        "complete",
        "entry",
        "head",
        "size",
        "visitor",
    )

    def __init__(self, inbound: "Inbound", context: Context) -> None:
        self._inbound = inbound
        self._context = context
        self._body: Body | None = None
        self._pieces: list[bytes] = []
        self.visitor = Visitor(context.door)
        """Whose the requests are."""
        self.clear()

    def clear(self) -> None:
        """Ready for the next request."""
        self.head: RequestHead | None = None
        self.entry: Entry | None = None
        """The model, once it is known."""
        self.complete = False
        """Head and body have been read."""
        self.begun = False
        """`begin` has been called."""
        self._reply: Reply | None = None
        self._verdict: RefusedError | None = None
        self._named: tuple[Route, bytes] | None = None
        self._limit = 0
        self.size = 0
        """Bytes of the body that have been read."""
        self._body = None
        if self._pieces:
            self._take_pieces()

    def close(self) -> None:
        """The connection is gone."""
        self.clear()
        self.visitor.leave()
        # Neither holds the other any more: no work for the garbage collector.
        del self._inbound

    def open(self, head: RequestHead) -> None:
        """A head is here. Raises `RefusedError` where the connection must close."""
        self.head = head
        self.complete = not head.has_body
        try:
            self._decide(head)
        except RefusedError as error:
            if error.reason in _CLOSES:
                raise
            self._verdict = error

    def fail(self, reason: Reason, detail: str = "") -> None:
        """End the request: its body does not come as it should."""
        exchange = self._inbound.exchange
        if exchange is not None:
            exchange.give_up(reason, detail)
        else:
            self._inbound.answering.refuse(reason, detail)

    def is_last(self) -> None:
        """No other request follows this one."""
        if self.head is not None:
            # A copy: the head may be remembered for others.
            self.head = copy(self.head)
            self.head.keep_alive = False

    def take(self, data: bytes) -> int:
        """Take in a piece of the body; returns how many bytes belong to it.

        Raises `RefusedError`; the request is then not complete.
        """
        body, head = self._body, self.head
        if body is None:
            if head is None:
                return 0
            body = self._body = Body(None if head.chunked else head.length)
        pieces: list[bytes] = []
        used = body.read(data, pieces)
        self._pass_on(pieces)
        self.complete = body.done
        exchange = self._inbound.exchange
        if exchange is not None:
            if self.complete:
                exchange.body_in_end(body.trailers)
            if exchange.gathers and (self.complete or not self._gathers_more()):
                exchange.gathers = False
                exchange.start()
        return used

    def whole(self, exchange: Exchange, body: bytes) -> None:
        """The whole body of a known length, within its limit, came with the head."""
        self.complete = self.begun = True
        self.size = len(body)
        exchange.body_in(body)
        exchange.complete = True
        exchange.start()

    def _pass_on(self, pieces: list[bytes]) -> None:
        if not pieces:
            return
        # One piece for each read, into however many chunks the sender has cut it.
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.size += len(data)
        if self._verdict is not None or self._reply is not None:
            if self.size > DISCARDED_BYTES:
                raise self._verdict or _too_large(DISCARDED_BYTES)
            return
        if self.size > self._limit:
            raise _too_large(self._limit)
        exchange = self._inbound.exchange
        if exchange is None:
            self._gather(data)
            return
        exchange.body_in(data)
        if exchange.gathers:
            gather(exchange, len(data))

    def _gather(self, piece: bytes) -> None:
        room = self._context.room
        if not room.has(len(piece)):
            raise RefusedError(Reason.HELD_BODIES_FULL)
        room.take(len(piece))
        self._pieces.append(piece)

    def _take_pieces(self) -> bytes:
        """All that was gathered, which is gathered no more."""
        body, self._pieces = b"".join(self._pieces), []
        self._context.room.give_back(len(body))
        return body

    def begin(self) -> None:
        """Do what was decided: what came with the head has been taken in."""
        self.begun = True
        inbound, head = self._inbound, self.head
        if inbound.exchange is not None:
            self._start(inbound.exchange)
        elif self.complete:
            self.completed()
        elif head is None:
            return
        elif self._verdict is not None and (head.expects or (head.length or 0) > DISCARDED_BYTES):
            inbound.answering.refuse(self._verdict.reason, self._verdict.detail)
        elif head.expects and not self.size:
            inbound.send(CONTINUE)

    def _start(self, exchange: Exchange) -> None:
        head, entry = self.head, self.entry
        known = self.complete or head is None or not head.chunked
        if known or entry is None or entry.line.peek() or not self._gathers_more():
            exchange.start()
            return
        exchange.gathers = True
        gather(exchange, exchange.size)
        if head is not None and head.expects and not self.size:
            self._inbound.send(CONTINUE)

    def _gathers_more(self) -> bool:
        """Whether more of a body is read before a sleeping model is woken for it."""
        more = DISCARDED_BYTES - self.size
        return more > 0 and self._context.room.has(more)

    def completed(self) -> None:
        """The request has been read whole."""
        if self._verdict is not None:
            self._inbound.answering.refuse(self._verdict.reason, self._verdict.detail)
        elif self._reply is not None:
            tally = self._context.other if self.entry is None else self.entry.tally
            tally.count(self._reply.status)
            self._inbound.plain.reply(self._reply)
        else:
            self._begin_named()

    def _begin_named(self) -> None:
        """A body that may name its model is complete."""
        head, named = self.head, self._named
        if head is None or named is None:
            return
        try:
            exchange = self._by_body(head, *named)
        except RefusedError as error:
            self._inbound.answering.refuse(error.reason, error.detail)
            return
        self._inbound.exchange = exchange
        exchange.start()

    def _decide(self, head: RequestHead) -> None:
        context, visitor = self._context, self.visitor
        if visitor.asked:
            self.head = head = ask(visitor, head)
        tables = context.tables
        table = tables.now if visitor.models is None else tables.seen(visitor.models)
        route, query = find_route(table, head, context.settings.host_suffix, context.scheme)
        self.entry = entry = route.entry
        whole = entry is None or route.reads or (route.steps and entry.line.sequential)
        self._limit = min(route.limit, context.limits.naming_body) if whole else route.limit
        if head.length is not None and head.length > self._limit:
            raise _too_large(self._limit)
        if route.kind is _SERVER:
            self._reply = server(context, route, table)
        elif entry is None or whole:
            self._named = (route, query)
        else:
            if route.kind is not _INFER and entry.line.peek() is None:
                self._reply = asleep(context, entry, route)
            if self._reply is None:
                self._inbound.exchange = Exchange(self._inbound, entry, route, head, query)

    def _by_body(self, head: RequestHead, route: Route, query: bytes) -> Exchange:
        body = self._take_pieces()
        if route.entry is not None and not route.by_body:
            return self._read(head, route, query, body)
        named = read_named_body(body)
        table = self._context.tables.seen(self.visitor.models)
        route = route_by_body(table, route, head.method, named)
        self.entry = entry = route.entry
        if entry is None:
            raise RefusedError(Reason.UNKNOWN_MODEL)
        if len(body) > entry.revision.policy.max_body:
            raise _too_large(entry.revision.policy.max_body)
        if named.model is not None and named.model != entry.served:
            body = named.renamed(entry.served)
        return self._read(head, route, query, body)

    def _read(self, head: RequestHead, route: Route, query: bytes, body: bytes) -> Exchange:
        """The exchange of a request that was read whole."""
        entry = route.entry
        if entry is None:
            raise RefusedError(Reason.UNKNOWN_MODEL)
        if route.steps and entry.line.sequential:
            check_step(head, body)
        if head.has_body:
            head = head.reframed(len(body))
        exchange = Exchange(self._inbound, entry, route, head, query)
        exchange.body_in(body)
        exchange.body_in_end()
        return exchange


def _too_large(limit: int) -> RefusedError:
    return RefusedError(Reason.BODY_TOO_LARGE, f"at most {limit} bytes")

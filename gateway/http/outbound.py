"""A connection to a replica: reads one answer at a time and hands it on as it comes.

Rule 1: an answer's end is found exactly, knowing the request's method. A connection is used again
        only after an answer that ended where it said, to a request that was sent whole, with
        nothing behind it; and its reading is never left paused. Not behind an answer to HEAD, or a
        204 or 304 that tells of a body: a server that sends one all the same, a moment later, would
        have it taken for the answer to whoever comes next.
Rule 2: of 1xx answers before the one that counts, only so many are let pass.
Rule 3: what is not proper HTTP ends the connection; nothing of it is guessed at.
"""

import asyncio
from typing import TYPE_CHECKING, cast

import httptools

from fleet.reasons import Reason
from gateway.core.answers import NO_BODY
from gateway.core.chunks import Chunks
from gateway.core.head import ResponseHead, read_response_head
from gateway.core.limits import WATER_MARK
from gateway.core.refused import RefusedError
from gateway.http.heads import HeadReader

if TYPE_CHECKING:
    from gateway.http.link import Link
    from gateway.http.relay import Exchange

__all__ = ["Outbound"]

_MOST_INTERIM = 32
_MAX_HEAD = 64 * 2**10
_HEAD, _LENGTH, _CHUNKED, _UNTIL_CLOSE = range(4)


class Outbound(asyncio.Protocol):
    """One connection, idle while `exchange` is None."""

    __slots__ = (
        "_answer",
        "_chunks",
        "_interim",
        "_keep",
        "_left",
        "_paused",
        "_reader",
        "_state",
        "choked",
        "exchange",
        "link",
        "transport",
        "used",
    )

    def __init__(self, link: "Link") -> None:
        self.link = link
        self.exchange: Exchange | None = None
        self.transport: asyncio.Transport
        self.used = False
        """It has brought an answer before."""
        self.choked = False
        """Its send buffer is full."""
        self._reader = HeadReader(
            httptools.HttpResponseParser, read_response_head, link.known, limit=_MAX_HEAD
        )
        self._state = _HEAD
        self._left = 0
        self._chunks: Chunks | None = None
        self._answer: ResponseHead | None = None
        self._interim = 0
        self._keep = False
        self._paused = False

    # What the exchange calls.

    def pause(self) -> None:
        """Read no more of the answer for now."""
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    def abort(self) -> None:
        """Break the connection off; its exchange hears no more of it."""
        self.exchange = None
        self.transport.abort()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.link.context.outbounds.add(self)
        self.transport.set_write_buffer_limits(high=WATER_MARK)

    def pause_writing(self) -> None:
        self.choked = True
        if self.exchange is not None:
            self.exchange.inbound.settle()

    def resume_writing(self) -> None:
        self.choked = False
        if self.exchange is not None:
            self.exchange.inbound.settle()

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            # Nobody asked.
            self.transport.abort()
            return
        if not exchange.begun:
            exchange.begin()
        try:
            self._read(exchange, data)
        except RefusedError as error:
            self.abort()
            exchange.broken(Reason.UPSTREAM_INVALID, error.detail)

    def connection_lost(self, exc: Exception | None) -> None:
        exchange = self.exchange
        self.link.context.outbounds.discard(self)
        if exchange is None:
            self.link.forget(self)
            return
        self.exchange = None
        if self._state == _UNTIL_CLOSE and exc is None:
            exchange.end(self, reusable=False)
        else:
            exchange.lost(self)

    def _read(self, exchange: "Exchange", data: bytes) -> None:
        while data:
            if self._state == _HEAD:
                data = self._read_head(exchange, data)
            else:
                data = self._read_body(exchange, data)
            if self.exchange is not exchange:
                return
        exchange.flush()

    def _read_head(self, exchange: "Exchange", data: bytes) -> bytes:
        head = self._reader.read(data)
        if head is None:
            return b""
        rest = self._reader.rest
        if head.status < 200:
            return self._inform(exchange, head, rest)
        if head.status == 503 and exchange.turned_away(self):
            return b""
        self._frame(head, asked=exchange.bodiless)
        exchange.answer(head, framed=self._state != _UNTIL_CLOSE)
        if self._state == _LENGTH and len(rest) == self._left:
            # All of it, and nothing else: so ends nearly every answer.
            if rest:
                exchange.body(rest)
            self._end(exchange, b"")
            return b""
        if self._state == _LENGTH and not self._left:
            self._end(exchange, rest)
        return rest

    def _inform(self, exchange: "Exchange", head: ResponseHead, rest: bytes) -> bytes:
        """A 1xx before the answer, or instead of it."""
        if head.status == 101:
            exchange.switched(self, head, rest)
            return b""
        self._interim += 1
        if self._interim > _MOST_INTERIM:
            raise RefusedError(Reason.UPSTREAM_INVALID, "it sent too many interim answers")
        if not exchange.gone:
            exchange.inbound.answering.informed(exchange.head, head)
        return rest

    def _frame(self, head: ResponseHead, *, asked: object) -> None:
        """How the body ends. `asked`: for none, by HEAD."""
        self._keep = head.keep_alive
        self._left = self._interim = 0
        if asked or head.status in NO_BODY:
            self._state = _LENGTH
            self._keep = self._keep and not (asked or head.length or head.chunked)
        elif head.chunked:
            self._state = _CHUNKED
            self._chunks = Chunks()
            self._answer = head
        elif head.length is not None:
            self._state = _LENGTH
            self._left = head.length
        else:
            self._state = _UNTIL_CLOSE

    def _read_body(self, exchange: "Exchange", data: bytes) -> bytes:
        if self._state == _LENGTH:
            size = len(data)
            left = self._left
            rest = b"" if size <= left else data[left:]
            exchange.body(data if size <= left else data[:left])
            self._left = left - size if size < left else 0
            if not self._left:
                self._end(exchange, rest)
            return rest
        if self._chunks is None:
            exchange.body(data)
            return b""
        pieces: list[bytes] = []
        end = self._chunks.read(data, pieces)
        if pieces:
            exchange.body(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        rest = data[end:]
        if self._chunks.done:
            if self._chunks.trailers and self._answer is not None:
                exchange.trailed(self._chunks.trailers, self._answer)
            self._end(exchange, rest)
        return rest

    def _end(self, exchange: "Exchange", rest: bytes) -> None:
        self.exchange = None
        self._state = _HEAD
        self._chunks = None
        self.used = True
        if self._paused:
            self.resume()
        exchange.end(self, reusable=self._keep and not rest)

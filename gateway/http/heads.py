"""Takes the head of a message off a stream of bytes: the parser's verdict, within a limit.

Rule 1: bytes are counted before the parser sees them: its time for an endless head is quadratic.
Rule 2: exactly the head is fed, up to its empty line; the parser must find it complete there, or
        the message is refused: two opinions of where a head ends are one too many.
Rule 3: a head in pieces is fed as it comes, so that what is wrong with it is said at once.
Rule 4: a head whose bytes were accepted before is not read again (`gateway.core.known`); the last
        one of this connection, which most often is the next one too, is not even looked up.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import httptools

from fleet.reasons import Reason
from gateway.core.known import Head, Known
from gateway.core.refused import RefusedError

__all__ = ["HeadReader", "Parser"]

_END = b"\r\n\r\n"
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\n"
_NOTHING = bytes(bytearray(b"nothing yet"))

Parser = httptools.HttpRequestParser | httptools.HttpResponseParser
_H = TypeVar("_H", bound=Head)


class HeadReader(Generic[_H]):
    """Reads the heads of one connection, one after the other.

    `make` makes the parser, `read` reads what the parser has accepted, `known` is shared with other
    connections of the kind, `limit` is in bytes.
    """

    __slots__ = (
        "_headed",
        "_known",
        "_last",
        "_limit",
        "_make",
        "_parser",
        "_raw",
        "_read",
        "preface",
        "rest",
        "resumed",
    )

    def __init__(
        self,
        make: Callable[["HeadReader[_H]"], Parser],
        read: Callable[[bytes], _H],
        known: Known[_H],
        *,
        limit: int,
    ) -> None:
        self.rest = _NOTHING
        """What came behind the last head."""
        self.preface = b""
        """All that came, where it begins a connection and is no HTTP/1.1 but HTTP/2."""
        self._make = make
        self._read = read
        self._known = known
        self._limit = limit
        self._raw = b""
        self._last: _H | None = None
        self._parser: Parser | None = None
        self._headed = False
        self.resumed = False
        """What was read last went on with a head."""

    @property
    def begun(self) -> bool:
        """Whether a part of a head is here."""
        return bool(self._raw)

    def on_headers_complete(self) -> None:
        """The parser's word that the head is complete."""
        self._headed = True

    def read(self, data: bytes) -> _H | None:
        """The head, once it is complete; None until then. Raises `RefusedError`."""
        if not self._raw:
            last = self._last
            if last is not None and (raw := last.raw) and data.startswith(raw):
                self.rest = data[len(raw) :]
                return last
            end = data.find(_END) + 4
            if end <= self._limit:
                head = self._known.find(data[:end])
                if head is not None:
                    self._last = head
                    self.rest = data[end:]
                    return head
        accepted = self._accept(data)
        if accepted is None:
            return None
        head = self._read(accepted)
        self._known.remember(accepted, head)
        return head

    def _accept(self, data: bytes) -> bytes | None:
        """The bytes of the head, accepted by the parser."""
        seen = len(self._raw)
        if seen:
            data = self._raw + data
        end = data.find(_END, max(0, seen - 3)) + 4
        whole = end > 3
        if (end if whole else len(data)) > self._limit:
            raise self._too_large(data)
        parser = self._parser or self._make(self)
        try:
            parser.feed_data(data[seen:end] if whole else data[seen:])
        except httptools.HttpParserUpgrade as error:
            # Said of a head that is complete; whether what it asks for matters, its reader says.
            if not whole:
                raise RefusedError(Reason.MALFORMED) from error
        except httptools.HttpParserError as error:
            raise RefusedError(Reason.MALFORMED) from error
        if not whole:
            self._raw, self._parser = data, parser
            self.resumed = seen > 0
            return None
        headed, self._headed = self._headed, False
        self._raw, self._parser = b"", None
        if not headed:
            self._look_for_preface(data)
            raise RefusedError(Reason.MALFORMED)
        self.rest = data[end:]
        return data[:end]

    def _look_for_preface(self, data: bytes) -> None:
        if data.startswith(_HTTP2) and self.rest is _NOTHING:
            self.preface = data

    def _too_large(self, data: bytes) -> RefusedError:
        line = data.find(b"\r\n", 2)
        if 0 <= line <= self._limit:
            return RefusedError(Reason.HEAD_TOO_LARGE, f"at most {self._limit} bytes")
        return RefusedError(Reason.TARGET_TOO_LONG, f"at most {self._limit} bytes")

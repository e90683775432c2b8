"""The chunked coding, read strictly and written anew. Pure.

Rule 1: a chunk is ``SIZE[;EXTENSION] CRLF DATA CRLF``, with hexadecimal digits alone for the size.
        A bare CR or LF, a sign, a space, a size of over 15 digits: refused.
Rule 2: extensions are bounded, and go no further. Trailers are bounded; which of them go on is
        decided elsewhere (`gateway.core.trailers`).
Rule 3: the end of the message is found exactly; what follows it is not touched.
"""

import re

from fleet.reasons import Reason
from gateway.core.refused import RefusedError

__all__ = ["LAST_CHUNK", "Chunks", "chunk", "chunk_pieces"]

LAST_CHUNK = b"0\r\n\r\n"

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?")
_PLAIN_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_LARGE = 64 * 2**10
_MAX_LINE = 1024
_MAX_TRAILERS = 8192

_SIZE, _DATA, _AFTER, _TRAILERS = range(4)


def chunk(data: bytes) -> bytes:
    """One chunk that holds `data`, which must not be empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunk_pieces(data: bytes) -> tuple[bytes, ...]:
    """The same, to be written one after the other: what is large is not copied for its frame."""
    if len(data) < _LARGE:
        return (chunk(data),)
    return (b"%x\r\n" % len(data), data, b"\r\n")


class Chunks:
    """Reads one chunked body, in pieces of any size."""

    __slots__ = ("_line", "_remaining", "_size", "_state", "done", "trailers")

    def __init__(self) -> None:
        self.done = False
        """The last chunk and its trailers have been read."""
        self.trailers: tuple[bytes, ...] = ()
        """The fields behind the last chunk, without CRLF."""
        self._state = _SIZE
        self._remaining = 0
        self._line = b""
        self._size = 0

    def read(self, data: bytes, into: list[bytes]) -> int:
        """Append to `into` what `data` holds of the body; returns how many bytes belong to it.

        Raises `RefusedError`.
        """
        at = 0
        size = len(data)
        while at < size and not self.done:
            if self._state == _SIZE and not self._line:
                at = self._read_whole(data, at, into)
                if self._state == _SIZE and at < size:
                    at = self._read_line(data, at)
            elif self._state == _DATA:
                end = min(size, at + self._remaining)
                into.append(data[at:end])
                self._remaining -= end - at
                at = end
                if not self._remaining:
                    self._state = _AFTER
            else:
                at = self._read_line(data, at)
        return at

    def _read_whole(self, data: bytes, at: int, into: list[bytes]) -> int:
        """Take chunks without extensions that lie in `data` whole; returns where they end."""
        while (match := _PLAIN_LINE.match(data, at)) is not None:
            start = match.end()
            end = start + int(match[1], 16)
            if end == start or data[end : end + 2] != b"\r\n":
                break
            into.append(data[start:end])
            at = end + 2
        return at

    def _read_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at)
        stop = len(data) if end < 0 else end + 1
        line = self._line + data[at:stop]
        if len(line) > _MAX_LINE:
            raise RefusedError(Reason.MALFORMED, "a line of the chunked body is too long")
        if end < 0:
            self._line = line
            return stop
        self._line = b""
        if line[-2:] != b"\r\n":
            raise RefusedError(Reason.MALFORMED, "a line of the chunked body has a bare LF")
        self._take_line(line[:-2])
        return stop

    def _take_line(self, line: bytes) -> None:
        if self._state == _SIZE:
            match = _SIZE_LINE.fullmatch(line)
            if match is None:
                raise RefusedError(Reason.MALFORMED, "a chunk has no proper size")
            self._remaining = int(match[1], 16)
            self._state = _DATA if self._remaining else _TRAILERS
        elif self._state == _AFTER:
            if line:
                raise RefusedError(Reason.MALFORMED, "a chunk is longer than its size")
            self._state = _SIZE
        elif line:
            self._size += len(line)
            if self._size > _MAX_TRAILERS or _TRAILER.fullmatch(line) is None:
                raise RefusedError(Reason.MALFORMED, "the trailers are too long or malformed")
            self.trailers += (line,)
        else:
            self.done = True

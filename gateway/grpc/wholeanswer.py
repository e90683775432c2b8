"""Answers that came in one piece: head, one message and trailers; the rules are `wholecall`'s."""

from struct import Struct
from typing import TYPE_CHECKING

from gateway.grpc.attempt import Attempt
from gateway.grpc.core.frames import END_HEADERS, END_STREAM, HEADERS
from gateway.grpc.core.heads import Answer

if TYPE_CHECKING:
    from gateway.grpc.upstream import Upstream

__all__ = ["take_answer"]

_START = Struct(">HBHI").unpack_from
_SIZE = 9
_DATA = 0
_LAST_HEAD = HEADERS << 8 | END_HEADERS | END_STREAM


def take_answer(up: "Upstream", number: int, found: object, data: bytes, at: int) -> int:
    """An answer whose head was read to `found`, if what is at `at` is the rest of it.

    Returns where it ends; 0: it was not taken.
    """
    begin, connection = at + _SIZE, up.connection
    if begin > len(data) or type(found) is not Answer:
        return 0
    high, low, word, of = _START(data, at)
    size = high << 8 | low
    middle = begin + size
    if word != _DATA or of != number or middle + _SIZE > len(data) or not connection.spares(size):
        return 0
    high, low, word, of = _START(data, middle)
    end: int = middle + _SIZE + (high << 8 | low)
    if word != _LAST_HEAD or of != number or end > len(data):
        return 0
    last = connection.known.get(data[middle + _SIZE : end])
    stream = connection.streams.get(number)
    if type(last) is not Answer or stream is None or size > stream.room:
        return 0
    attempt = stream.taker
    if isinstance(attempt, Attempt) and attempt.whole(found, data[begin:middle], last):
        connection.taken += size
        up.used = True
        return end
    return 0

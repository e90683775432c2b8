"""Calls that came in one piece: head, message and end.

Nearly all unary calls are of that kind, and their answers (`gateway.grpc.wholeanswer`): the frames
follow each other in one read. Taken at once they cost much less than frame by frame.

Rule 1: a short cut and no other way: it does what the connection, its side and the call would have
        done with each of the frames.
Rule 2: whatever is unusual in any respect is left to them, and nothing has been touched by then.
"""

from struct import Struct
from typing import TYPE_CHECKING

from gateway.grpc.answering import NOBODY
from gateway.grpc.core.frames import END_STREAM
from gateway.grpc.core.leads import Lead
from gateway.grpc.core.messages import PREFIX
from gateway.grpc.core.seen import Seen
from gateway.grpc.core.walking import read_name
from gateway.grpc.stream import Stream

if TYPE_CHECKING:
    from gateway.grpc.downstream import Downstream

__all__ = ["take_call"]

_START = Struct(">HBHI").unpack_from
"""The nine bytes of a frame, as `gateway.grpc.connection` has them."""
_SIZE = 9
_LAST_DATA = END_STREAM


def take_call(down: "Downstream", number: int, found: object, data: bytes, at: int) -> int:
    """A call whose head was read to `found`, if what is at `at` is the rest of it.

    Returns where it ends; 0: it was not taken.
    """
    begin, connection = at + _SIZE, down.connection
    if begin > len(data) or type(found) is not Seen or not down.takes(number):
        return 0
    high, low, word, of = _START(data, at)
    size = high << 8 | low
    end: int = begin + size
    if word != _LAST_DATA or of != number or end > len(data) or not connection.spares(size):
        return 0
    lead = _lead(down, found)
    if lead is None or lead.field is None or lead.noted is None:
        return 0
    note, payload = lead.noted, data[begin:end]
    if size - PREFIX > note.most or read_name(payload, lead.field) != note.name:
        return 0
    down.last = number
    connection.taken += size
    stream = Stream(connection, number, NOBODY)
    stream.ended = True
    connection.streams[number] = stream
    stream.taker = call = down.calls(down, stream, lead, down.visitor.unasked(), found.timeout)
    call.take(note.entry, payload)
    return end


def _lead(down: "Downstream", seen: Seen) -> Lead | None:
    """Where a head has led before, if it still does and its messages are looked at."""
    head, context = seen.head, down.context
    lead, table = head.led, context.tables.now
    if lead is None or lead.head is not head or head.length is not None:
        return None
    if lead.table is not table or lead.suffix is not context.settings.host_suffix:
        return None
    note = lead.noted
    if note is None or note.table is not table or note.entry.line.sequential:
        return None
    return lead

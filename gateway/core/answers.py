"""The bytes of an answer's head. Pure."""

from http import HTTPStatus

from gateway.core.head import RequestHead, ResponseHead

__all__ = [
    "CONTINUE",
    "NO_BODY",
    "answer_start",
    "has_taken_up",
    "status_line",
    "switched_head",
    "timing_line",
]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
NO_BODY = frozenset({204, 304})
"""Statuses whose answers have no body, whatever their head says."""

_LINES = {
    status.value: b"HTTP/1.1 %d %b" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}
_TIMING = b"Server-Timing: wait;dur=%.1f, upstream;dur=%.1f"
_AT_ONCE = tuple(_TIMING % (0.0, tenths / 10) for tenths in range(1001))
"""The field of a warm request, by tenths of a millisecond up to 100 ms: formatted beforehand."""


def status_line(status: int) -> bytes:
    """``HTTP/1.1 200 OK``, without CRLF."""
    line = _LINES.get(status)
    # The reason phrase may be empty, the space before it may not be left out.
    return b"HTTP/1.1 %d " % status if line is None else line


def answer_start(head: ResponseHead) -> bytes:
    """Status line, fields and Content-Length as they go to a client, without the last CRLF.

    Remembered in the head: a head seen before goes the same way.
    """
    if not head.start:
        lines = [status_line(head.status), *head.fields]
        if head.length is not None and head.status not in NO_BODY:
            lines.append(b"Content-Length: %d" % head.length)
        head.start = b"\r\n".join(lines)
    return head.start


def has_taken_up(request: RequestHead, head: ResponseHead) -> bool:
    """Whether a 101 switches to what `request` offered."""
    offered = {offer.lower() for offer in request.upgrades}
    taken = {offer.lower() for offer in head.upgrades}
    return bool(taken) and taken <= offered


def switched_head(head: ResponseHead, timing: bytes) -> bytes:
    """The whole head of a 101 as it goes to the client."""
    upgrade = b"Upgrade: " + b", ".join(head.upgrades)
    lines = [status_line(101), *head.fields, timing, b"Connection: Upgrade", upgrade]
    return b"\r\n".join([*lines, b"", b""])


def timing_line(wait: float, upstream: float, cold: float | None = None, retries: int = 0) -> bytes:
    """The Server-Timing field, without CRLF; seconds in, milliseconds written.

    `cold`: how long the caller's cold start took; None when there was none. `retries`: how often
    the request was sent again; not told when it was not.
    """
    if not wait and cold is None and upstream < 0.1 and not retries:
        return _AT_ONCE[int(upstream * 1e4 + 0.5)]
    line = _TIMING % (wait * 1e3, upstream * 1e3)
    if cold is not None:
        line += b", cold;dur=%.1f" % (cold * 1e3)
    return b'%b, retries;desc="%d"' % (line, retries) if retries else line

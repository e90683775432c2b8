"""What an answer counts for: its model's tally, its replica's good name, and the times it tells.

Rule: an answer counts when its head is here; to a client that has gone it is no answer any more.
"""

from typing import TYPE_CHECKING

from gateway.http import resending

if TYPE_CHECKING:
    from gateway.http.relay import Exchange

__all__ = ["begun", "times"]


def begun(exchange: "Exchange", status: int) -> tuple[float, float]:
    """Count an answer; waited, and since dispatch; seconds."""
    seat = exchange.seat
    if seat is not None and (status >= 500 or seat.failures):
        resending.judge(exchange, status)
    tally = exchange.entry.tally
    wait, upstream = both = times(exchange)
    tally.wait.add(wait)
    tally.upstream.add(upstream)
    if not exchange.gone:
        tally.count(status)
    return both


def times(exchange: "Exchange") -> tuple[float, float]:
    """Waited, and since dispatch; seconds."""
    now = exchange.inbound.context.now()
    ticket = exchange.ticket
    if exchange.seat is None:
        return (now - ticket.arrived if ticket is not None else 0.0), 0.0
    wait = 0.0 if ticket is None else ticket.waited
    return wait, now - exchange.sent_at

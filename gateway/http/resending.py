"""What becomes of a request whose dispatch came to nothing: sent again, or the end.

Rule 1: nothing is sent again once a byte of an answer has come; nor, of course, when nobody is left
        to read it.
Rule 2: whether and where it may go is decided by the line, within its model's budget
        (`activator.core.retries`); here is only seen how the dispatch before it failed.
Rule 3: the line is told of answers that failed, for the replica's sake (`activator.core.outliers`).
"""

from math import inf
from typing import TYPE_CHECKING

from activator.core.retries import Attempt, Denied, Loss, denied
from fleet.reasons import Reason
from gateway.core.retries import DETAILS
from gateway.http.keeping import hand_back
from gateway.http.link import link_of
from gateway.http.outbound import Outbound

if TYPE_CHECKING:
    from gateway.http.relay import Exchange

__all__ = ["again", "failed", "judge", "lost", "turned_away"]

_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


def lost(exchange: "Exchange", outbound: Outbound) -> None:
    """The replica's connection broke."""
    if exchange.gone:
        exchange.finish()
    elif exchange.begun:
        failed(exchange)
        exchange.give_up(Reason.REPLICA_LOST)
    elif outbound.used and not exchange.refreshed and exchange.seat is not None:
        # An idle connection that the server had closed: a fresh one tells whether it is there.
        exchange.refreshed = True
        outbound.link.drop_idle()
        again(exchange, Loss.STALE)
    else:
        again(exchange, Loss.RESET)


def turned_away(exchange: "Exchange", outbound: Outbound) -> bool:
    """503. True: the replica takes nothing new, and another one is asked instead."""
    seat, ticket = exchange.seat, exchange.ticket
    if seat is None or seat.open or ticket is None or exchange.gone:
        return False
    exchange.outbound, exchange.begun = None, False
    if not exchange.line.again(ticket, _attempt(exchange, Loss.DRAINING)):
        exchange.outbound, exchange.begun = outbound, True
        return False
    outbound.abort()
    _sent_again(exchange, Loss.DRAINING)
    return True


def judge(exchange: "Exchange", status: int) -> None:
    """An answer with `status` begins, and it or one before it failed."""
    if status >= 500:
        failed(exchange)
    elif exchange.seat is not None:
        exchange.seat.failures = 0


def failed(exchange: "Exchange") -> None:
    """Its replica failed it."""
    if exchange.ticket is not None and exchange.line.failed(exchange.ticket):
        exchange.entry.tally.put_out += 1


def _attempt(exchange: "Exchange", loss: Loss) -> Attempt:
    if loss is not Loss.STALE and exchange.ticket is not None:
        if exchange.counted:
            hand_back(exchange)
        exchange.ticket.size = exchange.size
    return Attempt(
        loss=loss,
        policy=exchange.entry.retry,
        kept=exchange.kept is not None,
        sends=exchange.sends,
        repeatable=exchange.head.method in _REPEATABLE,
    )


def again(exchange: "Exchange", loss: Loss) -> None:
    """To the same replica, or back into the line, if it may; else the end."""
    ticket, seat, attempt = exchange.ticket, exchange.seat, _attempt(exchange, loss)
    if loss is not Loss.STALE:
        exchange.seat = None
        exchange.due = inf
    if ticket is None:
        # It took no slot and has no place to go back to.
        why = denied(attempt) if loss is Loss.STALE else Denied.HOPELESS
    else:
        why = None if exchange.line.again(ticket, attempt) else ticket.denied
    if why is not None:
        exchange.entry.tally.deny(why)
        exchange.give_up(Reason.REPLICA_LOST, DETAILS[why])
        return
    if loss is Loss.STALE and seat is not None:
        link_of(exchange.inbound.context, seat).connect(exchange)
    _sent_again(exchange, loss)


def _sent_again(exchange: "Exchange", loss: Loss) -> None:
    exchange.retries += 1
    exchange.entry.tally.retry(loss)
    if not exchange.over:
        exchange.inbound.settle()

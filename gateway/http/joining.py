"""How a request gets in line: whose it is, what it weighs, and where it would like to run.

Rule: what it would like is read from it only where its model asks for that.
"""

from typing import TYPE_CHECKING

from activator.core.seats import ANYWHERE, Ticket, Wish
from gateway.core.affinity import affinity_key
from gateway.core.saying import forwarded_in
from gateway.core.steps import step_of
from gateway.http.keeping import hand_back

if TYPE_CHECKING:
    from gateway.http.relay import Exchange

__all__ = ["join"]


def join(exchange: "Exchange") -> Ticket:
    """Get in line; what its model needs of the body has been read."""
    if exchange.counted:
        hand_back(exchange)
    visitor, line = exchange.inbound.reception.visitor, exchange.line
    return line.enter(
        exchange,
        size=exchange.size,
        caller=visitor.caller or visitor.name(),
        precedence=visitor.precedence,
        wish=_wish(exchange) if exchange.entry.wishes or line.sequential else ANYWHERE,
    )


def _wish(exchange: "Exchange") -> Wish:
    body = exchange.kept or ()
    if exchange.line.sequential:
        step = step_of(exchange.head, b"".join(body))
        if step is not None:
            return Wish(step=step)
    affinity = exchange.entry.affinity
    if affinity is None:
        return ANYWHERE
    head, visitor = exchange.head, exchange.inbound.reception.visitor
    client = visitor.address(forwarded_in(head) if visitor.trusted else ())
    return Wish(key=affinity_key(affinity, head.fields, client=client, body=body))

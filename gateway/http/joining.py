"""How a request gets in line: whose it is, what it weighs, and where it would like to run.

Rule: what it would like is read from it only where its model asks for that.
"""

from typing import TYPE_CHECKING

from activator.core.seats import ANYWHERE, Ticket, Wish
from gateway.core.affinity import affinity_key
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
    fields = exchange.head.fields
    return Wish(key=affinity_key(affinity, fields, client=_address(exchange), body=body))


def _address(exchange: "Exchange") -> bytes:
    """Who asks: the peer, or whom a trusted peer says that it speaks for."""
    inbound = exchange.inbound
    if inbound.edge.trusted:
        for line in exchange.head.fields:
            name, _, value = line.partition(b":")
            if name.lower() == b"x-forwarded-for":
                return value.rpartition(b",")[2].strip()
    name = inbound.transport.get_extra_info("peername")
    return str(name[0]).encode() if isinstance(name, tuple) else b""

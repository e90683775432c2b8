"""What is kept of a request's body, counted among all that is held in memory.

Rule 1: while a request waits its ticket counts it (`activator.core.room`); while more of it is read
        before that, and while it is kept to be sent again, it is counted here.
Rule 2: for a request that runs keeping is a favour: where there is no room for it, it is dropped,
        and the request is not sent again.
"""

from typing import TYPE_CHECKING

from gateway.core.limits import KEPT_BYTES

if TYPE_CHECKING:
    from gateway.http.relay import Exchange

__all__ = ["drop", "gather", "hand_back", "keep"]


def gather(exchange: "Exchange", size: int) -> None:
    """More of the body was read before its model is woken for it."""
    exchange.counted += size
    exchange.inbound.context.room.take(size)


def keep(exchange: "Exchange") -> None:
    """It runs: go on keeping what is sent, up to the bound for one, while there is room."""
    room, more = exchange.inbound.context.room, exchange.size - exchange.counted
    if exchange.kept is not None and exchange.size <= KEPT_BYTES and room.has(more):
        room.take(more)
        exchange.counted = exchange.size
        return
    drop(exchange)


def drop(exchange: "Exchange") -> None:
    """Nothing of it is kept any more."""
    exchange.kept = None
    if exchange.counted:
        hand_back(exchange)


def hand_back(exchange: "Exchange") -> None:
    """What was counted here is its ticket's to count now, or gone."""
    exchange.inbound.context.room.give_back(exchange.counted)
    exchange.counted = 0

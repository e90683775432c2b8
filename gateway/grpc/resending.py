"""What becomes of a call whose dispatch came to nothing: sent again, or the end.

As `gateway.http.resending` has it for HTTP/1.1; the line decides, here is only seen what happened.
"""

from typing import TYPE_CHECKING

from activator.core.retries import Attempt, Denied, Loss, denied
from fleet.reasons import Reason
from gateway.core.retries import DETAILS

if TYPE_CHECKING:
    from gateway.grpc.call import Call

__all__ = ["again", "failed", "judge", "turned_away"]

_NOT_ITS_FAULT = 501


def again(call: "Call", loss: Loss) -> None:
    """To the same replica, or back into the line, if it may; else the end."""
    ticket, pool, entry = call.ticket, call.pool, call.entry
    if entry is None:
        return
    if loss is not Loss.STALE and ticket is not None:
        call.asked.hand_back()
        ticket.size = call.asked.size
    attempt = Attempt(
        loss=loss, policy=entry.retry, kept=call.asked.kept is not None, sends=call.sends
    )
    if loss is Loss.STALE:
        call.refreshed = True
    else:
        call.seat = call.pool = None
        call.due = call.deadline
    if ticket is None:
        # It took no slot and has no place to go back to.
        why = denied(attempt) if loss is Loss.STALE else Denied.HOPELESS
    else:
        why = None if entry.line.again(ticket, attempt) else ticket.denied
    if why is not None:
        entry.tally.deny(why)
        call.give_up(Reason.REPLICA_LOST, DETAILS[why])
        return
    entry.tally.retry(loss)
    if loss is Loss.STALE and pool is not None:
        # The server had closed it while it was idle: a fresh one tells whether it is there.
        pool.refresh()
        pool.wait(call)


def turned_away(call: "Call") -> bool:
    """UNAVAILABLE. True: the replica takes nothing new, and another one is asked instead."""
    seat, ticket, entry = call.seat, call.ticket, call.entry
    if seat is None or seat.open or ticket is None or entry is None:
        return False
    kept = call.asked.kept is not None
    attempt = Attempt(loss=Loss.DRAINING, policy=entry.retry, kept=kept, sends=call.sends)
    before = call.attempt, call.pool, call.due
    call.asked.hand_back()
    ticket.size = call.asked.size
    call.attempt = call.seat = call.pool = None
    call.due = call.deadline
    if entry.line.again(ticket, attempt):
        entry.tally.retry(Loss.DRAINING)
        return True
    call.attempt, call.pool, call.due = before
    call.seat = seat
    return False


def judge(call: "Call", status: int) -> None:
    """Its replica gave an answer of `status`, an HTTP status."""
    if status >= 500 and status != _NOT_ITS_FAULT:
        failed(call)
    elif call.seat is not None:
        call.seat.failures = 0


def failed(call: "Call") -> None:
    """Its replica failed it."""
    if call.ticket is not None and call.entry is not None and call.entry.line.failed(call.ticket):
        call.entry.tally.put_out += 1

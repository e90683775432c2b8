"""How long the request of a call may take to come in; see `gateway.http.pace` for the rule.

Rule 1: only a request of one message is held to it: a stream may rest for as long as it likes.
Rule 2: time counts while the client is to go on: not while its call waits in the line, nor while
        its replica takes no more of it.
Rule 3: a request that does not begin is found when its connection is looked at, so that nothing
        is noted of those that do: after a pause and `http_keepalive` at the latest.
"""

from typing import TYPE_CHECKING

from fleet.reasons import Reason
from gateway.grpc.leaving import run_on
from gateway.grpc.resending import failed
from gateway.http.pace import Pace

if TYPE_CHECKING:
    from gateway.grpc.call import Call

__all__ = ["expire", "heed", "listen"]


def heed(call: "Call") -> None:
    """The connection is looked at."""
    if call.pace is None and call.entry is None and call.unary:
        listen(call, 0)


def listen(call: "Call", end: int) -> None:
    """Something of the request came, or is to come; `end`: it is complete."""
    context, pace = call.context, call.pace
    if end:
        call.due = call.until
        return
    now = context.now()
    if pace is None:
        pace = call.pace = Pace(context.limits, now)
    pace.heard = now
    _file(call, pace.due)


def expire(call: "Call") -> None:
    """A call's time is up, or its client has said too little."""
    pace = call.pace
    if call.due >= call.until or pace is None:
        _out_of_time(call)
    elif call.stream.room < call.stream.grain:
        # Its replica takes no more of it: the client may not go on.
        call.pace = None
        listen(call, 0)
    else:
        reason = pace.late(call.context.now(), call.asked.size)
        if reason is None:
            _file(call, pace.due)
        else:
            call.give_up(reason)


def _out_of_time(call: "Call") -> None:
    if call.seat is None:
        call.give_up(Reason.WAIT_TIMEOUT)
        return
    headed = call.attempt is not None and call.attempt.begun
    (run_on if call.due < call.limit else failed)(call)
    call.give_up(Reason.REQUEST_TIMEOUT, headed=headed)


def _file(call: "Call", pause: float) -> None:
    due = call.due = min(call.until, pause)
    if due < call.down.filed:
        call.context.deadlines.file(call.down, due)

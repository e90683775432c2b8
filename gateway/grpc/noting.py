"""The access log of calls: a line for each, in the words that HTTP has (`gateway.http.noting`).

Rule 1: decided per connection: without the setting, a call costs nothing more.
Rule 2: a line is written when the call is over for its client: it has its answer, or has left. The
        status is the HTTP status that the call's stands for, as it is counted.
Rule 3: no method, no metadata and no message is written: they may hold secrets.
"""

from typing import TYPE_CHECKING

from activator.core.ledger import Seat, Ticket
from fleet.reasons import Reason
from fleet.telemetry import log
from gateway.core.copies import Copy
from gateway.core.refused import RefusedError
from gateway.errors import ERRORS
from gateway.grpc.attempt import Attempt
from gateway.grpc.call import Call
from gateway.grpc.core.heads import Answer
from gateway.grpc.core.leads import Lead
from gateway.grpc.core.statuses import http_status
from gateway.grpc.stream import Stream

if TYPE_CHECKING:
    from gateway.core.callers import Admitted
    from gateway.grpc.downstream import Downstream

__all__ = ["NotedCall", "note_refused"]

_log = log(__name__)


class NotedCall(Call):
    """A call with a line in the log."""

    __slots__ = ("_begun", "_reason", "_status", "_waited", "size")

    def __init__(
        self,
        down: "Downstream",
        stream: Stream,
        lead: Lead,
        mine: "Admitted",
        timeout: float | None,
    ) -> None:
        super().__init__(down, stream, lead, mine, timeout)
        self.size = 0
        """Bytes of the answer's messages, prefixes included."""
        self._status = 0
        self._waited = 0.0
        self._reason: Reason | None = None
        self._begun: tuple[float, float] | None = None

    def dispatched(self, ticket: Ticket, seat: Seat) -> None:
        self._waited = ticket.waited
        super().dispatched(ticket, seat)

    def began(self) -> bytes:
        self._begun = self._times()
        return super().began()

    def done(self, last: Answer | None, copy: Copy | None) -> None:
        self._status = http_status(None if last is None else last.grpc_status)
        super().done(last, copy)

    def lost(self) -> None:
        self._note(Reason.CLIENT_LEFT)
        super().lost()

    def give_up(
        self,
        reason: Reason,
        detail: str = "",
        *,
        retry_after: float | None = None,
        headed: object = False,
    ) -> None:
        self._note(reason)
        super().give_up(reason, detail, retry_after=retry_after, headed=headed)

    def _note(self, reason: Reason) -> None:
        if not self.over:
            self._reason, self._status = reason, ERRORS[reason].status

    def _answer(self, message: bytes) -> None:
        self._status, self.size = 200, len(message)
        super()._answer(message)

    def _finish(self) -> None:
        times = self._begun or self._so_far()
        super()._finish()
        model = "" if self.entry is None else self.entry.name
        _line(model, self._status, self._reason, times, self.size)

    def _so_far(self) -> tuple[float, float]:
        if self.seat is not None:
            # What runs on has taken the ticket with it.
            return self._waited, self._times()[1]
        ticket = self.ticket
        return (0.0 if ticket is None else self.context.now() - ticket.arrived), 0.0


class _NotedAttempt(Attempt):
    """Counts what it relays."""

    __slots__ = ()
    _call: NotedCall

    def data(self, payload: bytes, length: int, end: int) -> None:
        if self.begun:
            self._call.size += len(payload)
        super().data(payload, length, end)

    def whole(self, found: Answer, payload: bytes, last: Answer) -> bool:
        call = self._call
        before, call.size = call.size, call.size + len(payload)
        if super().whole(found, payload, last):
            return True
        call.size = before
        return False


NotedCall.attempts = _NotedAttempt


def note_refused(error: RefusedError, size: int = 0) -> None:
    """The line of what was refused before it was a call."""
    _line("", ERRORS[error.reason].status, error.reason, (0.0, 0.0), size)


def _line(
    model: str, status: int, reason: Reason | None, times: tuple[float, float], size: int
) -> None:
    _log(
        "request",
        model=model,
        status=status,
        reason="" if reason is None else reason.value,
        wait=times[0],
        upstream=times[1],
        bytes=size,
    )

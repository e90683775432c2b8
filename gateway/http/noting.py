"""The access log: a line per request, where a setting wants it. Stands in for `Answering`.

Rule 1: decided per connection: without the setting, a request costs nothing more.
Rule 2: a line is written when the answer has been handed to the client, or when the client has
        left or been cut off before; once for each request that was read as far as its head.
Rule 3: no target, no field and no body is written: they may hold secrets.
"""

import re
from typing import TYPE_CHECKING

from fleet.reasons import Reason
from fleet.telemetry import log
from gateway.core.head import RequestHead, ResponseHead
from gateway.errors import ERRORS
from gateway.http.answering import Answering
from gateway.http.local import Reply
from gateway.http.replying import NO_TIME

if TYPE_CHECKING:
    from gateway.http.inbound import Inbound

__all__ = ["Noting"]

_log = log(__name__)
_SWITCHED = 101
_TIMES = re.compile(rb"wait;dur=([0-9.]+), upstream;dur=([0-9.]+)")


class Noting:
    """Writes answers as `Answering` does, and a line for each."""

    __slots__ = ("_answering", "_inbound", "_reason", "_size", "_status", "_times")

    def __init__(self, inbound: "Inbound") -> None:
        self._inbound = inbound
        self._answering = Answering(inbound)
        self._status = self._size = 0
        self._reason: Reason | None = None
        self._times = (0.0, 0.0)

    @property
    def started(self) -> bool:
        """See `Answering`."""
        return self._answering.started

    @property
    def closes(self) -> bool:
        """See `Answering`."""
        return self._answering.closes

    @property
    def last(self) -> bytes:
        """See `Answering`."""
        return self._answering.last

    @last.setter
    def last(self, last: bytes) -> None:
        self._answering.last = last

    def clear(self) -> None:
        """The request is over."""
        self._answering.clear()

    def reply(self, reply: Reply, timing: bytes = NO_TIME) -> None:
        """Give an answer of the gateway's own."""
        self._note_times(timing)
        self.note(status=reply.status)
        self._size = len(reply.body)
        self.closed()
        self._answering.reply(reply, timing)

    def refuse(
        self,
        reason: Reason,
        detail: str = "",
        *,
        retry_after: float | None = None,
        timing: bytes = NO_TIME,
    ) -> None:
        """Answer that the request is not served, and why."""
        self._note_times(timing)
        self.note(status=ERRORS[reason].status, reason=reason)
        self.closed()
        self._answering.refuse(reason, detail, retry_after=retry_after, timing=timing)

    def informed(self, request: RequestHead, head: ResponseHead) -> None:
        """A 1xx before the answer."""
        self._answering.informed(request, head)

    def switched(self, head: ResponseHead, timing: bytes) -> None:
        """A 101: the line is written when the tunnel has closed."""
        self._note_times(timing)
        self.note(status=head.status)
        self._answering.switched(head, timing)

    def begin(
        self, request: RequestHead, head: ResponseHead, timing: bytes, *, framed: bool, keep: bool
    ) -> None:
        """The head of the answer."""
        self._note_times(timing)
        self.note(status=head.status)
        self._answering.begin(request, head, timing, framed=framed, keep=keep)

    def body(self, data: bytes) -> None:
        """A piece of the answer's body."""
        self._size += len(data)
        self._answering.body(data)

    def flush(self) -> None:
        """Nothing more has come for now."""
        self._answering.flush()

    def end(self) -> None:
        """The answer is complete."""
        self._answering.end()
        self.closed()

    def note(
        self,
        *,
        status: int = 0,
        reason: Reason | None = None,
        timing: bytes = NO_TIME,
        size: int = 0,
    ) -> None:
        """What is known of the answer; what was known before stands, and `size` is added."""
        self._status = self._status or status
        self._reason = self._reason or reason
        self._size += size
        if timing is not NO_TIME:
            self._note_times(timing)

    def left(self) -> None:
        """The connection is lost: whatever was under way ends here."""
        if self._inbound.reception.head is not None and self._status != _SWITCHED:
            self.note(reason=Reason.CLIENT_LEFT)
        self.closed()
        self._answering.left()
        del self._inbound

    def closed(self) -> None:
        """Write the line of the request that is here now, if there is one."""
        reception = self._inbound.reception
        if reception.head is None and not self._status:
            return
        entry, reason = reception.entry, self._reason
        wait, upstream = self._times
        _log(
            "request",
            model="" if entry is None else entry.name,
            status=self._status or ERRORS[Reason.CLIENT_LEFT].status,
            reason="" if reason is None else reason.value,
            wait=wait,
            upstream=upstream,
            bytes=self._size,
        )
        self._forget()

    def _forget(self) -> None:
        self._status = self._size = 0
        self._reason = None
        self._times = (0.0, 0.0)

    def _note_times(self, timing: bytes) -> None:
        found = _TIMES.search(timing)
        if found is not None:
            self._times = (float(found[1]) / 1e3, float(found[2]) / 1e3)

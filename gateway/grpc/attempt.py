"""One try of a call at one replica: sends the request there and relays the answer.

Rule 1: what the replica says goes to the client in its order: head, messages, trailers; the
        trailers wait behind messages that wait for room.
Rule 2: the call is over with the replica's last word, and so is its slot; what the client has not
        taken by then is between the client and us.
Rule 3: once the call has ended, whoever ended it, nothing that still comes here is heard.
"""

from typing import TYPE_CHECKING

from activator.core.retries import Loss
from fleet.reasons import Reason
from fleet.runtimes import CallKind
from gateway.core.copies import Copying
from gateway.grpc.answering import NOBODY
from gateway.grpc.core.frames import Code, StreamError
from gateway.grpc.core.heads import Answer
from gateway.grpc.core.statuses import UNAVAILABLE
from gateway.grpc.resending import again, failed, turned_away
from gateway.grpc.stream import Stream

if TYPE_CHECKING:
    from gateway.grpc.call import Call
    from gateway.grpc.upstream import Upstream

__all__ = ["Attempt"]

_INFER = CallKind.INFER
_COPIED = frozenset({CallKind.METADATA, CallKind.CONFIG})


class Attempt:
    """The replica's half of a call that has been sent."""

    __slots__ = ("_call", "_client", "_copy", "begun", "stream", "upstream")

    def __init__(self, call: "Call", upstream: "Upstream") -> None:
        self.upstream = upstream
        self.begun = False
        """A byte of the answer has come."""
        self._call = call
        self._client = call.stream
        copied = call.kind is not _INFER and call.kind in _COPIED
        self._copy = Copying(b"") if copied else None
        self.stream: Stream
        """Where; set by whoever begins it."""

    def cancel(self) -> None:
        """The call is over: nobody wants what comes."""
        self.stream.connection.cut(self.stream, Code.CANCEL)

    # What the replica's connection calls.

    def head(self, found: Answer, end: int) -> None:
        call, client = self._call, self._client
        if not self.begun:
            if found.interim or not found.status:
                if end or not found.status:
                    raise StreamError(Code.PROTOCOL_ERROR, "not the head of an answer")
                return
            if end and found.grpc_status == UNAVAILABLE and turned_away(call):
                self._forsake()
                return
            self.begun = True
            block = found.block + call.began()
            if not end:
                client.sending.head(client, block, end=False)
                return
            client.sending.trailers(client, block)
        elif found.status or not end:
            raise StreamError(Code.PROTOCOL_ERROR, "a second head")
        elif client.queue is None:
            client.sending.head(client, found.block, end=True)
        else:
            client.sending.trailers(client, found.block)
        self._over(found)

    def data(self, payload: bytes, length: int, end: int) -> None:
        if not self.begun:
            raise StreamError(Code.PROTOCOL_ERROR, "data before the head")
        if self._copy is not None:
            self._copy.add(payload)
        self._client.sending.data(self._client, payload, end, self.stream, length)
        if end:
            self._over(None)

    def whole(self, found: Answer, payload: bytes, last: Answer) -> bool:
        """Head, message and trailers of an answer; False: they are to come one by one."""
        call, client = self._call, self._client
        sending = client.sending
        if (
            self.begun
            or self._copy is not None
            or found.interim
            or not found.status
            or last.status
            or not sending.fits(client, len(payload), len(found.block) + len(last.block))
        ):
            return False
        self.begun = self.stream.ended = True
        sending.answer(client, found.block + call.began(), payload, last.block)
        self._over(last)
        return True

    def reset(self, code: int) -> None:
        # What it refuses to look at, it has not run: the same as a port that is closed.
        self._broken(Loss.REFUSED if code == Code.REFUSED_STREAM else Loss.RESET)

    def broken(self, detail: str) -> None:
        # What sends no answer that can be read would not send a better one.
        call = self._call
        call.attempt = None
        failed(call)
        call.give_up(Reason.UPSTREAM_INVALID, detail, headed=self.begun)

    def lost(self) -> None:
        call = self._call
        stale = self.upstream.used and not call.refreshed
        self._broken(Loss.STALE if stale else Loss.RESET)

    # Its own.

    def _forsake(self) -> None:
        """The stream has said all that is heard of it."""
        stream = self.stream
        if stream.finished:
            stream.connection.close(stream)
        else:
            self.cancel()
        stream.taker = NOBODY

    def _over(self, last: Answer | None) -> None:
        # First, so that whoever gets the slot finds room on the connection.
        self._forsake()
        copy = None if self._copy is None else self._copy.copy
        self._call.done(last, copy)

    def _broken(self, loss: Loss) -> None:
        call = self._call
        call.attempt = None
        if self.begun:
            failed(call)
            call.give_up(Reason.REPLICA_LOST, headed=True)
        else:
            again(call, loss)

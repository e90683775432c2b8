"""Looks after a connection to a replica that says nothing: asks whether anybody is there.

Rule 1: silent with calls open, it is sent a PING, and broken off when nothing comes back; its
        calls are then as any whose replica broke.
Rule 2: gRPC servers end a connection that is pinged too often (`too_many_pings`): they let one pass
        in five minutes, beside those behind something that they have sent. So does this.
Rule 3: without calls a ping would be one too many, so what is idle for long is closed unasked.
Rule 4: a connection that is busy costs one look a minute.
"""

from math import inf
from typing import TYPE_CHECKING

from gateway.grpc.core import frames

if TYPE_CHECKING:
    from gateway.grpc.upstream import Upstream
    from gateway.http.deadlines import Deadlines

__all__ = ["Pulse"]

_SILENT_S = 60.0
_PONG_S = 20.0
_BETWEEN_S = 310.0
_IDLE_LOOKS = 5
_HEY = b"ebbtide?"


class Pulse:
    """The watch over one connection."""

    __slots__ = ("_asked", "_deadlines", "_heard", "_idle", "_next", "_upstream", "filed")

    def __init__(self, upstream: "Upstream", deadlines: "Deadlines") -> None:
        self.filed: float = inf
        self._upstream = upstream
        self._deadlines = deadlines
        self._heard = self._idle = 0
        self._next = -inf
        self._asked = False

    def start(self, now: float) -> None:
        """The connection is made."""
        self._deadlines.file(self, now + _SILENT_S)

    def stop(self) -> None:
        """It is gone."""
        self._deadlines.drop(self)

    def overdue(self, now: float) -> float:
        """See `gateway.http.deadlines.Timed`."""
        upstream, connection = self._upstream, self._upstream.connection
        if connection.closing:
            return inf
        moved = connection.heard != self._heard
        asked, self._asked = self._asked, False
        self._heard = connection.heard
        if moved:
            self._idle = 0
            if not asked:
                self._next = -inf
        elif asked:
            connection.abort()
            return inf
        elif not connection.streams:
            self._idle += 1
            if self._idle >= _IDLE_LOOKS:
                upstream.retire()
                return inf
        elif now >= self._next:
            self._asked, self._next = True, now + _BETWEEN_S
            connection.sending.put(frames.ping(_HEY, ack=False))
            return now + _PONG_S
        return now + _SILENT_S

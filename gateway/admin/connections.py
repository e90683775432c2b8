"""Connections to the admin port: silent ones go, and health is answered however many there are.

Rule 1: a request is to be here whole within some seconds, from when the connection was made or the
        answer before it was given; bytes that trickle in give no more time. So is an answer to be
        taken.
Rule 2: of too many connections the one that has been idle longest goes, never the one that comes:
        it may be the kubelet, who would take the process out of service.
Rule 3: of too many requests at once only those beyond /healthz, /readyz and /metrics are refused.
"""

import asyncio
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from fleet.reasons import Reason

__all__ = ["Bounded", "patient_for"]

_CONNECTIONS = 512
_REQUESTS = 64
_ANSWER_S = 60.0
_ALWAYS = frozenset({"/healthz", "/readyz", "/metrics"})
_UNAVAILABLE = 503


class Bounded:
    """Stands before an application: so many requests at once, and health whatever the count."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") in _ALWAYS:
            await self._app(scope, receive, send)
            return
        if self._busy >= _REQUESTS:
            message = f"the admin port is answering {_REQUESTS} others already; try again"
            told = {"reason": Reason.TOO_MANY_CONNECTIONS.value, "message": message}
            await JSONResponse(told, status_code=_UNAVAILABLE)(scope, receive, send)
            return
        self._busy += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._busy -= 1


def patient_for(silence: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol, with a connection's silence of so many seconds at most."""

    class Patient(_Connection):
        patience = silence

    return Patient


class _Connection(H11Protocol):
    patience: float
    idle_since = 0.0
    _timer: asyncio.TimerHandle | None = None
    _answering = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > _CONNECTIONS:
            others = [each for each in self.connections if isinstance(each, _Connection)]
            others.remove(self)
            min(others, key=lambda each: (each._answering, each.idle_since)).give_up()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answering is not self._is_answering():
            self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def give_up(self) -> None:
        """Close it, with whatever has not been taken of its answer."""
        if self.transport is not None:
            self.transport.abort()

    def _is_answering(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    def _watch(self) -> None:
        """Another wait begins: for a request, or for its answer to be taken."""
        if self._timer is not None:
            self._timer.cancel()
        self._answering = self._is_answering()
        self.idle_since = self.loop.time()
        patience = _ANSWER_S if self._answering else self.patience
        self._timer = self.loop.call_later(patience, self.give_up)

"""Runs the admin application with uvicorn, inside our own loop.

Rule 1: signals stay ours. uvicorn would take SIGTERM and raise it again after its own shutdown, so
        its handlers are never installed; `stop` is how it ends.
Rule 2: the socket is bound when this is made: an address in use is told before anything starts, and
        port 0 can be read back as the real one.
Rule 3: nobody takes it out of service by connecting (`gateway.admin.connections`).
"""

import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from fleet.errors import SettingError
from fleet.system import system_said
from gateway.admin.connections import Bounded, patient_for

__all__ = ["AdminServer"]

_BACKLOG = 512
_SILENCE_S = 10.0
_GRACE_S = 1


class AdminServer:
    """The admin port. Raises `SettingError` when it cannot listen on `host` and `port`.

    `silence`: seconds within which a connection's next request is to be here.
    """

    def __init__(self, app: ASGIApp, *, host: str, port: int, silence: float = _SILENCE_S) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            why = system_said(error)
            msg = f"cannot listen on {host}:{port}: {why}; --admin-port takes another"
            raise SettingError(msg) from error
        self._server = _Quiet(
            uvicorn.Config(
                Bounded(app),
                http=patient_for(silence),
                interface="asgi3",
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )

    @property
    def port(self) -> int:
        """The real port."""
        return int(self._socket.getsockname()[1])

    async def run(self) -> None:
        """Serve until `stop` is called or the task is cancelled."""
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            for listening in getattr(self._server, "servers", ()):
                listening.close()
            self._socket.close()

    def close(self) -> None:
        """Let go of the port: for one that never runs."""
        self._socket.close()

    def stop(self) -> None:
        """End `run`, once what is being answered is (a second at most)."""
        self._server.should_exit = True


class _Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

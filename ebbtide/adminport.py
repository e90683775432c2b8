"""The admin port of one process, and the tokens that open it."""

import ipaddress
from collections.abc import Coroutine, Mapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from fleet.clock import Clock
from fleet.settings import Settings
from gateway.admin.app import make_app
from gateway.admin.guard import token_file
from gateway.admin.ports import AdminView
from gateway.admin.server import AdminServer
from gateway.core.admission import Admission, Reach

__all__ = ["AdminPort", "reach_of"]


class AdminPort:
    """Bound when made, and shown a view before it runs: a process may be named by its port.

    Raises `SettingError` for a port that is taken, and for a wrong file of tokens.
    """

    def __init__(self, settings: Settings, *, host: str, port: int, reach: Reach) -> None:
        self._tokens = token_file(settings)
        self._admission = Admission(reach=reach)
        self._server = AdminServer(self._answer, host=host, port=port)
        self._app: ASGIApp | None = None

    @property
    def port(self) -> int:
        """The real port."""
        return self._server.port

    def show(self, view: AdminView, *, figures: AdminView | None = None) -> None:
        """Answer from this. `figures`: what /metrics tells, where that is not the same."""
        self._app = make_app(
            view,
            figures=figures,
            admission=self._admission,
            tokens=lambda: self._tokens.found,
        )

    def works(self, clock: Clock) -> Mapping[str, Coroutine[Any, Any, None]]:
        """Its endless tasks, by name."""
        return {"admin": self._server.run(), "tokens": self._tokens.run(clock)}

    def reload(self, settings: Settings) -> None:
        """Read the tokens again, or those that are named now."""
        self._tokens.follow(settings.admin_token_file)

    def close(self) -> None:
        """Let go of the port if it never ran."""
        self._server.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is not None:
            await self._app(scope, receive, send)


def reach_of(host: str) -> Reach:
    """Who reaches a port of a cluster's process that listens on `host`."""
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = host.lower() == "localhost"
    return Reach.LOOPBACK if near else Reach.NETWORK

"""The admin port of one process, and the tokens that open it."""

import ipaddress
from collections.abc import Coroutine, Mapping
from typing import Any

from fleet.clock import Clock
from fleet.settings import Settings
from gateway.admin.app import make_app
from gateway.admin.guard import token_file
from gateway.admin.ports import AdminView
from gateway.admin.server import AdminServer
from gateway.core.admission import Admission, Reach

__all__ = ["AdminPort", "reach_of"]


class AdminPort:
    """Raises `SettingError` for a port that is taken, and for a wrong file of tokens."""

    def __init__(
        self, view: AdminView, settings: Settings, *, host: str, port: int, reach: Reach
    ) -> None:
        self._tokens = token_file(settings)
        app = make_app(view, admission=Admission(reach=reach), tokens=lambda: self._tokens.found)
        self._server = AdminServer(app, host=host, port=port)

    @property
    def port(self) -> int:
        """The real port."""
        return self._server.port

    def works(self, clock: Clock) -> Mapping[str, Coroutine[Any, Any, None]]:
        """Its endless tasks, by name."""
        return {"admin": self._server.run(), "tokens": self._tokens.run(clock)}

    def reload(self, settings: Settings) -> None:
        """Read the tokens again, or those that are named now."""
        self._tokens.follow(settings.admin_token_file)


def reach_of(host: str) -> Reach:
    """Who reaches a port of a cluster's process that listens on `host`."""
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = host.lower() == "localhost"
    return Reach.LOOPBACK if near else Reach.NETWORK

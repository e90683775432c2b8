"""Who the admin port answers: callers that name it by an address, `localhost` or its own name.

A web page from elsewhere can make its own host name point here (DNS rebinding) and would then read
the answers. It cannot make a browser send an IP address or `localhost` as the host, so these pass.
"""

import ipaddress
from collections.abc import Iterable

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fleet.reasons import Reason

__all__ = ["HostCheck", "host_is_allowed"]

_FORBIDDEN = 403


def host_is_allowed(host: str, names: Iterable[str]) -> bool:
    """Whether a Host header (with or without a port) names an address or one of `names`."""
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class HostCheck:
    """Answers 403 to a request whose Host header names anything else."""

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset({"localhost", *(name.lower() for name in names)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [v.decode("latin-1") for k, v in scope.get("headers", ()) if k == b"host"]
        if scope["type"] == "http" and not (
            len(hosts) == 1 and host_is_allowed(hosts[0], self._names)
        ):
            allowed = ", ".join(sorted(self._names))
            refused = JSONResponse(
                {
                    "reason": Reason.NOT_ALLOWED.value,
                    "message": f"the Host must be an IP address or one of: {allowed}",
                },
                status_code=_FORBIDDEN,
            )
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)

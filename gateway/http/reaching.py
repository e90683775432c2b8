"""Makes a connection to a replica, speaking TLS where its Deployment says so.

Rule: whatever stands in the way is an `OSError`, and where TLS is spoken it is logged: a
certificate that is not trusted would else look like a server that is down.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from activator.core.ledger import Seat
from fleet.errors import SettingError
from fleet.telemetry import log
from gateway.http.context import Context

__all__ = ["reach"]

_log = log(__name__)
_CLOSING_S = 2.0
_P = TypeVar("_P", bound=asyncio.Protocol)


async def reach(context: Context, seat: Seat, protocol: Callable[[], _P], *, grpc: object) -> _P:
    """A connection to the HTTP or gRPC port of `seat`. Raises `OSError`."""
    tls = seat.grpc_tls if grpc else seat.tls
    port = seat.grpc_port if grpc else seat.port
    if tls is None:
        _, made = await context.loop.create_connection(protocol, seat.host, port)
        return made
    try:
        _, made = await context.loop.create_connection(
            protocol,
            seat.host,
            port,
            ssl=context.certificates.replica(verify=tls.verify, h2=grpc),
            server_hostname=tls.name or seat.host,
            ssl_shutdown_timeout=_CLOSING_S,
        )
    except (OSError, SettingError) as error:
        _log("replica_unreached", level=logging.WARNING, replica=seat.name, error=error)
        raise OSError(str(error)) from error
    return made

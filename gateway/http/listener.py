"""The listening socket: takes connections, and their TLS handshakes where there are to be any.

Rule 1: a connection counts from its accept on: those that dawdle over a handshake take no more
        than others, and no longer than a request head may; no more of one address do than it may
        have connections.
Rule 2: each handshake begins with the newest certificates.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial

from fleet.reasons import Reason
from fleet.telemetry import log
from gateway.core.limits import MOST_LINGERING
from gateway.http.context import Context
from gateway.http.inbound import Inbound

__all__ = ["Listener"]

_log = log(__name__)
_BACKLOG = 4096
_AT_ONCE = 64
# The process or the system is out of something: wait, the next accept would fail alike.
_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RESPITE_S = 0.5


class Listener:
    """One port. Made by `gateway.front`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._close: Callable[[], None] = _nothing
        self._respite: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises `OSError`."""
        secured = self._context.certificates.server is not None
        return await (self._secured if secured else self._plain)(host, port)

    async def adopt(self, sockets: Sequence[socket.socket]) -> None:
        """Take connections from sockets that listen already, and do not block."""
        if self._context.certificates.server is not None:
            self._listen(sockets)
            return
        loop, made = self._context.loop, partial(Inbound, self._context)
        servers = [await loop.create_server(made, sock=one, backlog=_BACKLOG) for one in sockets]

        def close() -> None:
            for server in servers:
                server.close()

        self._close = close

    def close(self) -> None:
        """Take no new connections; handshakes under way go on."""
        if self._respite is not None:
            self._respite.cancel()
        self._close()
        self._close = _nothing

    async def _plain(self, host: str, port: int) -> int:
        server = await self._context.loop.create_server(
            partial(Inbound, self._context), host, port, backlog=_BACKLOG
        )
        self._close = server.close
        return _port(server.sockets[0])

    async def _secured(self, host: str, port: int) -> int:
        sockets = await _listening(self._context.loop, host, port)
        self._listen(sockets)
        return _port(sockets[0])

    def _listen(self, sockets: Sequence[socket.socket]) -> None:
        for listening in sockets:
            self._context.loop.add_reader(listening.fileno(), self._accept, listening)
        self._close = partial(self._shut, sockets)

    def _shut(self, sockets: Sequence[socket.socket]) -> None:
        for listening in sockets:
            self._context.loop.remove_reader(listening.fileno())
            listening.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _SCARCE:
                    raise
                self._rest(listening, error)
                return
            self._take(accepted, str(address[0]))

    def _rest(self, listening: socket.socket, error: OSError) -> None:
        _log("accept_failed", level=logging.ERROR, error=str(error))
        loop = self._context.loop
        loop.remove_reader(listening.fileno())
        self._respite = loop.call_later(
            _RESPITE_S, loop.add_reader, listening.fileno(), self._accept, listening
        )

    def _take(self, accepted: socket.socket, address: str) -> None:
        context = self._context
        here = len(context.inbounds) + len(context.securing)
        if here >= context.limits.max_connections + MOST_LINGERING:
            accepted.close()
            return
        net = context.door.knock(address)
        if net is None:
            context.other.refuse(Reason.ADDRESS_CONNECTIONS_FULL)
            accepted.close()
            return
        accepted.settimeout(0)
        task = context.loop.create_task(self._secure(accepted))
        context.securing.add(task)
        task.add_done_callback(partial(self._secured_or_not, net))

    def _secured_or_not(self, net: str, task: asyncio.Task[None]) -> None:
        self._context.door.let_in(net)
        self._context.securing.discard(task)
        self._context.changed()

    async def _secure(self, accepted: socket.socket) -> None:
        context = self._context
        try:
            _, inbound = await context.loop.connect_accepted_socket(
                partial(Inbound, context),
                accepted,
                ssl=context.certificates.server,
                ssl_handshake_timeout=context.limits.header_timeout,
                ssl_shutdown_timeout=context.limits.http_keepalive,
            )
        except (OSError, ssl.SSLError) as error:
            context.other.refuse(Reason.HANDSHAKE_FAILED)
            why = getattr(error, "reason", None) or str(error) or type(error).__name__
            _log("handshake_failed", level=logging.DEBUG, reason=why)
            return
        if context.closing:
            # Its handshake took longer than the port was open.
            inbound.shut()


async def _listening(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[socket.socket]:
    """A listening socket for each address of `host`; all, or `OSError`."""
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            listening = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
            listening.settimeout(0)
            sockets.append(listening)
    except OSError:
        for listening in sockets:
            listening.close()
        raise
    return sockets


def _port(listening: socket.socket) -> int:
    bound: int = listening.getsockname()[1]
    return bound


def _nothing() -> None:
    """It does not listen."""

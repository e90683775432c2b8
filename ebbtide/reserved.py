"""A port that is a process's own before it takes connections there.

Rule 1: until then whoever calls is refused by the system, as if nobody were there: better than an
        answer from somebody who does not know yet what there is.
Rule 2: a port that somebody else listens on is told at once.
"""

import asyncio
import socket
from collections.abc import Sequence

from fleet.errors import SettingError
from fleet.system import system_said

__all__ = ["BACKLOG", "Reserved", "addresses_of", "bound", "cannot_listen", "reserve"]

BACKLOG = 4096
"""Connections that the system keeps for whoever listens."""


class Reserved:
    """Sockets that are bound to one port of every address of a host."""

    def __init__(self, host: str, port: int, sockets: Sequence[socket.socket]) -> None:
        self.port = port
        self._host, self._sockets = host, sockets

    def listen(self) -> Sequence[socket.socket]:
        """From now on connections come in. Raises `SettingError`."""
        try:
            for one in self._sockets:
                one.listen(BACKLOG)
        except OSError as error:
            raise cannot_listen(self._host, self.port, error) from error
        return self._sockets

    def close(self) -> None:
        """Let the port go; whoever took the sockets over has closed them."""
        for one in self._sockets:
            one.close()


async def reserve(host: str, port: int) -> Reserved:
    """Take `port` (0: any free one) on every address of `host`. Raises `SettingError`."""
    sockets: list[socket.socket] = []
    try:
        for family, address in await addresses_of(host, port):
            made = bound(family, address, port)
            sockets.append(made)
            port = int(made.getsockname()[1])
    except OSError as error:
        Reserved(host, port, sockets).close()
        raise cannot_listen(host, port, error) from error
    return Reserved(host, port, sockets)


async def addresses_of(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    """The addresses to listen on. Raises `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list(dict.fromkeys((family, str(address[0])) for family, *_, address in found))


def bound(
    family: socket.AddressFamily, address: str, port: int, *, shared: bool = False
) -> socket.socket:
    """A socket on a port; `shared`: with others that say so too. Raises `OSError`."""
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made


def cannot_listen(host: str, port: int, error: OSError) -> SettingError:
    """What whoever chose the port is told."""
    return SettingError(
        f"cannot listen on {host}:{port}: {system_said(error)}; --port takes another"
    )

"""The sockets that workers listen on: one for each worker and address, all on one port.

Rule 1: the kernel spreads new connections over them (SO_REUSEPORT). They are opened here and
        inherited, so what a worker that died had not accepted yet waits for the one after it.
Rule 2: a port that somebody else listens on is not shared with them, not even with another ebbtide.
"""

import asyncio
import socket
from collections.abc import Sequence

from fleet.errors import SettingError
from fleet.system import system_said

__all__ = ["Listeners", "listen"]

_BACKLOG = 4096


class Listeners:
    """They listen until `close`."""

    def __init__(self, port: int, of_workers: Sequence[Sequence[socket.socket]]) -> None:
        self.port = port
        self._of_workers = of_workers

    def of(self, worker: int) -> Sequence[socket.socket]:
        """Those of one worker, which are numbered from 0."""
        return self._of_workers[worker]

    def close(self) -> None:
        """Hold them no longer: they end with the workers that still do."""
        for sockets in self._of_workers:
            for one in sockets:
                one.close()


async def listen(host: str, port: int, workers: int) -> Listeners:
    """Listen on `host` and `port` (0: any free one). Raises `SettingError`."""
    opened: list[list[socket.socket]] = [[] for _ in range(workers)]
    try:
        addresses = await _addresses(host, port)
        for family, address in addresses:
            port = _free(family, address, port)
            for sockets in opened:
                sockets.append(_open(family, address, port))
    except OSError as error:
        Listeners(port, opened).close()
        msg = f"cannot listen on {host}:{port}: {system_said(error)}; --port takes another"
        raise SettingError(msg) from error
    return Listeners(port, opened)


async def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list(dict.fromkeys((family, str(address[0])) for family, *_, address in found))


def _free(family: socket.AddressFamily, address: str, port: int) -> int:
    """The port, if nobody else has it."""
    with _socket(family) as probe:
        probe.bind((address, port))
        probe.listen(1)
        return int(probe.getsockname()[1])


def _open(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    made = _socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((address, port))
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _socket(family: socket.AddressFamily) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made

"""The sockets that workers listen on: one for each worker and address, all on one port.

Rule 1: the kernel spreads new connections over them (SO_REUSEPORT). They are opened here and
        inherited, so what a worker that died had not accepted yet waits for the one after it.
Rule 2: a port that somebody else listens on is not shared with them, not even with another ebbtide.
"""

import socket
from collections.abc import Sequence

from ebbtide.reserved import BACKLOG, addresses_of, bound, cannot_listen

__all__ = ["Listeners", "listen"]


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
        for family, address in await addresses_of(host, port):
            port = _free(family, address, port)
            for sockets in opened:
                made = bound(family, address, port, shared=True)
                sockets.append(made)
                made.listen(BACKLOG)
    except OSError as error:
        Listeners(port, opened).close()
        raise cannot_listen(host, port, error) from error
    return Listeners(port, opened)


def _free(family: socket.AddressFamily, address: str, port: int) -> int:
    """The port, if nobody else has it."""
    with bound(family, address, port) as probe:
        probe.listen(1)
        return int(probe.getsockname()[1])

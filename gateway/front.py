"""The front: the port that clients call, from the first accept to the last answer.

Rule 1: it takes requests as soon as it is started, and a model's names as soon as the hall has its
        line: the table is swapped whole with every snapshot.
Rule 2: shutting down is four steps. `turn_away`: health calls say so, and all is served on.
        `stop_accepting`: no new connection, idle ones closed, answers say `Connection: close`.
        `drained`: wait for what runs or is held. `close`: end the rest.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Protocol

from activator.core.room import Room
from fleet.model import Fleet, RuntimeName
from fleet.names import RevisionName
from fleet.runtimes import Profile
from fleet.runtimes.profiles import profile
from fleet.settings import Settings
from fleet.tls import Certificates
from gateway.core.ports import Line
from gateway.core.table import Tables
from gateway.core.tally import Tally
from gateway.http.context import Context
from gateway.http.listener import Listener
from gateway.keyfile import KeyFile

__all__ = ["Front", "Hall"]


class Hall(Protocol):
    """What the front needs of `activator.hall.Hall`."""

    fleet: Fleet
    room: Room

    @property
    def lines(self) -> Mapping[RevisionName, Line]: ...

    def subscribe(self, listener: Callable[[Fleet], None]) -> Callable[[], None]: ...


class Front:
    """Serves the models of a hall over HTTP/1.1 and gRPC. Must be made inside the event loop."""

    def __init__(
        self,
        hall: Hall,
        settings: Settings,
        *,
        profiles: Callable[[RuntimeName], Profile] = profile,
        certificates: Certificates | None = None,
    ) -> None:
        self._hall = hall
        self._tables = Tables(profiles)
        self._context = Context(
            settings,
            self._tables,
            certificates or Certificates(settings),
            hall.room,
            version=version("ebbtide"),
        )
        self._context.changed = self._changed
        self._listener = Listener(self._context)
        self._quiet = asyncio.Event()
        self._unsubscribe = hall.subscribe(self._observe)
        self._observe(hall.fleet)

    @property
    def connections(self) -> int:
        """Open client connections."""
        return len(self._context.inbounds)

    @property
    def requests(self) -> int:
        """Requests for a model that are not over, held ones included."""
        return self._context.requests

    @property
    def tallies(self) -> Mapping[RevisionName, Tally]:
        """What the requests of each revision came to."""
        return self._tables.tallies

    @property
    def keys(self) -> KeyFile:
        """The keys that callers are asked for."""
        return self._context.door.file

    @property
    def other(self) -> Tally:
        """What the requests that reached no model came to."""
        return self._context.other

    async def start(self, host: str, port: int) -> int:
        """Listen on `host` and `port` (0: any); returns the port. Raises `OSError`."""
        return await self._listener.start(host, port)

    async def adopt(self, sockets: Sequence[socket.socket]) -> None:
        """Take connections from sockets that listen already."""
        await self._listener.adopt(sockets)

    def reload(self, settings: Settings) -> None:
        """Take over what may change while running: new requests and connections go by it."""
        self._context.reload(settings)

    def turn_away(self) -> None:
        """Let health calls send new requests elsewhere; those that come are served."""
        self._context.leaving = True

    def stop_accepting(self) -> None:
        """Take no new connections; close what is idle; the rest close with their next answer."""
        context = self._context
        context.leaving = context.closing = True
        self._listener.close()
        for inbound in tuple(context.inbounds):
            inbound.shut()
        self._changed()

    async def drained(self, deadline: float) -> bool:
        """Wait until nothing is served any more, or until `deadline` (loop time): then False.

        Only after `stop_accepting`. Whoever still waits for a model then is the hall's to refuse.
        """
        try:
            async with asyncio.timeout_at(deadline):
                await self._quiet.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End everything that is left, at once."""
        context = self._context
        self._unsubscribe()
        context.deadlines.close()
        for inbound in tuple(context.inbounds):
            inbound.transport.abort()
        self._listener.close()
        for task in (*context.connecting, *context.securing):
            task.cancel()
        for outbound in tuple(context.outbounds):
            outbound.abort()
        context.watch.close()

    def _observe(self, fleet: Fleet) -> None:
        before = self._tables.now
        self._tables.update(fleet.revisions, self._hall.lines)
        if self._tables.now is not before:
            # They hold on to what they led to.
            self._context.request_heads.forget()

    def _changed(self) -> None:
        context = self._context
        busy = context.requests or context.inbounds or context.securing
        if context.closing and not busy:
            self._quiet.set()

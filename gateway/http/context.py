"""What all connections of one front share. Made by `gateway.front`, never global."""

import asyncio
import resource
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import httptools

from activator.core.room import Room
from fleet.settings import Settings
from fleet.tls import Certificates
from gateway.core.copies import Copies
from gateway.core.forwarding import Edge
from gateway.core.head import Manner, RequestHead, ResponseHead, read_request_head
from gateway.core.known import Known
from gateway.core.limits import Limits, connections_within
from gateway.core.table import Tables
from gateway.core.tally import Tally
from gateway.grpc.core.seen import Heads
from gateway.grpc.outbox import Outbox
from gateway.http.deadlines import Deadlines
from gateway.http.faults import Faults
from gateway.http.heads import HeadReader
from gateway.http.hops import Hops
from gateway.http.watch import Watch
from gateway.visitor import Door

if TYPE_CHECKING:
    from gateway.grpc.upstream import Upstream
    from gateway.http.outbound import Outbound

__all__ = ["Client", "Context"]


class Client(Protocol):
    """A client's connection, whatever it speaks."""

    edge: Edge
    """By which hop its requests come in."""

    @property
    def transport(self) -> asyncio.Transport: ...

    def shut(self) -> None:
        """Take nothing new; close once nothing is served."""
        ...


class Context:
    """The shared parts, and the counts of what is open."""

    def __init__(
        self,
        settings: Settings,
        tables: Tables,
        certificates: Certificates,
        room: Room,
        *,
        version: str,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.now: Callable[[], float] = self.loop.time
        self.settings = settings
        self.version = version
        self.limits: Limits = _limits(settings)
        self.tables = tables
        self.certificates = certificates
        self.secured = certificates.server is not None
        """Clients speak TLS here."""
        self.scheme = b"https" if self.secured else b"http"
        self.room = room
        """What bodies that are held in memory may take."""
        self.door = Door(settings)
        self.other = Tally()
        """Requests that reached no model."""
        self.faults = Faults(self.now)
        self.deadlines = Deadlines(self.loop)
        self.serves_half = settings.half_close == "serve" and not self.secured
        """A client may end its stream behind a request and wait for the answer."""
        self.watch = Watch(self.loop, halves=self.serves_half)
        self.outbox = Outbox(self.loop)
        self.copies = Copies()
        self._manner = _manner(settings)
        self.hops = Hops(settings)
        self.request_heads: Known[RequestHead] = Known()
        self.call_heads = Heads()
        self.response_heads: Known[ResponseHead] = Known()
        self._begin_empty()

    def _begin_empty(self) -> None:
        """Nothing is open, nothing under way."""
        self.inbounds: set[Client] = set()
        """Open client connections."""
        self.outbounds: set[Outbound | Upstream] = set()
        """Open connections to replicas, idle and busy."""
        self.securing: set[asyncio.Task[None]] = set()
        """TLS handshakes under way with clients."""
        self.connecting: set[asyncio.Task[None]] = set()
        """Connections to replicas that are being made."""
        self.requests = 0
        """Requests that have been routed to a model and are not over, those included whose client
        has left while its model server still works."""
        self.leaving = False
        """Health calls say that new requests should go elsewhere."""
        self.closing = False
        """Answers say `Connection: close`, and nothing new is taken."""
        self.changed: Callable[[], None] = _nothing
        """Called when a connection or request is over."""

    def request_reader(self) -> HeadReader[RequestHead]:
        """What reads the heads of one client connection."""
        return HeadReader(
            httptools.HttpRequestParser,
            self.read_request_head,
            self.request_heads,
            limit=self.limits.max_head,
        )

    def read_request_head(self, raw: bytes) -> RequestHead:
        """See `gateway.core.head`; as the settings of the moment say, on old connections too."""
        return read_request_head(raw, self._manner)

    def reload(self, settings: Settings) -> None:
        """From now on go by `settings`."""
        self.settings = settings
        self.limits = _limits(settings)
        self.door.reload(settings)
        self._manner = _manner(settings)
        self.hops = Hops(settings)
        for client in self.inbounds:
            client.edge = self.hops.of(client.transport)
        # A head kept together with where it led may lead elsewhere now.
        self.request_heads.forget()


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_head=settings.max_head,
        max_connections=min(settings.max_connections, connections_within(_files())),
        header_timeout=settings.header_timeout,
        http_keepalive=settings.http_keepalive,
        naming_body=settings.naming_body,
        body_timeout=settings.body_timeout,
        body_min_rate=settings.body_min_rate,
    )


def _files() -> int:
    """How many this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def _manner(settings: Settings) -> Manner:
    return Manner(via=settings.via.encode(), underscores=settings.underscored_fields)


def _nothing() -> None:
    """Nobody waits for the end."""

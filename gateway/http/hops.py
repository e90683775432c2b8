"""By which hop a connection's requests come in: decided when it is made, and as settings change.

Rule: connections that differ in nothing a replica is told share one `Edge`, so that what is
      remembered of a head holds for all of them.
"""

import asyncio

from fleet.settings import Settings
from gateway.core.forwarding import Edge, Style
from gateway.core.peers import Peers

__all__ = ["Hops"]

_MOST = 4096


class Hops:
    """The edges of one front."""

    __slots__ = ("_edges", "_peers", "_plain", "_style", "_trusted", "_via")

    def __init__(self, settings: Settings) -> None:
        self._via = settings.via.encode()
        self._peers = Peers(settings.trusted_peers)
        self._style = Style(settings.forwarded)
        self._plain = Edge(via=self._via)
        self._trusted = Edge(via=self._via, trusted=True)
        self._edges: dict[tuple[str, bytes], Edge] = {}

    def of(self, transport: asyncio.BaseTransport) -> Edge:
        """The edge of a connection that was just made."""
        if self._style is Style.OFF and not self._peers:
            return self._plain
        name = transport.get_extra_info("peername")
        address = name[0].partition("%")[0] if isinstance(name, tuple) else ""
        if self._style is Style.OFF:
            return self._trusted if self._peers.contains(address) else self._plain
        scheme = b"http" if transport.get_extra_info("sslcontext") is None else b"https"
        edge = self._edges.get((address, scheme))
        if edge is None:
            edge = self._make(address, scheme)
        return edge

    def _make(self, address: str, scheme: bytes) -> Edge:
        if len(self._edges) >= _MOST:
            self._edges.clear()
        edge = Edge(
            style=self._style,
            via=self._via,
            trusted=self._peers.contains(address),
            address=address or "unknown",
            scheme=scheme,
        )
        self._edges[address, scheme] = edge
        return edge

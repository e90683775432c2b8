"""The sockets to one API server with one set of credentials.

Rule 1: a peer that has vanished without a word is noticed within half a minute, also by a watch
        that is merely quiet: the kernel asks for it.
Rule 2: connections stay open between requests, so that a wake does not wait for a handshake.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
from kubernetes.aio import client
from kubernetes.aio.client import rest

__all__ = ["Connection"]

# The API server closes idle connections after 90 s.
_KEEP_S = 60.0
_AGENT = "ebbtide"
# What Linux knows and other systems may not: set as far as it is there.
_ALIVE = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 10),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 5),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 25_000),
)

_Address = tuple[Any, Any, int, str, tuple[Any, ...]]
_CLOSING_S = 2.0


class _Socket(socket.socket):
    """Tells when it is closed: the loop does that some time after the connection was."""

    closed: Callable[["_Socket"], None]

    def close(self) -> None:
        super().close()
        self.closed(self)

    def detach(self) -> int:
        # What uvloop does, and closes the descriptor itself.
        found = super().detach()
        self.closed(self)
        return found


class _Sockets:
    """Those that are open."""

    def __init__(self) -> None:
        self._open: set[_Socket] = set()
        self._none = asyncio.Event()
        self._none.set()

    def make(self, address: _Address) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = _Socket(family, kind, protocol)
        made.closed = self._closed
        for level, name, value in _ALIVE:
            option = getattr(socket, name, None)
            if option is not None:
                made.setsockopt(level, option, value)
        self._open.add(made)
        self._none.clear()
        return made

    async def all_closed(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_S):
                await self._none.wait()

    def _closed(self, one: _Socket) -> None:
        self._open.discard(one)
        if not self._open:
            self._none.set()


class _Rest(rest.RESTClientObject):
    """The library's HTTP client, on sockets of ours."""

    def __init__(self, configuration: client.Configuration) -> None:
        super().__init__(configuration)
        self._sockets = _Sockets()

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(
            limit=0,
            ssl=self.ssl_context,
            keepalive_timeout=_KEEP_S,
            socket_factory=self._sockets.make,
        )

    async def close(self) -> None:
        await super().close()
        await self._sockets.all_closed()


class Connection:
    """Sends requests. Must be made inside the loop. Raises `OSError` for files it cannot use."""

    def __init__(self, configuration: client.Configuration) -> None:
        self.configuration = configuration
        self._rest = _Rest(configuration)
        self._uses = 0
        self._retired = False

    @contextlib.asynccontextmanager
    async def send(
        self, method: str, url: str, *, timeout: aiohttp.ClientTimeout, **content: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The head of the answer; the rest is for the caller to read, or is thrown away.

        `content`: `body`, JSON-like, and its `content_type`.
        """
        self._uses += 1
        response: aiohttp.ClientResponse | None = None
        try:
            answer = await self._rest.request(
                method,
                url,
                headers=await self._headers(content),
                body=content.get("body"),
                _request_timeout=timeout,
            )
            response = answer.response
            yield response
        finally:
            if response is not None:
                response.close()
            self._uses -= 1
            if self._retired and not self._uses:
                await self._rest.close()

    async def _headers(self, content: Mapping[str, Any]) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": _AGENT}
        token = await self.configuration.get_api_key_with_prefix("BearerToken")
        if token:
            headers["Authorization"] = token
        if "content_type" in content:
            headers["Content-Type"] = content["content_type"]
        return headers

    async def retire(self) -> None:
        """Close once nothing uses it any more."""
        self._retired = True
        if not self._uses:
            await self._rest.close()

    async def close(self) -> None:
        """Close now."""
        await self._rest.close()

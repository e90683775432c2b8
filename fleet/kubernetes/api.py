"""Asks an API server, in raw JSON: one method per verb, and a watch.

Rule 1: no limit on the rate of requests is ours: a hundred models woken at once are a hundred
        writes, as fast as the server takes them (`fleet.kubernetes.inflight`). It has its own
        fairness. Writes never wait for lists, and Leases for nothing else.
Rule 2: every call ends: by an answer, or by a timeout.
Rule 3: an error says what was asked of whom, and what the server said to it.
Rule 4: a 401 makes the credentials be read again, once; if they have changed, they are used.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.config import ConfigException

from fleet.collector import collecting_later
from fleet.errors import (
    ConflictError,
    EbbtideError,
    ForbiddenError,
    GoneError,
    RejectedError,
    SettingError,
    UnavailableError,
)
from fleet.kubernetes.connection import Connection
from fleet.kubernetes.credentials import read_credentials, same
from fleet.kubernetes.inflight import InFlight
from fleet.kubernetes.objects import Object
from fleet.system import system_said

__all__ = ["APPLY", "MERGE", "Api", "ExpiredError"]

_LEASES = "/leases"
MERGE = "application/merge-patch+json"
"""The content type of a merge patch (RFC 7386)."""
APPLY = "application/apply-patch+yaml"
"""That of a server-side apply; JSON is YAML."""

_JSON = "application/json"
_TIMEOUT_S = 15.0
_CONNECT_S = 5.0
_SILENCE_S = 50.0
_SHOWN = 500
_UNCONNECTED: Final = aiohttp.ClientConnectorError


class ExpiredError(UnavailableError):
    """The version asked for is too old (410): list again."""


class Api:
    """One API server. Made by `open`; to be closed."""

    def __init__(
        self, connection: Connection, kubeconfig: str | None, context: str | None = None
    ) -> None:
        self._connection = connection
        self._kubeconfig, self._context = kubeconfig, context
        self._reading = asyncio.Lock()
        self._reads, self._writes, self._leases = InFlight(), InFlight(), InFlight()

    @classmethod
    async def open(cls, kubeconfig: str | None = None, *, context: str | None = None) -> "Api":
        """As `kubeconfig` says, or as the pod we run in. Raises `SettingError`."""
        return cls(await _connected(kubeconfig, context), kubeconfig, context)

    async def __aenter__(self) -> "Api":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._connection.close()

    @property
    def server(self) -> str:
        """The URL of the server."""
        return self._connection.configuration.host

    async def get(
        self, path: str, *, query: Mapping[str, str] | None = None, timeout: float = _TIMEOUT_S
    ) -> Object:
        """Read an object or a list. Raises as all of these: see `fleet.errors`.

        `ConflictError` for 409, `GoneError` for 404, `ExpiredError` for 410, `ForbiddenError` for
        401 and 403, `RejectedError` for other refusals, `UnavailableError` for everything else.
        """
        return await self._ask("GET", path, query=query, timeout=timeout)

    async def post(
        self, path: str, *, body: Object, query: Mapping[str, str] | None = None
    ) -> Object:
        """Make an object; one that is there already is a `ConflictError`."""
        return await self._ask("POST", path, query=query, body=body)

    async def put(
        self, path: str, *, body: Object, query: Mapping[str, str] | None = None
    ) -> Object:
        """Replace an object."""
        return await self._ask("PUT", path, query=query, body=body)

    async def patch(
        self,
        path: str,
        *,
        body: Object | list[Object],
        query: Mapping[str, str] | None = None,
        content_type: str = MERGE,
    ) -> Object:
        """Change an object; by default with a merge patch."""
        return await self._ask("PATCH", path, query=query, body=body, content_type=content_type)

    async def delete(
        self, path: str, *, body: Object | None = None, query: Mapping[str, str] | None = None
    ) -> Object:
        """Delete an object; `body` may hold preconditions."""
        return await self._ask("DELETE", path, query=query, body=body)

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, query: Mapping[str, str], *, silence: float = _SILENCE_S
    ) -> AsyncIterator[AsyncIterator[Object]]:
        """The events of a watch that the server has accepted, as an iterator over raw JSON.

        It ends when the server ends it; a connection without a byte for `silence` seconds is cut.
        """
        where = f"watch {self.server}{path}"
        limit = aiohttp.ClientTimeout(sock_connect=_CONNECT_S, sock_read=silence)
        url = _url(path, {**query, "watch": "true"})
        async with self._answer("GET", url, where, timeout=limit) as response:
            if response.status >= 400:
                await _read(response, where)
            yield _Events(response, where)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None,
        timeout: float = _TIMEOUT_S,
        **content: Any,
    ) -> Object:
        where = f"{method} {self.server}{path}"
        limit = aiohttp.ClientTimeout(total=timeout, sock_connect=_CONNECT_S)
        url = _url(path, query)
        in_flight = self._reads if method == "GET" else self._writes
        if _LEASES in path:
            # One that waits behind a crowd of others would expire.
            in_flight = self._leases
        async with (
            _in_time(in_flight.one(), where, timeout),
            self._answer(method, url, where, timeout=limit, **content) as head,
        ):
            body = await _read(head, where)
        return _object(body, where)

    @contextlib.asynccontextmanager
    async def _answer(
        self, method: str, url: str, where: str, **request: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        connection = self._connection
        async with _sent(connection, method, url, where, **request) as response:
            if response.status != 401:
                yield response
                return
        fresh = await self._renewed(connection)
        async with _sent(fresh, method, url, where, **request) as response:
            yield response

    async def _renewed(self, used: Connection) -> Connection:
        """A connection with other credentials than `used`, if there are any."""
        # A plugin may never answer: then the 401 was the answer.
        with contextlib.suppress(SettingError, TimeoutError):
            async with asyncio.timeout(_TIMEOUT_S), self._reading:
                if self._connection is used:
                    await self._renew(used)
        return self._connection

    async def _renew(self, used: Connection) -> None:
        fresh = await _connected(self._kubeconfig, self._context)
        if same(fresh.configuration, used.configuration):
            await fresh.close()
        else:
            self._connection = fresh
            await used.retire()


async def _connected(kubeconfig: str | None, context: str | None) -> Connection:
    configuration = await read_credentials(kubeconfig, context=context)
    try:
        return Connection(configuration)
    except OSError as error:
        msg = f"kubeconfig {kubeconfig!r}: its certificates cannot be used: {error}"
        raise SettingError(msg) from error


@contextlib.asynccontextmanager
async def _in_time(
    place: contextlib.AbstractAsyncContextManager[None], where: str, seconds: float
) -> AsyncIterator[None]:
    """Within `place`, entered in time or not at all."""
    async with contextlib.AsyncExitStack() as stack:
        with _translated(where):
            async with asyncio.timeout(seconds):
                await stack.enter_async_context(place)
        yield


@contextlib.asynccontextmanager
async def _sent(
    connection: Connection, method: str, url: str, where: str, **request: Any
) -> AsyncIterator[aiohttp.ClientResponse]:
    sending = connection.send(method, connection.configuration.host + url, **request)
    with _translated(where):
        response = await sending.__aenter__()
    try:
        yield response
    finally:
        await sending.__aexit__(None, None, None)


@contextlib.contextmanager
def _translated(where: str) -> Iterator[None]:
    """What a connection can raise, as the error that callers know."""
    try:
        yield
    except TimeoutError as error:
        msg = f"{where}: no answer in time"
        raise UnavailableError(msg) from error
    except (aiohttp.ClientError, ConfigException, OSError) as error:
        msg = f"{where}: {_said(error)}"
        raise UnavailableError(msg) from error


def _said(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientSSLError):
        return str(error)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"the proxy {error.host}:{error.port}: {system_said(error.os_error)}"
    return system_said(error.os_error) if isinstance(error, _UNCONNECTED) else str(error)


async def _read(response: aiohttp.ClientResponse, where: str) -> bytes:
    """The whole body. Raises what the status means."""
    with _translated(where):
        body = await response.read()
    if response.status >= 400:
        raise _refusal(response.status, where, body)
    return body


def _url(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _object(body: bytes, where: str) -> Object:
    try:
        with collecting_later():
            found = json.loads(body)
    except ValueError as error:
        msg = f"{where}: expected JSON, not {body[:60]!r}; is that an API server?"
        raise UnavailableError(msg) from error
    if not isinstance(found, dict):
        msg = f"{where}: expected a JSON object, not {body[:60]!r}"
        raise UnavailableError(msg)
    return found


_ERRORS: Mapping[int, type[EbbtideError]] = {
    401: ForbiddenError,
    403: ForbiddenError,
    404: GoneError,
    409: ConflictError,
    410: ExpiredError,
    429: UnavailableError,
}


def _refusal(status: int, where: str, body: bytes) -> EbbtideError:
    kind = _ERRORS.get(status, RejectedError if status < 500 else UnavailableError)
    try:
        said = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        said = body.decode(errors="replace").strip()
    return kind(f"{where}: {status}: {said[:_SHOWN]}")


class _Events:
    """Splits a watch's answer into its lines, one event each."""

    def __init__(self, response: aiohttp.ClientResponse, where: str) -> None:
        self._chunks = response.content.iter_any().__aiter__()
        self._where = where
        self._rest = b""
        self._lines: list[bytes] = []

    def __aiter__(self) -> "_Events":
        return self

    async def __anext__(self) -> Object:
        while not self._lines:
            # Raises StopAsyncIteration at the end; half a line then was cut off, and is no event.
            with _translated(self._where):
                chunk = await self._chunks.__anext__()
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self._lines = [line for line in reversed(lines) if line]
        return self._event(_object(self._lines.pop(), self._where))

    def _event(self, event: Object) -> Object:
        if event.get("type") == "ERROR":
            status = event.get("object") or {}
            body = json.dumps(status).encode()
            raise _refusal(int(status.get("code") or 500), self._where, body)
        return event

"""Asking a model server over HTTP: bounded in time, one kind of error.

Rule 1: the time is for all that a method of the port asks, not for each step of it.
Rule 2: whatever goes wrong on the way is an `UnavailableError` that says who was asked, and why
        there is no usable answer; an answer that makes no sense is none.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import httpx

from fleet.errors import UnavailableError
from fleet.model import Tls
from fleet.runtimes import Endpoint
from fleet.tls import Certificates

__all__ = ["answer", "ask", "asking_client", "each", "json_object", "patience"]

_T = TypeVar("_T")

_TOLD = 300
_AT_ONCE = 8
"""Questions under way at one server, which may be busy loading the rest of its models."""


def asking_client(certificates: Certificates | None = None) -> httpx.AsyncClient:
    """The client that all model servers share; its maker closes it with `aclose`.

    It ignores proxies in the environment and follows no redirects: replicas are asked directly.
    It keeps no connection open: Triton would wait for its end before it stops, up to 30 s.
    `certificates` are for replicas that speak TLS; without them none does.
    """
    return httpx.AsyncClient(
        transport=_Transport(certificates),
        timeout=None,  # noqa: S113 - `patience` bounds the whole exchange
        trust_env=False,
    )


class _Transport(httpx.AsyncBaseTransport):
    """Asks each endpoint the way it is spoken to, with the newest certificates.

    A pool looks at all it holds for each request: thousands of replicas that are asked at once, as
    when a gateway starts, would take it minutes. Nothing is kept, so each question has its own.
    """

    def __init__(self, certificates: Certificates | None) -> None:
        self._certificates = certificates
        # A context that trusts nobody spares loading the system's certificates, most of what a
        # client costs.
        self._plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        tls: Tls | None = request.extensions.get("tls")
        context = self._plain if tls is None else self._context(tls)
        return await _over(context).handle_async_request(request)

    def _context(self, tls: Tls) -> ssl.SSLContext:
        if self._certificates is None:
            msg = "there are no certificates to ask it with"
            raise httpx.UnsupportedProtocol(msg)
        return self._certificates.replica(verify=tls.verify)


def _over(context: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    """For one question: its connection ends with the answer, so there is nothing to close."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncHTTPTransport(verify=context, limits=limits, trust_env=False)


async def ask(
    client: httpx.AsyncClient,
    endpoint: Endpoint,
    path: str,
    *,
    port: int | None = None,
    post: tuple[Mapping[str, str], bytes] | None = None,
    method: str = "",
) -> httpx.Response:
    """What `endpoint` answers for `path`, on its HTTP port unless another is given.

    `post`: the headers and body of a POST, or of `method`. Raises what httpx raises.
    """
    tls = endpoint.tls
    extensions: dict[str, Any] = {} if tls is None else {"tls": tls}
    if tls is not None and tls.name is not None:
        extensions["sni_hostname"] = tls.name
    headers, content = ({}, None) if post is None else post
    return await client.request(
        method or ("GET" if post is None else "POST"),
        _url(endpoint, path, port=port),
        headers=headers,
        content=content,
        extensions=extensions,
    )


def _url(endpoint: Endpoint, path: str, *, port: int | None = None) -> str:
    host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    scheme = "http" if endpoint.tls is None else "https"
    return f"{scheme}://{host}:{endpoint.ports.http if port is None else port}{path}"


@contextlib.asynccontextmanager
async def patience(endpoint: Endpoint, timeout: float) -> AsyncIterator[None]:
    """Bounds what is asked within, and turns every failure into `UnavailableError`."""
    where = _url(endpoint, "")
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError as error:
        msg = f"{where}: no answer within {timeout:g} s"
        raise UnavailableError(msg) from error
    except (httpx.HTTPError, OSError, ValueError) as error:
        msg = f"{where}: {str(error) or type(error).__name__}"
        raise UnavailableError(msg) from error


async def each(question: Callable[[str], Awaitable[_T]], names: Sequence[str]) -> list[_T]:
    """What `question` gives for each name, in order; the first error ends all.

    The first is asked alone, since the port may be closed still, the others a few at once.
    """
    found: list[_T] = []
    while len(found) < len(names):
        batch = names[len(found) : len(found) + _AT_ONCE] if found else names[:1]
        asked = [asyncio.ensure_future(question(name)) for name in batch]
        try:
            found += await asyncio.gather(*asked)
        finally:
            for one in asked:
                one.cancel()
    return found


def answer(response: httpx.Response, *, below: int = 400) -> bytes:
    """The body of an answer whose status is `below` that; else a `ValueError` with what it said."""
    if response.status_code >= below:
        said = response.text[:_TOLD].strip()
        msg = f"{response.request.method} {response.url.path}: {response.status_code} {said}"
        raise ValueError(msg)
    return response.content


def json_object(content: bytes) -> Mapping[str, Any]:
    """The JSON object in `content`; a `ValueError` when it is anything else."""
    found = json.loads(content)
    if not isinstance(found, dict):
        msg = "not a JSON object"
        raise ValueError(msg)  # noqa: TRY004 - what came over the wire is a wrong value
    return found

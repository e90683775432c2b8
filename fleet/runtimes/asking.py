"""Asking a model server over HTTP: bounded in time, one kind of error.

Rule 1: the time is for all that a method of the port asks, not for each step of it.
Rule 2: whatever goes wrong on the way is an `UnavailableError` that says who was asked, and why
        there is no usable answer; an answer that makes no sense is none, however odd it is.
Rule 3: an answer is bounded and taken as it came: nothing is unpacked, by no charset of its own.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from fleet.errors import UnavailableError
from fleet.model import Tls
from fleet.runtimes import Endpoint
from fleet.tls import Certificates

__all__ = ["Answer", "answer", "ask", "asking_client", "each", "json_object", "patience"]

_T = TypeVar("_T")

_TOLD = 300
_MOST_BYTES, _MOST_METRICS = 2**20, 8 * 2**20
_AT_ONCE = 8
"""Questions under way at one server, which may be busy loading the rest of its models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered."""

    status: int
    to: str
    """Method and path."""
    body: bytes


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
) -> Answer:
    """What `endpoint` answers for `path`, on its HTTP port unless that for metrics is given.

    `post`: the headers and body of a POST, or of `method`; of its answer only the beginning is
    kept. Raises what httpx raises, and `ValueError` for an answer that is too large or packed.
    """
    tls = endpoint.tls
    extensions: dict[str, Any] = {} if tls is None else {"tls": tls}
    if tls is not None and tls.name is not None:
        extensions["sni_hostname"] = tls.name
    given, content = ({}, None) if post is None else post
    headers = httpx.Headers(given)
    headers["Accept-Encoding"] = "identity"
    method = method or ("GET" if post is None else "POST")
    async with client.stream(
        method,
        _url(endpoint, path, port=port),
        headers=headers,
        content=content,
        extensions=extensions,
    ) as response:
        most = _MOST_BYTES if port is None else _MOST_METRICS
        body = await (_whole(response, most) if post is None else _beginning(response, most))
        return Answer(status=response.status_code, to=f"{method} {path}", body=body)


async def _whole(response: httpx.Response, most: int) -> bytes:
    packed = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packed != "identity":
        msg = f"packed ({packed[:_TOLD]}), which was not asked for"
        raise ValueError(msg)
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > most:
            msg = f"an answer of over {most} bytes"
            raise ValueError(msg)
    return bytes(body)


async def _beginning(response: httpx.Response, most: int) -> bytes:
    """Of an answer that is waited for to its end."""
    body = bytearray()
    async for part in response.aiter_raw():
        body += part[: most - len(body)]
    return bytes(body)


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
    except UnavailableError:
        raise
    except Exception as error:
        # What a server answers is its own to choose: nothing of it may end this process.
        msg = f"{where}: an odd answer: {type(error).__name__}: {str(error)[:_TOLD]}"
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


def answer(response: Answer, *, below: int = 400) -> bytes:
    """The body of an answer whose status is `below` that; else a `ValueError` with what it said."""
    if response.status >= below:
        said = response.body[: 4 * _TOLD].decode(errors="replace")[:_TOLD].strip()
        msg = f"{response.to}: {response.status} {said}"
        raise ValueError(msg)
    return response.body


def json_object(content: bytes) -> Mapping[str, Any]:
    """The JSON object in `content`; a `ValueError` when it is anything else."""
    found = json.loads(content)
    if not isinstance(found, dict):
        msg = "not a JSON object"
        raise ValueError(msg)  # noqa: TRY004 - what came over the wire is a wrong value
    return found

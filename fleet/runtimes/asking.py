"""Asking a model server over HTTP: bounded in time, one kind of error.

Rule 1: the time is for all that a method of the port asks, not for each step of it.
Rule 2: whatever goes wrong on the way is an `UnavailableError` that says who was asked, and why
        there is no usable answer; an answer that makes no sense is none.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from fleet.errors import UnavailableError
from fleet.runtimes import Endpoint

__all__ = ["answer", "asking_client", "json_object", "patience", "url"]

_TOLD = 300


def asking_client() -> httpx.AsyncClient:
    """The client that all model servers share; its maker closes it with `aclose`.

    It ignores proxies in the environment and follows no redirects: replicas are asked directly.
    It keeps no connection open: Triton would wait for its end before it stops, up to 30 s.
    """
    return httpx.AsyncClient(
        # Replicas speak plain HTTP. A context that trusts nobody spares loading the system's
        # certificates, most of what a client costs.
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        timeout=None,  # noqa: S113 - `patience` bounds the whole exchange
        trust_env=False,
    )


def url(endpoint: Endpoint, path: str, *, port: int | None = None) -> str:
    """Where to ask `endpoint` for `path`, on its HTTP port unless another is given."""
    host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    return f"http://{host}:{endpoint.ports.http if port is None else port}{path}"


@contextlib.asynccontextmanager
async def patience(endpoint: Endpoint, timeout: float) -> AsyncIterator[None]:
    """Bounds what is asked within, and turns every failure into `UnavailableError`."""
    where = url(endpoint, "")
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError as error:
        msg = f"{where}: no answer within {timeout:g} s"
        raise UnavailableError(msg) from error
    except (httpx.HTTPError, OSError, ValueError) as error:
        msg = f"{where}: {str(error) or type(error).__name__}"
        raise UnavailableError(msg) from error


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

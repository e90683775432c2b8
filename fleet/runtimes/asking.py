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
from typing import Any, TypeVar

from fleet.errors import UnavailableError
from fleet.model import Tls
from fleet.runtimes import Endpoint
from fleet.runtimes.exchange import Answer, Question, exchange
from fleet.system import system_said
from fleet.tls import Certificates

__all__ = ["Answer", "Asker", "answer", "ask", "each", "json_object", "patience"]

_T = TypeVar("_T")

_TOLD = 300
_MOST_BYTES, _MOST_METRICS = 2**20, 8 * 2**20
_AT_ONCE = 8
"""Questions under way at one server, which may be busy loading the rest of its models."""


class Asker:
    """Asks all model servers of a process. It holds nothing open, so there is nothing to close.

    No proxy, cookie or redirect is followed: replicas are asked directly. `certificates` are for
    those that speak TLS; without them none does.
    """

    def __init__(self, certificates: Certificates | None = None) -> None:
        self._certificates = certificates

    def context(self, tls: Tls | None) -> ssl.SSLContext | None:
        """What an endpoint is spoken to with, by the newest certificates; None: plainly."""
        if tls is None:
            return None
        if self._certificates is None:
            msg = "there are no certificates to ask it with"
            raise ValueError(msg)
        return self._certificates.replica(verify=tls.verify)


async def ask(
    asker: Asker,
    endpoint: Endpoint,
    path: str,
    *,
    port: int | None = None,
    post: tuple[Mapping[str, str], bytes] | None = None,
    method: str = "",
) -> Answer:
    """What `endpoint` answers for `path`, on its HTTP port unless that for metrics is given.

    `post`: the headers and body of a POST, or of `method`; of its answer only the beginning is
    kept. Raises `OSError`, and `ValueError` for what is no answer, too large or packed.
    """
    tls = endpoint.tls
    headers, body = ({}, b"") if post is None else post
    question = Question(
        host=endpoint.address,
        port=endpoint.ports.http if port is None else port,
        method=method.upper() or ("GET" if post is None else "POST"),
        path=path,
        headers=headers,
        body=body,
        most=_MOST_BYTES if port is None else _MOST_METRICS,
        beginning=post is not None,
        tls=asker.context(tls),
        server_name=None if tls is None else tls.name,
    )
    return await exchange(question)


def _url(endpoint: Endpoint, port: int | None) -> str:
    host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    scheme = "http" if endpoint.tls is None else "https"
    return f"{scheme}://{host}:{endpoint.ports.http if port is None else port}"


@contextlib.asynccontextmanager
async def patience(
    endpoint: Endpoint, timeout: float, *, port: int | None = None
) -> AsyncIterator[None]:
    """Bounds what is asked within, and turns every failure into `UnavailableError`.

    `port`: that for metrics, when it is asked; the error names it.
    """
    where = _url(endpoint, port)
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError as error:
        msg = f"{where}: no answer within {timeout:g} s"
        raise UnavailableError(msg) from error
    except (OSError, ValueError) as error:
        msg = f"{where}: {_said(error)}"
        raise UnavailableError(msg) from error
    except UnavailableError:
        raise
    except Exception as error:
        # What a server answers is its own to choose: nothing of it may end this process.
        msg = f"{where}: an odd answer: {type(error).__name__}: {str(error)[:_TOLD]}"
        raise UnavailableError(msg) from error


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return system_said(error)
    return str(error) or type(error).__name__


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

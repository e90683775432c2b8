"""Asks any HTTP server. Nothing is known of it but its port.

Rule 1: ready is a connection that it accepts.
Rule 2: a warm-up is only ever the request given: `METHOD PATH`, header lines, an empty line, and
        the body, as in ``POST /predict``. None is made up.
"""

import asyncio
import re
from collections.abc import Sequence

from fleet.errors import UnavailableError
from fleet.runtimes import Endpoint
from fleet.runtimes.asking import Asker, answer, ask, patience
from fleet.runtimes.quiet_server import QuietServer

__all__ = ["PlainServer"]

_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")


class PlainServer(QuietServer):
    """A `ModelServer` for any HTTP server. `asker` is shared."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def ready(self, endpoint: Endpoint, models: Sequence[str], *, timeout: float) -> bool:
        try:
            async with patience(endpoint, timeout):
                _, writer = await asyncio.open_connection(endpoint.address, endpoint.ports.http)
        except UnavailableError:
            return False
        writer.close()
        return True

    async def warm_up(
        self, endpoint: Endpoint, model: str, *, request: bytes | None, timeout: float
    ) -> None:
        if request is None:
            return
        async with patience(endpoint, timeout):
            method, path, headers, body = _parse(request)
            said = await ask(self._asker, endpoint, path, post=(headers, body), method=method)
            answer(said, below=500)


def _parse(request: bytes) -> tuple[str, str, dict[str, str], bytes]:
    head, _, body = _EMPTY_LINE.sub(b"\n\n", request, count=1).partition(b"\n\n")
    first, *lines = head.decode("latin-1").splitlines() or [""]
    method, _, path = first.strip().partition(" ")
    fields = [line.partition(":") for line in lines if line.strip()]
    if not method.isalpha() or not path.startswith("/") or not all(sep for _, sep, _ in fields):
        msg = "the warm-up request must be: METHOD PATH, header lines, an empty line, the body"
        raise ValueError(msg)
    headers = {name.strip(): value.strip() for name, _, value in fields}
    return method, path, headers, body

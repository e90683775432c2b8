"""Inferences as clients send them to a gateway in a cluster, each on a connection of its own.

Nothing is retried but a connection that nobody takes: any balancer in front tries another gateway.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from tests.kube.models import Adder

__all__ = ["Call", "End", "call", "crowd"]


class End(Enum):
    """How a call ended, as its client sees it."""

    ANSWERED = "answered"
    """With a whole answer; `status` says which."""
    BROKEN = "broken off"
    """The answer began, and the connection closed before its end."""
    CLOSED = "closed"
    """The connection closed before an answer began."""
    REFUSED = "refused"
    """No gateway took the connection."""
    GAVE_UP = "gave up"
    """The client's own patience ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call and what became of it; times are of this machine's clock."""

    model: str
    value: int
    gateway: str
    began: float
    ended: float
    end: End
    status: int = 0
    body: bytes = b""
    right: bool = False
    """200, and the answer is that of the model asked."""

    @property
    def seconds(self) -> float:
        return self.ended - self.began


async def call(
    gateways: Sequence[str],
    model: Adder,
    value: int,
    *,
    seconds: float = 0.0,
    timeout: float = 120.0,
) -> Call:
    """One inference, to the first of `gateways` (HOST:PORT) that takes the connection."""
    began = time.monotonic()
    asked = ""

    def done(end: End, status: int = 0, body: bytes = b"") -> Call:
        right = end is End.ANSWERED and status == 200 and model.right(value, body)
        return Call(
            model=model.name,
            value=value,
            gateway=asked,
            began=began,
            ended=time.monotonic(),
            end=end,
            status=status,
            body=body,
            right=right,
        )

    try:
        async with asyncio.timeout(timeout):
            for asked in gateways:
                host, _, port = asked.partition(":")
                try:
                    reader, writer = await asyncio.open_connection(host, int(port))
                except OSError:
                    continue
                return done(*await _exchange(reader, writer, model, value, seconds))
            return done(End.REFUSED)
    except TimeoutError:
        return done(End.GAVE_UP)


async def crowd(calls: Sequence[tuple[Sequence[str], Adder, int]], **options: float) -> list[Call]:
    """All at once."""
    return await asyncio.gather(*(call(g, m, v, **options) for g, m, v in calls))


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    model: Adder,
    value: int,
    seconds: float,
) -> tuple[End, int, bytes]:
    body = model.request(value, seconds=seconds)
    head = (
        f"POST {model.path} HTTP/1.1\r\nHost: ebbtide\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        writer.write(head.encode() + body)
        raw, broken = await _read(reader)
    finally:
        writer.close()
    start, found, content = raw.partition(b"\r\n\r\n")
    if not found:
        return End.CLOSED, 0, b""
    status = int(start.split(maxsplit=2)[1])
    whole = not broken and _length(start) == len(content)
    return (End.ANSWERED if whole else End.BROKEN), status, content


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """All that comes, and whether it ended in a reset."""
    raw = b""
    try:
        while chunk := await reader.read(65536):
            raw += chunk
    except OSError:
        return raw, True
    return raw, False


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return -1

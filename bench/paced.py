"""One request every millisecond, whatever became of the one before: who waits is noticed.

A load that waits for each answer leaves out the requests that would have come during a halt; here
each counts from the moment at which it was due.
"""

import socket
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.load import BrokenLoadError

__all__ = ["Paced", "paced"]

_EVERY_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """How long answers took, counted from when their requests were due, in milliseconds."""

    p99_ms: float
    longest_ms: float


def paced(port: int, paths: Sequence[str], body: str, *, seconds: float) -> Paced:
    """Ask `paths` of 127.0.0.1 in turns for so long, on one connection."""
    requests = [_request(path, body) for path in paths]
    took: list[float] = []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.monotonic()
        for number in range(round(seconds / _EVERY_S)):
            due = begun + number * _EVERY_S
            early = due - time.monotonic()
            if early > 0:
                time.sleep(early)
            connection.sendall(requests[number % len(requests)])
            _take_answer(connection)
            took.append(1e3 * (time.monotonic() - due))
    return Paced(p99_ms=statistics.quantiles(took, n=100)[98], longest_ms=max(took))


def _request(path: str, body: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def _take_answer(connection: socket.socket) -> None:
    head, _, rest = _until(connection, b"\r\n\r\n")
    start, *fields = head.decode("latin-1").split("\r\n")
    if not start.startswith("HTTP/1.1 200 "):
        msg = f"a paced request was answered {start!r}"
        raise BrokenLoadError(msg)
    sizes = [int(f.partition(":")[2]) for f in fields if f.lower().startswith("content-length:")]
    missing = sizes[0] - len(rest)
    while missing > 0:
        missing -= len(_some(connection))


def _until(connection: socket.socket, end: bytes) -> tuple[bytes, bytes, bytes]:
    read = b""
    while end not in read:
        read += _some(connection)
    return read.partition(end)


def _some(connection: socket.socket) -> bytes:
    read = connection.recv(65536)
    if not read:
        msg = "the connection of paced requests was closed"
        raise BrokenLoadError(msg)
    return read

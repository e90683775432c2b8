"""A small V2 model server that tells when it was ready and when each inference reached it.

Its port is closed until the model "has loaded", as Triton's is. Both times are of the system's
monotonic clock, which all processes of a machine share.
``python -m bench.model HOST PORT --after SECONDS`` or ``--when FILE`` (loaded once FILE exists).
"""

import argparse
import asyncio
import json
import time
from pathlib import Path

import httptools

__all__: list[str] = []


class _Server(asyncio.Protocol):
    """One connection. Every inference is answered with the two times, all else with 200."""

    def __init__(self, opened: list[float]) -> None:
        self._opened = opened
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_complete(self) -> None:
        got = time.monotonic()
        body = json.dumps({"opened": self._opened[0], "got": got}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._transport.write(head.encode() + b"\r\n\r\n" + body)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.model")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--after", type=float, default=0.0)
    parser.add_argument("--when", type=Path)
    # A runtime's profile may add flags of its own.
    return parser.parse_known_args()[0]


def _load(arguments: argparse.Namespace) -> None:
    print("loading", flush=True)
    time.sleep(arguments.after)
    while arguments.when is not None and not arguments.when.exists():
        time.sleep(0.05)  # no event tells of another process's file; who started this bounds it


async def _serve(arguments: argparse.Namespace) -> None:
    opened: list[float] = []
    server = await asyncio.get_running_loop().create_server(
        lambda: _Server(opened), arguments.host, arguments.port, backlog=1024
    )
    opened.append(time.monotonic())
    await server.serve_forever()


if __name__ == "__main__":
    given = _arguments()
    _load(given)
    asyncio.run(_serve(given))

"""Streams through a real `ebbtide up`: each event at once, and large uploads at flat memory."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.local import streaming_server
from tests.local.plain_models import write_plain_model
from tests.local.upped import Up, up

pytestmark = pytest.mark.anyio

MIB = 2**20
PIECE = b"\xa5" * (256 * 1024)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_plain_model(
        tmp_path,
        "stream",
        streaming_server.__file__,
        "$(POD_IP)",
        "9000",
        allow="GET /events, POST /next, POST /take",
        slots="4",
    )
    return tmp_path


def at(one: Up, path: str) -> str:
    return f"http://127.0.0.1:{one.port}/models/stream/{path}"


def memory(one: Up, line: str) -> int:
    for said in Path(f"/proc/{one.process.pid}/status").read_text().splitlines():
        name, _, value = said.partition(":")
        if name == line:
            return int(value.split()[0]) * 1024
    raise AssertionError(f"no {line}")


async def events(one: Up, path: str) -> list[bytes]:
    """The pieces of a stream that goes on only once the one before has come."""
    seen = []
    async with one.client.stream("GET", at(one, path)) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        async for data in answer.aiter_raw():
            seen.append(data)
            if len(seen) < streaming_server.EVENTS:
                assert (await one.client.post(at(one, "next"))).status_code == 200
    return seen


async def test_each_event_comes_before_the_next_is_sent(folder: Path) -> None:
    told = [b"data: %d\n\n" % number for number in range(streaming_server.EVENTS)]
    async with up(folder, gpus=1) as one, asyncio.timeout(60):
        assert await events(one, "events") == told
        assert await events(one, "events?plain") == told


async def test_an_upload_of_hundreds_of_megabytes(folder: Path) -> None:
    size = 256 * MIB
    read: list[int] = []

    async def body(one: Up) -> AsyncIterator[bytes]:
        for number in range(size // len(PIECE)):
            yield PIECE
            if number % 128 == 0:
                read.append(memory(one, "RssAnon"))

    async with up(folder, gpus=1) as one, asyncio.timeout(60):
        await one.client.post(at(one, "take"), content=b"x")
        before = memory(one, "RssAnon")
        for fields in ({"Content-Length": str(size)}, {}):
            answer = await one.client.post(at(one, "take"), content=body(one), headers=fields)
            assert (answer.status_code, answer.text) == (200, str(size))
        assert max(read) - before < 8 * MIB

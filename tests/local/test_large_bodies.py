"""Bodies of 100 MiB through a real `ebbtide up`: what it holds of them, in all."""

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.local import large_server
from tests.local.plain_models import write_plain_model
from tests.local.upped import Up, up

pytestmark = pytest.mark.anyio

MIB = 2**20
SIZE = len(large_server.PIECE) * large_server.PIECES


def memory(one: Up, line: str = "RssAnon") -> int:
    """Resident bytes of the gateway: its own, now; VmHWM: all, at their peak."""
    for said in Path(f"/proc/{one.process.pid}/status").read_text().splitlines():
        name, _, value = said.partition(":")
        if name == line:
            return int(value.split()[0]) * 1024
    raise AssertionError(f"no {line}")


def head(path: str, size: int) -> bytes:
    line = f"POST /models/large/{path} HTTP/1.1\r\nHost: gw\r\nContent-Length: {size}\r\n\r\n"
    return line.encode()


async def numbers(one: Up, path: str) -> list[int]:
    answer = await one.client.post(f"http://127.0.0.1:{one.port}/models/large/{path}")
    assert answer.status_code == 200, answer.text
    return [int(number) for number in answer.text.split()]


async def standing(measure: Callable[[], Awaitable[int]]) -> int:
    """What `measure` says once it has said the same for a quarter of a second."""
    before, since = -1, 0
    async with asyncio.timeout(20):
        while since < 5:
            now = await measure()
            since = since + 1 if now == before else 0
            before = now
            await asyncio.sleep(0.05)
    return before


@asynccontextmanager
async def connection(one: Up) -> AsyncIterator[socket.socket]:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", one.port))
        yield client


async def read_all(client: socket.socket, watch: Callable[[], None]) -> int:
    """The CRC of the answer's body, taken in small pieces."""
    loop = asyncio.get_running_loop()
    _, _, data = (await loop.sock_recv(client, 65536)).partition(b"\r\n\r\n")
    crc, left = zlib.crc32(data), SIZE - len(data)
    while left:
        data = await loop.sock_recv(client, 65536)
        crc, left = zlib.crc32(data, crc), left - len(data)
        if left % MIB < len(data):
            watch()
    return crc


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_plain_model(
        tmp_path,
        "large",
        large_server.__file__,
        "$(POD_IP)",
        "9000",
        allow="POST /take, POST /give, POST /given, POST /go",
        max_body="1Gi",
        slots="16",
    )
    return tmp_path


async def test_an_upload_that_a_replica_does_not_read(folder: Path) -> None:
    loop, sent = asyncio.get_running_loop(), 0

    async def upload(client: socket.socket) -> None:
        nonlocal sent
        await loop.sock_sendall(client, head("take", SIZE))
        for _ in range(large_server.PIECES):
            await loop.sock_sendall(client, large_server.PIECE)
            sent += len(large_server.PIECE)

    async def so_far() -> int:
        return sent

    async with up(folder, gpus=1) as one, connection(one) as client:
        await numbers(one, "given")
        before = memory(one)
        uploading = loop.create_task(upload(client))
        assert await standing(so_far) < SIZE // 2
        assert memory(one) - before < 2 * MIB
        await numbers(one, "go")
        await uploading
        answer = await loop.sock_recv(client, 65536)
        assert answer.endswith(b"\r\n\r\n%d %d" % (SIZE, large_server.CRC))
        assert memory(one) - before < 10 * MIB


async def test_eight_clients_that_read_slowly(folder: Path) -> None:
    async with up(folder, gpus=1) as one, AsyncExitStack() as stack:
        await numbers(one, "given")
        before = memory(one)
        clients = [await stack.enter_async_context(connection(one)) for _ in range(8)]
        for client in clients:
            await asyncio.get_running_loop().sock_sendall(client, head("give", 0))

        async def given() -> int:
            return (await numbers(one, "given"))[0]

        def watch() -> None:
            assert memory(one) - before < 16 * MIB

        assert await standing(given) < 4 * SIZE
        watch()
        async with asyncio.timeout(60):
            crcs = await asyncio.gather(*(read_all(client, watch) for client in clients))
        assert crcs == [large_server.CRC] * 8
        assert memory(one, "VmHWM") < 64 * MIB

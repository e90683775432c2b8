"""gRPC through `ebbtide up` as it is run: grpcio at both ends, large streams, two workers."""

import asyncio
import os
import signal
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from tests.fakes import local
from tests.fakes.local import manifest
from tests.local import grpc_server
from tests.local.test_large_bodies import memory, standing
from tests.local.test_workers import until, workers
from tests.local.upped import Up, up

pytestmark = pytest.mark.anyio

MIB = 2**20
SIZE = len(grpc_server.PIECE) * grpc_server.PIECES
MODEL = (("ebbtide-model", "a"),)


@asynccontextmanager
async def served(tmp_path: Path, *flags: str, **settings: str) -> AsyncIterator[Up]:
    command = [sys.executable, grpc_server.__file__, "$(POD_IP)"]
    own = {"slots": "64", "grpc-port": "8001", "keep-alive": "1h", "max-replicas": "1"}
    local.write(tmp_path, manifest("a", gpus=0, grace=1, command=command, annotations=own))
    async with up(tmp_path, gpus=0, flags=flags, **settings) as ebbtide:
        yield ebbtide


@asynccontextmanager
async def channel(ebbtide: Up) -> AsyncIterator[grpc.aio.Channel]:
    """On a connection of its own, which is not made anew."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ebbtide.port}", options) as found:
        yield found


async def ask(found: grpc.aio.Channel, method: str, request: bytes = b"") -> bytes:
    return await found.unary_unary(f"/test.Service/{method}")(request, metadata=MODEL, timeout=60)


async def outcome(found: grpc.aio.Channel, seconds: float) -> grpc.StatusCode:
    try:
        await ask(found, "Run", b"%g" % seconds)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_a_stream_of_100_mib_that_nobody_reads_is_not_kept_here(tmp_path: Path) -> None:
    async with served(tmp_path) as ebbtide, channel(ebbtide) as one, channel(ebbtide) as other:
        await ask(other, "Run")
        before, sent = memory(ebbtide), 0
        call = one.stream_unary("/test.Service/Take")(metadata=MODEL)

        async def send() -> None:
            nonlocal sent
            for _ in range(grpc_server.PIECES):
                await call.write(grpc_server.PIECE)
                sent += len(grpc_server.PIECE)
            await call.done_writing()

        async def so_far() -> int:
            return sent

        sending = asyncio.ensure_future(send())
        assert await standing(so_far) < SIZE // 2
        assert memory(ebbtide) - before < 2 * MIB
        await ask(other, "Go")
        await sending
        assert await call == b"%d %d" % (SIZE, grpc_server.CRC)


async def test_an_answer_of_100_mib_that_nobody_reads_is_not_kept_here(tmp_path: Path) -> None:
    async with served(tmp_path) as ebbtide, channel(ebbtide) as one, channel(ebbtide) as other:
        await ask(other, "Run")
        before = memory(ebbtide)
        call = one.unary_stream("/test.Service/Give")(b"", metadata=MODEL)

        async def given() -> int:
            return int(await ask(other, "Given"))

        assert len(await call.read()) == len(grpc_server.PIECE)
        crc, size = zlib.crc32(grpc_server.PIECE), len(grpc_server.PIECE)
        assert await standing(given) < grpc_server.PIECES // 2
        assert memory(ebbtide) - before < 2 * MIB
        while (piece := await call.read()) is not grpc.aio.EOF:
            crc, size = zlib.crc32(piece, crc), size + len(piece)
        assert (size, crc) == (SIZE, grpc_server.CRC)


async def test_two_workers_share_calls_and_one_that_is_killed_takes_only_its_own(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, "--workers", "2", shutdown_grace="20s") as ebbtide:
        async with channel(ebbtide) as first:
            await ask(first, "Run")
        found = [channel(ebbtide) for _ in range(16)]
        channels = [await one.__aenter__() for one in found]
        running = [asyncio.ensure_future(outcome(one, 2.0)) for one in channels]
        await ebbtide.until("a", lambda state: state["running"] == 16)
        victim, other = workers(ebbtide)
        os.kill(victim, signal.SIGKILL)
        outcomes = await asyncio.gather(*running)
        assert set(outcomes) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        await until(lambda: workers(ebbtide)[0] != victim)
        assert workers(ebbtide)[1] == other
        # The channels that lost their connection make another one.
        assert {await outcome(one, 0) for one in channels} == {grpc.StatusCode.OK}
        # Told to go, both let what runs end, and tell clients with GOAWAY.
        running = [asyncio.ensure_future(outcome(one, 1.5)) for one in channels]
        await ebbtide.until("a", lambda state: state["running"] == 16)
        ebbtide.process.send_signal(signal.SIGTERM)
        assert set(await asyncio.gather(*running)) == {grpc.StatusCode.OK}
        assert await ebbtide.stop() == 0
        for one in found:
            await one.__aexit__(None, None, None)

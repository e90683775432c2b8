"""Tunnels whose client speaks TLS, where one direction cannot end before the other."""

import pytest

from tests.wire.secured import Authority
from tests.wire.stage import BOTH_LOOPS, stage
from tests.wire.test_gateway_tunnels import ASK, Echo, plain, switched

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path)


async def test_bytes_pass_both_ways_until_the_client_closes(authority):
    async with stage(plain, settings=authority.settings(), tls=authority.client()) as s:
        echo = s.recorder.script = Echo(b"hello")
        client = await s.client()
        client.send(ASK + b"early")
        await switched(client)
        assert await client.reader.readexactly(10) in (b"helloearly", b"earlyhello")
        piece = b"\x00" * 500_000
        client.send(piece)
        assert await client.reader.readexactly(len(piece)) == piece
        await client.leave()
        await echo.ended.wait()
        await s.until(s.idle)
        await s.until(lambda: not s.front.connections)


async def test_the_replicas_end_ends_it(authority):
    async with stage(plain, settings=authority.settings(), tls=authority.client()) as s:
        s.recorder.script = Echo(b"hello")
        client = await s.client()
        client.send(ASK)
        await switched(client)
        assert await client.reader.readexactly(5) == b"hello"
        for writer in tuple(s.recorder.writers):
            writer.close()
        assert await client.closed()
        await s.until(s.idle)
        await client.leave()
        await s.until(lambda: not s.front.connections)

"""A server with a hundred models is asked in good time, and a busy one gets ready in the end."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from activator.probe import Pace, until_ready
from fleet.clock import LoopClock
from fleet.errors import UnavailableError
from fleet.model import Ports, RuntimeName
from fleet.runtimes import Endpoint
from fleet.runtimes.asking import Asker
from fleet.runtimes.servers import servers

pytestmark = pytest.mark.anyio

NAMES = tuple(f"m{number}" for number in range(100))
CONFIG = {"max_batch_size": 0, "instance_group": [{"count": 1}]}


class Loading:
    """Speaks V2; an answer takes `takes` seconds, and models of `unready` are not."""

    def __init__(self, *, takes=0.0, unready=()):
        self.takes, self.unready = takes, set(unready)
        self.asked = []
        self.under_way = self.most = 0

    async def serve(self, reader, writer):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
            *_, name, verb = path.split("/")
            self.asked.append(name)
            await asyncio.sleep(self.takes)
            body = json.dumps(CONFIG if verb == "config" else {}).encode()
            status = 400 if name in self.unready else 200
            head = (
                f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.under_way -= 1
            writer.close()


@asynccontextmanager
async def triton(loading):
    """A `ModelServer` and the endpoint to ask."""
    listening = await asyncio.start_server(loading.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        made = servers(Asker())(RuntimeName.TRITON)
        yield made, Endpoint(address="127.0.0.1", ports=Ports(http=port))
    finally:
        listening.close()
        await listening.wait_closed()


async def test_a_hundred_names_are_asked_a_few_at_once():
    loading = Loading(takes=0.01)
    async with triton(loading) as (server, endpoint):
        assert await server.ready(endpoint, NAMES, timeout=10.0)
        assert sorted(loading.asked) == sorted(NAMES)
        assert 1 < loading.most <= 8
        assert await server.slots(endpoint, NAMES, timeout=10.0) == 200
        assert await server.sequence_idle(endpoint, NAMES, timeout=10.0) is None


async def test_the_first_that_is_not_ready_ends_the_round():
    loading = Loading(unready=[NAMES[0]])
    async with triton(loading) as (server, endpoint):
        assert not await server.ready(endpoint, NAMES, timeout=4.0)
        assert loading.asked == [NAMES[0]]
        loading.unready, loading.asked = {NAMES[3]}, []
        assert not await server.ready(endpoint, NAMES, timeout=4.0)
        assert len(loading.asked) <= 9
        with pytest.raises(UnavailableError, match="m3"):
            await server.slots(endpoint, NAMES, timeout=4.0)


async def test_nothing_is_asked_after_the_time_is_up():
    loading = Loading(takes=0.1)
    async with triton(loading) as (server, endpoint):
        assert not await server.ready(endpoint, NAMES, timeout=0.25)
        count = len(loading.asked)
        await asyncio.sleep(0.3)
        assert len(loading.asked) == count
        assert loading.under_way == 0


class Hasty:
    """Gives up after half a second, whatever it was given."""

    def __init__(self, server):
        self.server = server

    async def ready(self, endpoint, models, *, timeout):
        return await self.server.ready(endpoint, models, timeout=0.5)


async def test_a_server_too_slow_for_all_in_one_round_gets_ready_all_the_same():
    async with triton(Loading(takes=0.05)) as (server, endpoint), asyncio.timeout(15):
        hasty = Hasty(server)
        assert not await hasty.ready(endpoint, NAMES, timeout=2.0)
        await until_ready(hasty, endpoint, NAMES, clock=LoopClock(), pace=Pace())


async def test_what_has_answered_is_not_asked_again_while_the_last_is_loading():
    loading = Loading(unready=[NAMES[-1]])
    async with triton(loading) as (server, endpoint), asyncio.timeout(10):
        waiting = asyncio.ensure_future(
            until_ready(server, endpoint, NAMES, clock=LoopClock(), pace=Pace())
        )
        while loading.asked.count(NAMES[-1]) < 5:
            await asyncio.sleep(0.01)
        assert loading.asked.count(NAMES[0]) == 1
        loading.unready.clear()
        await waiting

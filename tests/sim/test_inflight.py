"""How many requests go at once: few to a quick server, all to a slow one; on virtual time."""

import asyncio
import contextlib
import random

import pytest

from fleet.kubernetes.inflight import FEW, MOST, InFlight
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


class Server:
    """Answers each request after `takes` seconds."""

    def __init__(self, takes):
        self.takes = takes
        self.in_flight = InFlight()
        self.here = self.most = self.answered = 0

    async def ask(self):
        async with self.in_flight.one():
            self.here += 1
            self.most = max(self.most, self.here)
            try:
                await asyncio.sleep(self.takes)
            finally:
                self.here -= 1
            self.answered += 1


async def seconds(server, requests):
    """How long so many take that are made at once."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(server.ask() for _ in range(requests)))
    assert server.answered == requests
    return loop.time() - began


async def test_a_quick_server_gets_a_hundred_on_few_connections():
    server = Server(0.002)
    assert await seconds(server, 100) <= 0.02
    assert server.most <= FEW + 4


async def test_a_slow_server_gets_a_hundred_at_once_all_the_same():
    server = Server(5.0)
    assert await seconds(server, 100) <= 5.5
    assert server.most == 100


async def test_there_are_never_more_than_many():
    server = Server(5.0)
    await seconds(server, 3 * MOST)
    assert server.most == MOST


async def test_after_a_crowd_few_go_at_once_again():
    server = Server(5.0)
    await seconds(server, 100)
    server.takes, server.most, server.answered = 0.002, 0, 0
    await seconds(server, 100)
    assert server.most <= FEW + 4


async def test_who_leaves_takes_nobody_elses_turn():
    luck = random.Random(5)
    for _ in range(30):
        server = Server(luck.choice([0.002, 0.03]))
        asking = [asyncio.ensure_future(server.ask()) for _ in range(80)]
        left = luck.sample(asking, 40)
        for one in left:
            await asyncio.sleep(luck.choice([0.0, 0.0, 0.001]))
            one.cancel()
        async with asyncio.timeout(10):
            for one in asking:
                with contextlib.suppress(asyncio.CancelledError):
                    await one
        assert server.here == 0
        await asyncio.sleep(0.01)
        # Nothing is lost: as many as ever go at once.
        server.takes, server.most = 1.0, 0
        first = [asyncio.ensure_future(server.ask()) for _ in range(FEW + 1)]
        await asyncio.sleep(0.001)
        assert server.most == FEW
        await asyncio.gather(*first)

"""How often probes ask: quickly while there are few, and no more in all however many there are."""

import asyncio
import contextlib

import pytest

from activator.probe import Pace, until_ready
from fleet.clock import LoopClock
from fleet.model import Ports
from fleet.runtimes import Endpoint
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


class Deaf:
    """Never ready; saying so takes `takes` seconds."""

    def __init__(self, takes=0.0):
        self.takes, self.rounds = takes, 0

    async def ready(self, endpoint, models, *, timeout):
        self.rounds += 1
        await asyncio.sleep(self.takes)
        return False


def endpoint(number):
    return Endpoint(address=f"127.1.0.{number}", ports=Ports(http=8000))


async def rounds(probes, *, takes=0.0, seconds=4.0):
    """How often all of them ask in `seconds`."""
    server, pace = Deaf(takes), Pace()
    asking = [
        asyncio.ensure_future(
            until_ready(server, endpoint(number), ["m"], clock=LoopClock(), pace=pace)
        )
        for number in range(probes)
    ]
    await asyncio.sleep(seconds)
    for one in asking:
        one.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await one
    assert pace.pause(since=0.0, took=0.0) == 0.01, "those that ended still count"
    return server.rounds


async def test_one_asks_a_hundred_times_a_second():
    assert await rounds(1) == pytest.approx(400, abs=2)


@pytest.mark.parametrize("probes", [5, 200])
async def test_many_ask_two_hundred_times_a_second_in_all(probes):
    assert await rounds(probes) <= 4 * 200 + 2 * probes


async def test_none_asks_for_longer_than_it_pauses():
    assert await rounds(1, takes=0.25) <= 9


async def test_a_server_that_lets_every_round_time_out_is_asked_again_after_a_second():
    assert await rounds(1, takes=2.0, seconds=12.5) == 5


async def begun(probes, *, gone=0, within):
    """Who of many that begin together has asked within some seconds, and each at what time."""
    loop = asyncio.get_running_loop()
    asked, pace = [], Pace()

    class Noted(Deaf):
        async def ready(self, endpoint, models, *, timeout):
            asked.append((int(endpoint.address.rpartition(".")[2]), loop.time()))
            return True

    asking = [
        asyncio.ensure_future(
            until_ready(Noted(), endpoint(number), ["m"], clock=LoopClock(), pace=pace)
        )
        for number in range(probes)
    ]
    await asyncio.sleep(0)
    for one in asking[:gone]:
        one.cancel()
    began = loop.time()
    await asyncio.sleep(within)
    await asyncio.gather(*asking, return_exceptions=True)
    return [number for number, _ in asked], [at - began for _, at in asked]


async def test_many_that_begin_together_take_turns_and_all_have_theirs():
    order, times = await begun(1000, within=0.5)
    assert order == list(range(1000))
    assert max(times.count(at) for at in times) <= 8
    assert max(times) <= 0.2


async def test_one_alone_begins_at_once():
    assert await begun(1, within=0.1) == ([0], [0.0])


async def test_those_that_are_gone_keep_nobody_waiting():
    order, times = await begun(20, gone=15, within=0.1)
    assert order == list(range(15, 20))
    assert max(times) <= 0.002

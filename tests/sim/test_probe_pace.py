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

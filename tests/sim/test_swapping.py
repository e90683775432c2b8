"""When snapshots are made, on virtual time."""

import asyncio
import contextlib

import pytest

from fleet.cluster.kubernetes.swapping import Swapping
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


class Rig:
    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.swaps = []
        self.later = None
        self.takes = 0.0
        self.swapping = Swapping(self._swap)

    def _swap(self):
        self.swaps.append(round(self.loop.time(), 4))
        # As if reading had taken so long.
        self.loop._virtual.time += self.takes
        return self.later


@contextlib.asynccontextmanager
async def swapping():
    rig = Rig()
    task = asyncio.create_task(rig.swapping.run())
    yield rig
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_changes_that_come_together_make_one_snapshot():
    async with swapping() as rig:
        for _ in range(10):
            rig.swapping.changed()
            await asyncio.sleep(0.0001)
        await asyncio.sleep(1)
        assert rig.swaps == [0.003]
        rig.swapping.changed()
        await asyncio.sleep(1)
        assert len(rig.swaps) == 2


async def test_reading_takes_a_fifth_of_the_time_at_most():
    async with swapping() as rig:
        rig.takes = 0.1
        began = rig.loop.time()
        while rig.loop.time() - began < 60:
            rig.swapping.changed()
            await asyncio.sleep(0.01)
        assert 0.17 < len(rig.swaps) * rig.takes / 60 <= 0.21


async def test_a_write_does_not_wait_for_its_turn_and_several_share_a_snapshot():
    async with swapping() as rig:
        rig.takes = 0.1
        rig.swapping.changed()
        await asyncio.sleep(0.2)
        rig.swapping.changed()
        began = rig.loop.time()
        await asyncio.gather(*(rig.swapping.seen() for _ in range(5)))
        assert len(rig.swaps) == 2
        assert rig.swaps[1] == pytest.approx(began, abs=0.01)
        await rig.swapping.seen()
        assert len(rig.swaps) == 2


async def test_whoever_stops_waiting_stops_it_for_nobody_else():
    async with swapping() as rig:
        rig.swapping.changed()
        impatient = asyncio.create_task(rig.swapping.seen())
        patient = asyncio.create_task(rig.swapping.seen())
        await asyncio.sleep(0)
        impatient.cancel()
        await patient
        assert len(rig.swaps) == 1


async def test_what_changes_by_the_clock_alone_is_read_then():
    async with swapping() as rig:
        rig.later = 5.0
        rig.swapping.changed()
        await asyncio.sleep(1)
        assert rig.swaps == [0.003]
        # Another change in between: what is due then is said anew.
        rig.later = 3.0
        rig.swapping.changed()
        await asyncio.sleep(0.5)
        rig.later = None
        await asyncio.sleep(60)
        assert rig.swaps == [0.003, 1.003, 4.006]

"""The one timer for all who wait, on loops that behave as real ones do."""

import asyncio

import pytest

from fleet.model import Policy
from fleet.reasons import Reason
from tests.fakes.cluster import revision
from tests.sim.loop import VIRTUAL
from tests.sim.world import world

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


async def test_a_timer_set_for_now_may_be_no_timer(monkeypatch):
    # uvloop's: what is due within half a millisecond is a plain handle, which knows no time.
    loop = asyncio.get_running_loop()
    call_at = loop.call_at

    def as_uvloop(when: float, *callback, **options):
        if when - loop.time() < 0.003:
            return loop.call_soon(*callback, **options)
        return call_at(when, *callback, **options)

    monkeypatch.setattr(loop, "call_at", as_uvloop)
    async with world(start=60) as w:
        w.cluster.put(revision(policy=Policy(slots=4, wait_timeout=0.001)))
        clients = [w.call() for _ in range(3)]
        await asyncio.sleep(0.02)
        later = w.call()
        await asyncio.sleep(0.02)
        assert {client.reason for client in (*clients, later)} == {Reason.WAIT_TIMEOUT}
        assert w.line.waiting == 0

"""The one timer for all who wait, on loops that behave as real ones do."""

import asyncio

import pytest

from fleet.model import Policy
from fleet.reasons import Reason
from tests.fakes.cluster import revision
from tests.sim.loop import VIRTUAL
from tests.sim.world import REFUSED, Client, world

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


class Unreached(Client):
    """A guest to whom no connection is made, although the replica answers its probe."""

    def dispatched(self, ticket, seat) -> None:
        self.world.loop.call_later(0.001, self._refused, ticket)

    def _refused(self, ticket) -> None:
        if not self.line.again(ticket, REFUSED):
            self.ended_at = self.world.now
            self.line.leave(ticket)


async def test_a_request_that_reaches_no_replica_waits_no_longer_than_others():
    async with world() as w:
        w.cluster.put(revision(replicas=1, policy=Policy(slots=4, wait_timeout=5)))
        await asyncio.sleep(3)
        begun = w.now
        clients = [Unreached(w, service=0.1) for _ in range(3)]
        for client in clients:
            client.ticket = w.line.enter(client)
        await asyncio.sleep(20)
        for client in clients:
            assert client.ended_at is not None
            assert client.ended_at - begun == pytest.approx(5, abs=0.1)
        assert w.line.waiting == w.line.running == 0

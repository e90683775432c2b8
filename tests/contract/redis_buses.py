"""Processes that talk over one real Redis, in one event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from fleet.bus.redis.bus import Hears, RedisBus
from fleet.bus.redis.link import Address, Dial
from fleet.clock import LoopClock
from fleet.names import GatewayName
from tests.fakes.redis_server import RedisServer

__all__ = ["AUTOSCALER", "GATEWAY", "PREFIX", "address", "bus_of", "running", "soon"]

PREFIX = "ebbtide:"
GATEWAY, AUTOSCALER = frozenset({Hears.LEADER}), frozenset({Hears.GATEWAYS})


def address(server: RedisServer) -> Address:
    """Where it is; the default user may do everything, unless a test says otherwise."""
    return Address(host="127.0.0.1", port=server.port)


def bus_of(where: Address, name: GatewayName | None = None, *, prefix: str = PREFIX) -> RedisBus:
    """A gateway's, or without a name an autoscaler's."""
    hears = AUTOSCALER if name is None else GATEWAY
    return RedisBus(Dial(where), LoopClock(), prefix=prefix, hears=hears, name=name)


@contextlib.asynccontextmanager
async def running(*buses: RedisBus, connected: bool = True) -> AsyncIterator[None]:
    """All of them run, and have connected; a bus that raises fails the test."""
    tasks = [asyncio.ensure_future(bus.run()) for bus in buses]
    try:
        if connected:
            await soon(lambda: all(bus.state().connected for bus in buses))
        yield
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended


async def soon(condition: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Returns when it holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)

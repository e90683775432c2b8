"""Processes that talk over one real Redis, in one event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from fleet.bus.redis.bus import Hears, RedisBus
from fleet.bus.redis.link import Address, Dial
from fleet.clock import LoopClock
from fleet.names import GatewayName
from fleet.settings import Settings, read_settings
from tests.fakes.redis_server import RedisServer, redis_server
from tests.wire.secured import Authority

__all__ = [
    "ACL",
    "AUTOSCALER",
    "GATEWAY",
    "PREFIX",
    "TLS_URL",
    "address",
    "bus_of",
    "named",
    "running",
    "soon",
    "tls_server",
]

PREFIX = "ebbtide:"
GATEWAY, AUTOSCALER = frozenset({Hears.LEADER}), frozenset({Hears.GATEWAYS})
ACL = (
    "+time +ping +publish +subscribe +xadd +xread +xrevrange +pexpireat +zadd +zrange "
    "+zremrangebyscore"
)
"""What docs/redis.md allows."""
TLS_URL = "rediss://ebbtide:pa%3Ass%2Fw%40rd@localhost"
"""Of a `tls_server`, but for its port."""


@contextlib.contextmanager
def tls_server(folder: Path, *, asks: bool = False) -> Iterator[tuple[RedisServer, Authority]]:
    """One that speaks TLS alone, with one user as in docs/redis.md, and whose authority it is.

    `asks`: it wants a certificate of that authority from whoever comes.
    """
    folder.mkdir()
    authority = Authority(folder)
    files = ("cert", "key")
    made = authority.certificate("localhost", file="redis.pem")
    options = ["--tls-port", *(word for file in files for word in (f"--tls-{file}-file", made))]
    options += ["--tls-ca-cert-file", authority.trusted, "--tls-auth-clients", _word(asks)]
    options += ["--user", "default", "off"]
    options += ["--user", "ebbtide", "on", ">pa:ss/w@rd", "~ebbtide:*", "&ebbtide:*", *ACL.split()]
    with redis_server(folder / "redis", *options) as server:
        yield server, authority


def _word(yes: object) -> str:
    return "yes" if yes else "no"


def named(url: str, **files: str) -> Settings:
    """The settings that name a Redis, and `ca`, `cert` and `key` for it."""
    said = {f"EBBTIDE_REDIS_{name.upper()}": path for name, path in files.items()}
    return read_settings({"EBBTIDE_REDIS_URL": url, **said})


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

"""A real Redis that speaks TLS: who is trusted with the word, and what is said of who is not."""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.doctoring.facts import Level, Section
from ebbtide.doctoring.redis import ask_redis
from fleet.bus.redis.bus import RedisBus
from fleet.bus.redis.link import Dial, Link, address_of
from fleet.clock import LoopClock
from fleet.settings import Settings
from tests.contract.redis_buses import (
    GATEWAY as HEARS,
)
from tests.contract.redis_buses import (
    PREFIX,
    TLS_URL,
    bus_of,
    named,
    running,
    soon,
    tls_server,
)
from tests.contract.test_bus import GATEWAY
from tests.contract.test_redis_bus import exchanged
from tests.core.doctored import facts, said
from tests.fakes.redis_server import RedisServer, redis_server
from tests.wire.secured import Authority
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

Secured = tuple[RedisServer, Authority]
WRONG = {
    "another name": "IP address mismatch, certificate is not valid for '127.0.0.1'",
    "another authority": "self-signed certificate in certificate chain",
    "no authority of ours": "self-signed certificate in certificate chain",
    "another password": "AuthenticationError: invalid username-password pair",
    "nobody": "AuthenticationError: Authentication required",
    "no TLS here": "redis:// speaks no TLS: does that port?",
    "no TLS there": "rediss:// speaks TLS: does that port?",
}
"""What goes wrong, and what tells so."""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with tls_server(tmp_path_factory.mktemp("secured") / "redis") as made:
        yield made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("plain")) as made:
        yield made


@pytest.fixture
def wrong(
    request: pytest.FixtureRequest, secured: Secured, plain: RedisServer, tmp_path: Path
) -> Settings:
    """Settings with that wrong in them."""
    server, authority = secured
    ca = authority.trusted
    url = f"{TLS_URL}:{server.port}"
    nobody = f"//localhost:{server.port}"
    made = {
        "another name": named(url.replace("localhost", "127.0.0.1"), ca=ca),
        "another authority": named(url, ca=Authority(tmp_path).trusted),
        "no authority of ours": named(url),
        "another password": named(url.replace("pa%3A", "pb%3A"), ca=ca),
        "nobody": named(f"rediss:{nobody}", ca=ca),
        "no TLS here": named(f"redis:{nobody}"),
        "no TLS there": named(f"{TLS_URL}:{plain.port}", ca=ca),
    }
    return made[request.param]


def where(settings: Settings):
    found = address_of(settings)
    assert found is not None
    return found


class Thrice(LoopClock):
    """Lets three tries to connect go by, one right behind the other, and no more."""

    pauses = 0

    async def sleep(self, seconds: float) -> None:
        self.pauses += 1
        await super().sleep(0.0 if self.pauses < 3 else seconds + 3600.0)


@pytest.mark.parametrize(("wrong", "words"), WRONG.items(), indirect=["wrong"], ids=WRONG)
async def test_what_is_wrong_is_told_in_one_line_and_by_the_doctor(
    wrong, words, caplog, monkeypatch
):
    caplog.set_level(logging.INFO, logger="ebbtide")
    logging.getLogger("ebbtide").propagate = True
    if words == WRONG["no TLS there"]:
        # All that there is to it is silence.
        monkeypatch.setattr("fleet.bus.redis.link.PATIENCE_S", 0.2)
    clock = Thrice()
    bus = RedisBus(Dial(where(wrong)), clock, prefix=PREFIX, hears=HEARS, name=GATEWAY)
    async with running(bus, connected=False):
        await soon(lambda: clock.pauses == 3)
    told = [line for line in caplog.messages if line.startswith("bus_")]
    assert len(told) == 1, told
    assert told[0].startswith("bus_away")
    assert words in told[0]
    found = await ask_redis(wrong)
    (line,) = said(facts(redis=found), Section.REDIS, Level.ERROR)
    assert "does not answer: " in line
    assert words in line
    assert not [word for word in ("w@rd", "w%40rd") if word in f"{caplog.text}{line}"]


async def test_who_shows_no_certificate_of_ours_is_refused_where_one_is_asked_for(tmp_path):
    with tls_server(tmp_path / "redis", asks=True) as (server, authority):
        url, ca = f"{TLS_URL}:{server.port}", authority.trusted
        own = authority.certificate("gateway", file="own.pem")
        anyone, ours = where(named(url, ca=ca)), where(named(url, ca=ca, cert=own))
        refused, gateway, reader = bus_of(anyone), bus_of(ours, GATEWAY), bus_of(ours)
        async with running(refused, connected=False), running(gateway, reader):
            await exchanged(gateway, reader, 1)
            await soon(lambda: refused.state().why)
        assert refused.state().heard_at is None


async def test_an_authority_that_is_renewed_is_trusted_without_a_restart(secured, tmp_path):
    server, authority = secured
    ca = Path(Authority(tmp_path).trusted)
    settings = named(f"{TLS_URL}:{server.port}", ca=str(ca))
    bus = bus_of(where(settings), GATEWAY)
    async with running(bus, connected=False):
        await soon(lambda: "self-signed" in bus.state().why)
        shutil.copy(authority.trusted, ca)
        await soon(lambda: bus.state().connected)


async def test_files_for_tls_are_not_left_unused_and_what_is_no_such_file_is_named(tmp_path):
    (tmp_path / "text").write_text("no certificate")
    ca = Authority(tmp_path).trusted
    for url, file, words in (
        ("redis://localhost:1", ca, "redis://localhost:1/0: there are files for TLS"),
        ("rediss://localhost:1", f"{tmp_path}/none", f"({tmp_path}/none): [Errno 2] No such file"),
        ("rediss://localhost:1", f"{tmp_path}/text", f"({tmp_path}/text): [X509"),
    ):
        found = await ask_redis(named(url, ca=file))
        assert words in found.trouble


async def test_a_connection_is_dropped_at_once_from_one_that_hangs(secured):
    server, authority = secured
    link = Link(Dial(where(named(f"{TLS_URL}:{server.port}", ca=authority.trusted))), ["ebbtide:x"])

    def sockets():
        with os.scandir("/proc/self/fd") as found:
            return sum(_target(one.path).startswith("socket:") for one in found)

    before = sockets()
    await link.open()
    opened = sockets()
    with server.hanging():
        await link.close()
        await soon(lambda: sockets() == before, seconds=3.0)
    assert opened == before + 2


def _target(path):
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""

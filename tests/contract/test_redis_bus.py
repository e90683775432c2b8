"""The bus under a real Redis that is killed, hangs, fills up, refuses, or says odd things."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.bus.redis.bus import Lost
from fleet.bus.redis.link import Address, Dial, Link
from fleet.bus.redis.outbox import Outbox
from fleet.bus.redis.parcels import written
from fleet.channel.messages import Poked
from fleet.clock import LoopClock
from fleet.errors import UnavailableError
from fleet.messages import Look
from fleet.names import GatewayName
from tests.contract.redis_buses import ACL, address, bus_of, running, soon
from tests.contract.test_bus import GATEWAY, A, B, entry, sample
from tests.fakes.redis_server import RedisServer, redis_server
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as made:
        yield made


async def exchanged(gateway, reader, waiting: int) -> None:
    """A sample, a poke and a look come through, once both are in touch."""
    await soon(lambda: gateway.state().connected and reader.state().connected)
    pokes: list[str] = []
    end = reader.on_poke(pokes.append)
    gateway.publish(sample(waiting=waiting))
    await soon(lambda: GATEWAY in reader.samples())
    await soon(lambda: reader.samples()[GATEWAY].sample == sample(waiting=waiting))
    # One may get lost while connections change: whoever waits pokes again.
    await soon(lambda: A in pokes or gateway.poke(A))
    end()
    reader.looked(Look(term=1, number=waiting))
    await soon(lambda: (heard := gateway.last_look()) and heard.look.number == waiting)


async def test_killed_and_started_empty_it_is_told_everything_anew(server):
    gateway, reader = bus_of(address(server), GATEWAY), bus_of(address(server))
    async with running(gateway, reader):
        await exchanged(gateway, reader, 1)
        server.end()
        await soon(lambda: not gateway.state().connected and not reader.state().connected)
        # Nothing raises, nothing waits; what was known is known.
        gateway.append(entry(A, 7))
        assert reader.samples()[GATEWAY].sample == sample(waiting=1)
        assert gateway.tail(1) == [entry(A, 7)]
        server.start()
        await exchanged(gateway, reader, 2)
        await soon(lambda: entry(A, 7) in reader.tail(10))


async def test_while_it_hangs_nothing_waits_and_what_is_read_later_has_its_age(server):
    gateway, reader = bus_of(address(server), GATEWAY), bus_of(address(server))
    async with running(gateway, reader):
        await exchanged(gateway, reader, 1)
        with server.hanging():
            before = LoopClock().now()
            for number in range(2000):
                gateway.publish(sample(waiting=number))
                gateway.poke(A)
                gateway.append(entry(A, number))
            assert LoopClock().now() - before < 2.0
            said_at = LoopClock().now()
            await soon(lambda: not gateway.state().connected)
        await soon(lambda: gateway.state().connected and reader.state().connected)
        await soon(lambda: reader.samples()[GATEWAY].sample == sample(waiting=1999))
        assert reader.samples()[GATEWAY].at <= said_at + 0.5
        assert gateway.state().lost[Lost.CROWDED] >= 1000
        await exchanged(gateway, reader, 3)


async def test_full_it_is_told_of_once_and_everything_anew_when_there_is_room(server, caplog):
    gateway, reader = bus_of(address(server), GATEWAY), bus_of(address(server))
    caplog.set_level(logging.INFO, logger="ebbtide")
    logging.getLogger("ebbtide").propagate = True
    async with running(gateway, reader):
        await exchanged(gateway, reader, 1)
        server.ask("CONFIG", "SET", "maxmemory", "1")
        pokes: list[str] = []
        reader.on_poke(pokes.append)
        for number in range(5):
            gateway.publish(sample(waiting=10 + number))
            gateway.poke(B)
            await asyncio.sleep(0.1)
        await soon(lambda: "XADD" in gateway.state().why)
        await soon(lambda: B in pokes)
        assert gateway.state().connected
        server.ask("CONFIG", "SET", "maxmemory", "0")
        await exchanged(gateway, reader, 3)
        await soon(lambda: gateway.state().why == "")
    told = [one for one in caplog.messages if one.startswith("bus_refused")]
    assert 1 <= len(told) <= 4


async def test_no_more_connections_or_another_password_is_said_and_got_over(server, caplog):
    server.ask("ACL", "SETUSER", "admin", "on", ">secret", "~*", "&*", "+@all")
    server.user = ("admin", "secret")
    server.ask("CONFIG", "SET", "requirepass", "first")
    where = replace(address(server), password="first")
    gateway, reader = bus_of(where, GATEWAY), bus_of(where)
    caplog.set_level(logging.INFO, logger="ebbtide")
    logging.getLogger("ebbtide").propagate = True
    async with running(gateway, reader):
        await exchanged(gateway, reader, 1)
        server.ask("CONFIG", "SET", "requirepass", "other")
        server.ask("CLIENT", "KILL", "USER", "default")
        await soon(lambda: "Authentication" in gateway.state().why)
        server.ask("CONFIG", "SET", "requirepass", "first")
        await exchanged(gateway, reader, 2)
        with contextlib.closing(server.client()) as client:
            client.execute_command("CONFIG", "SET", "maxclients", "1")
            client.execute_command("CLIENT", "KILL", "USER", "default")
            await soon(lambda: "max number of clients" in gateway.state().why)
            client.execute_command("CONFIG", "SET", "maxclients", "100")
        await exchanged(gateway, reader, 3)
    assert "first" not in caplog.text
    assert "secret" not in caplog.text


async def test_a_password_is_not_told_though_the_server_repeats_it(tmp_path):
    with redis_server(tmp_path / "odd", "--rename-command", "AUTH", "") as odd:
        link = Link(Dial(replace(address(odd), username="ebbtide", password="s3cret")), ["x"])
        with pytest.raises(UnavailableError, match="unknown command") as refused:
            await link.open()
        await link.close()
    assert "ebbtide" in str(refused.value), "it repeats what it was given"
    assert "s3cret" not in str(refused.value)


async def test_the_access_list_in_the_docs_is_enough(server):
    server.ask("ACL", "SETUSER", "ebbtide", "on", ">word", "~ebbtide:*", "&ebbtide:*", *ACL.split())
    page = (Path(__file__).parents[2] / "docs" / "redis.md").read_text()
    assert ACL in " ".join(page.split())
    where = replace(address(server), username="ebbtide", password="word")
    gateway, reader = bus_of(where, GATEWAY), bus_of(where)
    async with running(gateway, reader):
        gateway.append(entry(A, 1))
        await exchanged(gateway, reader, 1)
        await soon(lambda: entry(A, 1) in reader.tail(10))
        assert gateway.state().why == reader.state().why == ""
        other = bus_of(where, GatewayName("g2"), prefix="elsewhere:")
        async with running(other, connected=False):
            other.publish(sample(waiting=1, gateway=GatewayName("g2")))
            await soon(lambda: "NoPermission" in other.state().why)


async def test_what_is_malformed_or_in_another_s_name_is_counted_and_left_out(server):
    gateway, reader = bus_of(address(server), GATEWAY), bus_of(address(server))
    async with running(gateway, reader):
        await exchanged(gateway, reader, 1)
        server.ask("XADD", "ebbtide:gateway:g1", "*", "m", b"\xff{")
        server.ask("XADD", "ebbtide:journal", "*", "other", "1")
        server.ask("PUBLISH", "ebbtide:pokes", "[" * 10000)
        server.ask("SET", "ebbtide:gateway:text", "no stream")
        for name in ("gateway:text", "gateway:ghost", "nonsense", "leader:x"):
            server.ask("ZADD", "ebbtide:logs", 2**53, name)
        told = server.ask("XRANGE", "ebbtide:gateway:g1", "-", "+")
        forged = told[0][1][b"m"]  # type: ignore[index]
        server.ask("XADD", "ebbtide:gateway:ghost", "*", "m", forged)
        await soon(lambda: reader.state().lost[Lost.ODD] >= 4)
        assert list(reader.samples()) == [GATEWAY]
        await exchanged(gateway, reader, 2)


async def test_what_nobody_keeps_any_more_expires_and_the_journal_is_bounded(server, monkeypatch):
    monkeypatch.setattr("fleet.bus.redis.saying.MOST_LINES", 100)
    gateway, reader = bus_of(address(server), GATEWAY), bus_of(address(server))
    async with running(gateway, reader):
        await exchanged(gateway, reader, 1)
        for stream in ("ebbtide:gateway:g1", "ebbtide:leader:1"):
            left = server.ask("PTTL", stream)
            assert isinstance(left, int)
            assert 0 < left <= 10_000, stream
        for number in range(1000):
            gateway.append(entry(A, number))
        await soon(lambda: reader.tail(1) == [entry(A, 999)])
        kept = server.ask("XLEN", "ebbtide:journal")
        assert isinstance(kept, int)
        # Redis lets go of a node of a hundred at a time.
        assert 100 <= kept <= 300


async def test_a_redis_that_was_never_there_costs_nothing_but_a_line(tmp_path):
    gateway = bus_of(Address(host="127.0.0.1", port=1), GATEWAY)
    async with running(gateway, connected=False):
        gateway.publish(sample(waiting=1))
        await soon(lambda: gateway.state().why)
        assert gateway.samples()[GATEWAY].sample == sample(waiting=1)
        assert not gateway.state().connected


async def test_an_outbox_is_bounded():
    box = Outbox("life")
    for number in range(5000):
        box.append(replace(entry(A, number), message="x" * 100_000))
    assert len(box.lines(10_000)) == 1000
    assert box.lost == 4000
    assert len(box.lines(1)[0].entry.message) < 5000


async def test_a_listener_that_fails_ends_nothing_and_is_counted_and_logged_once(server, caplog):
    def fail(news: object) -> None:
        raise OverflowError(news)

    gateway, reader = bus_of(address(server), GATEWAY), bus_of(address(server))
    reader.on_poke(fail)
    reader.on_report(fail)
    async with running(gateway, reader):
        for number in range(1, 4):
            lost = reader.state().lost[Lost.FAILED]
            gateway.poke(A)
            gateway.publish(sample(waiting=number))
            await soon(lambda told=lost: reader.state().lost[Lost.FAILED] >= told + 2)
        await soon(lambda: reader.samples()[GATEWAY].sample == sample(waiting=3))
    logged = [record.getMessage() for record in caplog.records]
    for what in ("a poke", "a sample"):
        assert len([line for line in logged if f"{what}, when told" in line]) == 1


async def test_a_poke_alone_is_told_at_once_and_asks_redis_nothing(server):
    reader = bus_of(address(server))
    pokes: list[str] = []
    reader.on_poke(pokes.append)
    async with running(reader):
        rounds = 0
        talk = reader._talking._round

        async def counted(*args, **kwargs):
            nonlocal rounds
            rounds += 1
            await talk(*args, **kwargs)

        reader._talking._round = counted
        for number in range(1, 6):
            server.ask("PUBLISH", "ebbtide:pokes", written(Poked(revision=A)))
            await soon(lambda told=number: len(pokes) == told)
        # One for each, and a beat or two.
        assert rounds <= 10

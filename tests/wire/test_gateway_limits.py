"""Limits on the request port: per address, by precedence and turn, and what is held in memory."""

import asyncio
import gc

import pytest

from fleet.model import Policy, WarmUp
from fleet.settings import Settings
from gateway.core.keys import Key, key_line
from gateway.http.inbound import Inbound
from tests.wire.scripts import Gate
from tests.wire.stage import BOTH_LOOPS, CHUNKED, INFER, ONE, infer, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


async def test_one_address_has_as_many_connections_as_it_may():
    async with stage(settings=Settings(max_connections_per_address=2)) as s:
        first, second = await s.client(), await s.client()
        for client in (first, second):
            client.send(infer())
            assert (await client.answer()).status == 200
        third = await s.client()
        found = await third.answer()
        assert (found.status, found.field("ebbtide-reason")) == (429, "address_connections_full")
        assert found.field("retry-after") == "1"
        assert await third.closed()
        await first.leave()
        await s.until(lambda: s.front.connections == 1)
        assert (await s.call(infer())).status == 200
        await second.leave()
        await s.until(lambda: s.front.connections == 0)
        assert len(s.front._context.door.addresses) == 0


async def test_a_trusted_peer_has_as_many_connections_as_it_likes():
    settings = Settings(max_connections_per_address=1, trusted_peers="127.0.0.0/8")
    async with stage(settings=settings) as s:
        clients = [await s.client() for _ in range(3)]
        for client in clients:
            client.send(infer())
            assert (await client.answer()).status == 200


async def waiting(s, client, number: int, request: bytes) -> None:
    client.send(request)
    await s.until(lambda: s.line.waiting == number)


def wake(s) -> None:
    for replica in s.cluster.fleet().of(s.line.revision.name):
        s.cluster.open(replica.name)


@pytest.mark.parametrize("trusted", [True, False])
async def test_precedence_is_for_whom_a_trusted_peer_gives_it(trusted):
    settings = Settings(trusted_peers="127.0.0.0/8" if trusted else "")
    async with stage(policy=ONE, settings=settings) as s:
        s.recorder.script = gate = Gate()
        clients = [await s.client() for _ in range(3)]
        clients[0].send(infer(b"running"))
        await s.recorder.seen(1)
        await waiting(s, clients[1], 1, infer(b"usual"))
        await waiting(s, clients[2], 2, infer(b"urgent", b"Ebbtide-Precedence: 3\r\n"))
        gate.open.set()
        for client in clients:
            assert (await client.answer()).status == 200
        later = [b"urgent", b"usual"] if trusted else [b"usual", b"urgent"]
        assert [one.body for one in s.recorder.requests] == [b"running", *later]
        assert not [head for head in s.recorder.heads if "recedence" in head]


async def test_a_precedence_that_is_no_number_is_told_to_whoever_may_give_one():
    async with stage(settings=Settings(trusted_peers="127.0.0.0/8")) as s:
        found = await s.call(infer(extra=b"Ebbtide-Precedence: high\r\n"))
        assert found.status == 400
    async with stage() as s:
        assert (await s.call(infer(extra=b"Ebbtide-Precedence: high\r\n"))).status == 200


@pytest.mark.parametrize("how", ["keys", "forwarded"])
async def test_callers_of_one_model_take_turns(tmp_path, how):
    names = ("burst", "other")
    if how == "keys":
        path = tmp_path / "keys"
        path.write_text("\n".join(key_line(f"secret-{name}", Key(name=name)) for name in names))
        settings = Settings(api_keys=str(path))
        extras = [b"Ebbtide-Key: secret-%b\r\n" % name.encode() for name in names]
    else:
        settings = Settings(trusted_peers="127.0.0.0/8")
        extras = [b"X-Forwarded-For: 192.0.2.%d\r\n" % number for number in range(2)]
    async with stage(policy=ONE, settings=settings) as s:
        s.recorder.script = gate = Gate()
        clients = [await s.client() for _ in range(6)]
        clients[0].send(infer(b"running", extras[0]))
        await s.recorder.seen(1)
        for number, client in enumerate(clients[1:5], start=1):
            await waiting(s, client, number, infer(b"burst %d" % number, extras[0]))
        await waiting(s, clients[5], 5, infer(b"other", extras[1]))
        gate.open.set()
        for client in clients:
            assert (await client.answer()).status == 200
        order = [b"running", b"burst 1", b"other", b"burst 2", b"burst 3", b"burst 4"]
        assert [one.body for one in s.recorder.requests] == order


async def test_what_waits_is_counted_once_and_given_back():
    async with stage(awake=False, start=1000.0) as s:
        room = s.hall.room
        for body in (b"x" * 10_000, b""):
            client = await s.client()
            client.send(INFER + b"Content-Length: 20000\r\n\r\n" + body)
        chunked = await s.client()
        chunked.send(CHUNKED + b"1388\r\n" + b"x" * 5000 + b"\r\n")
        await s.until(lambda: room.held == 15_000)
        await s.until(lambda: s.line.waiting == 2)
        assert (room.waiting_bytes, room.gathered) == (10_000, 5000)
        # The rest completes it: it gets in line, and its bytes with it.
        chunked.send(b"0\r\n\r\n")
        await s.until(lambda: s.line.waiting == 3)
        assert (room.waiting_bytes, room.gathered) == (15_000, 0)
        for client in s.clients:
            client.abort()
        await s.until(s.idle)
        assert (room.waiting, room.held) == (0, 0)


async def test_where_there_is_no_room_the_body_stays_in_the_socket_or_is_refused():
    async with stage(awake=False, start=1000.0, settings=Settings(held_bodies=6000)) as s:
        room = s.hall.room
        filling = await s.client()
        filling.send(INFER + b"Content-Length: 200000\r\n\r\n" + b"x" * 5000)
        await s.until(lambda: s.line.waiting == 1)
        assert room.held == 5000
        # Of this one nothing has been read when it gets in line, and nothing is until it runs.
        patient = await s.client()
        patient.send(INFER + b"Content-Length: 5000\r\n\r\n")
        await s.until(lambda: s.line.waiting == 2)
        patient.send(b"y" * 5000)
        # Unknown length: there is no room for the first 64 KiB, so it is not read any further.
        chunked = await s.client()
        chunked.send(CHUNKED + b"5\r\nzzzzz\r\n")
        await s.until(lambda: s.line.waiting == 3)
        assert room.held == 5005
        # What has been read already cannot go back.
        hasty = await s.client()
        hasty.send(INFER + b"Content-Length: 5000\r\n\r\n" + b"h" * 5000)
        found = await hasty.answer()
        assert (found.status, found.field("ebbtide-reason")) == (503, "held_bodies_full")
        chunked.send(b"0\r\n\r\n")
        wake(s)
        assert (await patient.answer()).status == 200
        assert (await chunked.answer()).status == 200
        filling.send(b"x" * 195_000)
        assert (await filling.answer()).status == 200
        assert sorted(one.body[:1] for one in s.recorder.requests) == [b"x", b"y", b"z"]
        await s.until(s.idle)
        assert room.held == 0


@pytest.mark.parametrize(
    ("size", "budget", "kept", "status"),
    [(40_000, 100_000, 40_000, 200), (40_000, 30_000, 0, 502), (10_000, 30_000, 0, 200)],
    ids=["room to keep it", "no room to keep it", "too small to count"],
)
async def test_what_is_kept_to_be_sent_again_is_counted_and_dropped_where_it_has_no_room(
    size, budget, kept, status
):
    async with stage(policy=ONE, settings=Settings(held_bodies=budget)) as s:
        room, held = s.hall.room, []
        broken = asyncio.Event()

        async def breaks(request, writer):
            held.append(room.held)
            if not broken.is_set():
                broken.set()
                writer.transport.abort()
                return
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        s.recorder.script = breaks
        assert (await s.call(infer(b"x" * size))).status == status
        assert held == [kept] * (2 if status == 200 else 1)
        await s.until(s.idle)
        assert room.held == 0


async def test_what_waits_to_be_sent_again_is_counted_once():
    async with stage(policy=ONE) as s:
        room = s.hall.room
        (seat,) = s.line.ledger.seats.values()

        async def breaks(request, writer):
            s.server.dead.add(seat.host)
            writer.transport.abort()

        s.recorder.script = breaks
        client = await s.client()
        client.send(infer(b"x" * 40_000))
        await s.until(lambda: s.line.waiting == 1)
        assert (room.waiting_bytes, room.gathered) == (40_000, 0)
        s.recorder.script = gate = Gate()
        s.server.dead.clear()
        await s.recorder.seen(2)
        assert (room.waiting_bytes, room.gathered) == (0, 40_000)
        gate.open.set()
        assert (await client.answer()).status == 200
        await s.until(lambda: room.held == 0)


async def test_200_held_posts_whose_clients_leave_reach_no_replica_and_leave_nothing():
    policy = Policy(slots=4, warm_up=WarmUp.NONE, queue_limit_bytes=2**30)
    async with stage(awake=False, start=1000.0, policy=policy) as s:
        room = s.hall.room
        clients = [await s.client() for _ in range(200)]
        for number, client in enumerate(clients):
            # Half of them have sent all of their body.
            whole = 20_000 if number % 2 else 40_000
            client.send(INFER + b"Content-Length: %d\r\n\r\n" % whole + b"x" * 20_000)
        await s.until(lambda: s.line.waiting == 200)
        assert room.waiting == 200
        # What lies in a socket behind the first read is not in memory, and not counted.
        assert 0 < room.held <= 200 * 20_000
        for client in clients:
            client.abort()
        await s.until(s.idle)
        await s.until(lambda: s.front.connections == 0)
        assert (room.waiting, room.held, len(s.front._context.watch)) == (0, 0, 0)
        assert s.line.revision.replicas == 1, "a wake that was written is carried on"
        wake(s)
        assert (await s.call(infer(b"next"))).status == 200
        assert [one.body for one in s.recorder.requests] == [b"next"]


async def test_connections_that_end_need_no_garbage_collector():
    def inbounds() -> int:
        return sum(type(one) is Inbound for one in gc.get_objects())

    async with stage(awake=False, start=1000.0) as s:
        gc.collect()
        before = inbounds()
        gc.disable()
        try:
            clients = [await s.client() for _ in range(20)]
            for client in clients:
                client.send(infer())
            await s.until(lambda: s.line.waiting == 20)
            assert inbounds() == before + 20
            for client in clients:
                client.abort()
            del client
            await s.until(s.idle)
            # They would make a storm's memory grow until enough of them are there to look at.
            await s.until(lambda: inbounds() == before)
        finally:
            gc.enable()


async def test_a_full_queue_keeps_nobody_else_out(tmp_path):
    path = tmp_path / "keys"
    path.write_text("\n".join(key_line(name, Key(name=name)) for name in ("many", "one")))
    policy = Policy(slots=1, queue_limit=3, warm_up=WarmUp.NONE)
    async with stage(policy=policy, settings=Settings(api_keys=str(path))) as s:
        s.recorder.script = gate = Gate()
        many, one = b"Ebbtide-Key: many\r\n", b"Ebbtide-Key: one\r\n"
        clients = [await s.client() for _ in range(6)]
        clients[0].send(infer(b"running", many))
        await s.recorder.seen(1)
        for number in range(1, 4):
            await waiting(s, clients[number], number, infer(b"many %d" % number, many))
        clients[4].send(infer(b"one", one))
        assert (await clients[3].answer()).field("ebbtide-reason") == "queue_full"
        # It has a place now: no other is taken for it.
        clients[5].send(infer(b"another", one))
        assert (await clients[5].answer()).field("ebbtide-reason") == "queue_full"
        assert s.line.waiting == 3
        gate.open.set()
        for number in (0, 1, 2, 4):
            assert (await clients[number].answer()).status == 200
        bodies = [one.body for one in s.recorder.requests]
        assert bodies == [b"running", b"many 1", b"one", b"many 2"]
        await s.until(s.idle)

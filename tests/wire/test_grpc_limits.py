"""The same limits for calls over HTTP/2: keys, turns, connections per address, what is held."""

import pytest

from fleet.settings import Settings
from gateway.core.keys import Key, key_line
from tests.fakes.http2 import message
from tests.wire.grpcstage import INFER, READY, calls, named
from tests.wire.stage import BOTH_LOOPS, ONE, infer

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

UNAUTHENTICATED, NOT_FOUND, EXHAUSTED, UNAVAILABLE = "16", "5", "8", "14"
LIVE = "/inference.GRPCInferenceService/ServerLive"
CHECK = "/grpc.health.v1.Health/Check"


@pytest.fixture
def keyed(tmp_path):
    """Settings with keys for everything, and for a model that is not there."""
    path = tmp_path / "keys"
    lines = [
        key_line("secret-all", Key(name="all")),
        key_line("secret-two", Key(name="two")),
        key_line("secret-other", Key(name="other", models=("other",))),
    ]
    path.write_text("\n".join(lines))
    return Settings(api_keys=str(path))


async def told(client, method: str, data: bytes, *extra):
    number = client.call(method, extra=list(extra))
    client.data(number, data, end=True)
    return await client.over(number)


def key(secret: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {secret}")


async def test_a_key_is_asked_for_and_kept_from_the_replica(keyed):
    async with calls(settings=keyed) as on:
        client = await on.client()
        for extra, reason in (((), "key_missing"), ((key("secret-al"),), "key_wrong")):
            found = await told(client, INFER, named("demo"), *extra)
            assert found.status == UNAUTHENTICATED
            assert found.head["ebbtide-reason"] == reason
        own = ("authorization", "Bearer for-the-server")
        for extra in ((key("secret-all"),), (("ebbtide-key", "secret-all"), own)) * 2:
            assert (await told(client, INFER, named("demo"), *extra)).status == "0"
        heads = [call.head for call in on.replica.calls]
        assert [head.get("authorization") for head in heads] == [None, own[1]] * 2
        assert not [head for head in heads if "ebbtide-key" in head]
        await on.idle()


async def test_a_model_that_a_key_may_not_call_does_not_exist_for_it(keyed):
    async with calls(settings=keyed) as on:
        client = await on.client()
        for method in (INFER, READY):
            hidden, absent = [
                await told(client, method, named(name), key("secret-other"))
                for name in ("demo", "absent")
            ]
            assert hidden.status == NOT_FOUND
            assert hidden.head == absent.head
        by_name = await told(
            client, INFER, named("demo"), key("secret-other"), ("ebbtide-model", "demo")
        )
        assert by_name.head["ebbtide-reason"] == "unknown_model"
        assert not on.replica.calls


async def test_health_stands_open_but_not_a_models(keyed):
    async with calls(settings=keyed) as on:
        client = await on.client()
        assert (await told(client, LIVE, message(b""))).status == "0"
        assert (await told(client, CHECK, message(b""))).status == "0"
        of_model = message(b"\x0a\x04demo")
        assert (await told(client, CHECK, of_model)).status == NOT_FOUND
        assert (await told(client, CHECK, of_model, key("secret-all"))).status == "0"


async def test_keys_that_come_hold_for_an_open_connection(keyed):
    async with calls() as on:
        client = await on.client()
        assert (await told(client, INFER, named("demo"))).status == "0"
        on.stage.front.reload(keyed)
        assert (await told(client, INFER, named("demo"))).status == UNAUTHENTICATED


async def test_callers_of_one_connection_take_turns(keyed):
    async with calls(settings=keyed, awake=False, start=1000.0, policy=ONE) as on:
        client = await on.client()
        numbers = []
        for count, (secret, text) in enumerate(
            [("all", b"1"), ("all", b"2"), ("all", b"3"), ("two", b"4")], start=1
        ):
            numbers.append(number := client.call(INFER, extra=[key(f"secret-{secret}")]))
            client.data(number, named("demo", b"\x1a\x01" + text), end=True)
            await on.waiting(count)
        for replica in on.stage.cluster.fleet().of(on.line.revision.name):
            on.stage.cluster.open(replica.name)
        for number in numbers:
            assert (await client.over(number)).status == "0"
        assert [bytes(call.data)[-1:] for call in on.replica.calls] == [b"1", b"4", b"2", b"3"]


async def test_connections_of_both_protocols_share_an_addresss_limit():
    async with calls(settings=Settings(max_connections_per_address=1)) as on:
        client = await on.client()
        assert (await told(client, INFER, named("demo"))).status == "0"
        found = await (await on.stage.client()).answer()
        assert (found.status, found.field("ebbtide-reason")) == (429, "address_connections_full")
        await client.close()
        await on.stage.until(lambda: on.stage.front.connections == 0)
        assert len(on.stage.front._context.door.addresses) == 0
        assert (await on.stage.call(infer(b"{", b"X: y\r\n"))).status != 429


async def test_a_caller_that_has_woken_enough_is_told_when_to_come_back():
    async with calls(awake=False, start=1000.0) as on:
        on.stage.hall.reload(Settings(caller_wakes=1))
        on.stage.hall._wakes.spend("addr:127.0.0.1", on.stage.hall._clock.now())
        found = await told(await on.client(), INFER, named("demo"))
        assert (found.status, found.head["ebbtide-reason"]) == (EXHAUSTED, "too_many_wakes")
        assert int(found.head["grpc-retry-pushback-ms"]) > 3_000_000


async def test_what_is_held_is_counted_once_bounded_and_given_back():
    settings = Settings(held_bodies=20_000)
    async with calls(awake=False, start=1000.0, settings=settings) as on:
        room, client = on.stage.hall.room, await on.client()
        whole = client.call(INFER)
        client.data(whole, named("demo", b"\x1a\x82\x20" + b"x" * 4098), end=True)
        await on.waiting(1)
        held = room.held
        assert (held, room.gathered) == (room.waiting_bytes, 0)
        assert held > 4098
        begun = client.call(INFER)
        # A message of 10,000 bytes, of which these are the first.
        client.data(begun, bytes((0, 0, 0, 0x27, 0x10)) + b"\x0a\x04demo" + b"x" * 1000)
        await on.waiting(2)
        client.data(begun, b"x" * 2000)
        await on.stage.until(lambda: room.held == held + 3011)
        assert room.gathered == 2000
        large = client.call(INFER)
        client.data(large, bytes((0, 0, 0, 0x7D, 0x00)) + b"\x0a\x04demo" + b"x" * 13_000)
        found = await client.over(large)
        assert (found.status, found.head["ebbtide-reason"]) == (UNAVAILABLE, "held_bodies_full")
        await client.close()
        await on.idle()
        assert (room.waiting, room.held) == (0, 0)


async def test_a_connection_has_as_many_calls_as_the_setting_says() -> None:
    settings = Settings(max_calls_per_connection=2)
    async with calls(awake=False, start=1000.0, settings=settings) as on:
        client = await on.client()
        await client.settled()
        assert client.theirs[3] == 2
        numbers = [client.call(INFER) for _ in range(3)]
        told = await client.over(numbers[2])
        assert told.reset == 7
        assert not any(client.told[number].over for number in numbers[:2])


async def test_health_is_not_watched_and_clients_are_told_so() -> None:
    """By any other status they would take the gateway for one that does not serve."""
    async with calls(awake=False) as on:
        client = await on.client()
        number = client.call("/grpc.health.v1.Health/Watch")
        client.data(number, message(b""), end=True)
        assert (await client.over(number)).status == "12"
        await on.idle()


async def test_calls_with_deadlines_have_their_heads_read_once():
    async with calls() as on:
        client = await on.client()
        for deadline in ("5S", "4999m", "4998m"):
            found = await told(client, INFER, named("demo"), ("grpc-timeout", deadline))
            assert found.status == "0"
        assert len(on.stage.front._context.call_heads) == 1

"""What a replica is told of the hops a call took, in its metadata."""

import pytest

from fleet.settings import Settings
from tests.wire.grpcstage import INFER, calls, named
from tests.wire.secured import Authority
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

SAID = [("x-forwarded-for", "198.51.100.1"), ("forwarded", "for=198.51.100.1")]


async def sent(on, extra=SAID) -> dict[str, str]:
    """The metadata that reached the replica, of two calls on one connection and one on another."""
    one, other = await on.client(), await on.client()
    for client in (one, one, other):
        number = client.call(INFER, extra=extra)
        client.data(number, named("demo"), end=True)
        assert (await client.over(number)).status == "0"
    first, second, third = (told.fields for told in on.replica.calls)
    assert first == second == third
    return dict(first)


async def test_by_default_nothing_is_told_but_via() -> None:
    async with calls() as on:
        fields = await sent(on)
        assert fields["x-forwarded-for"] == "198.51.100.1"
        assert fields["forwarded"] == "for=198.51.100.1"
        assert fields["via"] == "2.0 ebbtide"


async def test_a_stranger_speaks_for_nobody() -> None:
    async with calls(settings=Settings(forwarded="x-forwarded", via="")) as on:
        fields = await sent(on)
        assert fields["x-forwarded-for"] == "127.0.0.1"
        assert fields["x-forwarded-proto"] == "http"
        assert fields["x-forwarded-host"] == "gw"
        assert not {"forwarded", "via"} & set(fields)


async def test_a_trusted_peer_speaks_for_others() -> None:
    settings = Settings(forwarded="forwarded", trusted_peers="127.0.0.0/8")
    async with calls(settings=settings) as on:
        fields = await sent(on)
        assert fields["forwarded"] == 'for=198.51.100.1, for=127.0.0.1;host="gw";proto=http'
        assert fields["x-forwarded-for"] == "198.51.100.1"


async def test_a_loop_is_cut_and_wakes_nothing() -> None:
    async with calls(awake=False) as on:
        client = await on.client()
        for _ in range(2):
            number = client.call(
                INFER, extra=[("via", "2.0 ebbtide, 1.1 other"), ("via", "2.0 Ebbtide")]
            )
            client.data(number, named("demo"), end=True)
            told = await client.over(number)
            assert (told.status, told.head["ebbtide-reason"]) == ("13", "request_loop")
        assert on.stage.idle()
        assert not on.replica.calls


async def test_over_tls_the_scheme_is_told(tmp_path) -> None:
    authority = Authority(tmp_path)
    settings = authority.settings(forwarded="x-forwarded")
    tls = authority.client()
    tls.set_alpn_protocols(["h2"])
    async with calls(settings=settings, tls=tls) as on:
        assert (await sent(on))["x-forwarded-proto"] == "https"


async def test_a_credential_stays_one_that_is_never_indexed() -> None:
    async with calls() as on:
        assert (await sent(on, [("authorization", "Basic eA==")]))["authorization"] == "Basic eA=="

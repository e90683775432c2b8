"""What a replica is told of the hops a request took, and requests that go round in a loop."""

import pytest

from fleet.settings import Settings
from tests.wire.secured import Authority
from tests.wire.stage import infer, stage

pytestmark = pytest.mark.anyio

SAID = b"X-Forwarded-For: 198.51.100.1\r\nForwarded: for=198.51.100.1\r\n"


async def sent(s, extra: bytes = SAID) -> dict[str, str]:
    """The fields that reached the replica, of two requests on one connection and one on another."""
    one, other = await s.client(), await s.client()
    for client in (one, one, other):
        client.send(infer(extra=extra))
        assert (await client.answer()).status == 200
    first, second, third = (dict(request.fields) for request in s.recorder.requests)
    assert first == second == third
    return first


async def test_by_default_nothing_is_told_but_via():
    async with stage() as s:
        fields = await sent(s)
        assert fields["X-Forwarded-For"] == "198.51.100.1"
        assert fields["Forwarded"] == "for=198.51.100.1"
        assert fields["Via"] == "1.1 ebbtide"


async def test_a_stranger_speaks_for_nobody():
    async with stage(settings=Settings(forwarded="x-forwarded", via="")) as s:
        fields = await sent(s)
        assert fields["X-Forwarded-For"] == "127.0.0.1"
        assert fields["X-Forwarded-Proto"] == "http"
        assert fields["X-Forwarded-Host"] == "gw"
        assert "Forwarded" not in fields
        assert "Via" not in fields


async def test_a_trusted_peer_speaks_for_others():
    settings = Settings(forwarded="forwarded", trusted_peers="127.0.0.0/8")
    async with stage(settings=settings) as s:
        fields = await sent(s)
        assert fields["Forwarded"] == 'for=198.51.100.1, for=127.0.0.1;host="gw";proto=http'
        assert fields["X-Forwarded-For"] == "198.51.100.1"


async def test_a_loop_is_cut_and_wakes_nothing():
    async with stage(awake=False) as s:
        client = await s.client()
        for _ in range(2):
            client.send(infer(extra=b"Via: 1.1 ebbtide, 1.1 other\r\nVia: 1.1 ebbtide\r\n"))
            found = await client.answer()
            assert (found.status, found.field("ebbtide-reason")) == (508, "request_loop")
        assert s.idle()
        assert not s.recorder.heads


async def test_over_tls_the_scheme_is_told(tmp_path):
    authority = Authority(tmp_path)
    settings = authority.settings(forwarded="x-forwarded")
    async with stage(settings=settings, tls=authority.client()) as s:
        assert (await sent(s))["X-Forwarded-Proto"] == "https"

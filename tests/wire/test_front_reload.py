"""Settings taken over while the front serves."""

from dataclasses import replace

import pytest

from fleet.settings import Settings
from tests.wire.stage import BOTH_LOOPS, GET, infer, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


async def test_a_new_request_on_an_old_connection_goes_by_new_settings():
    async with stage() as s:
        client = await s.client()
        client.send(GET % b"/v1/models")
        assert (await client.answer(method="GET")).status == 200
        s.front.reload(Settings(list_models=False))
        client.send(GET % b"/v1/models")
        assert (await client.answer(method="GET")).status == 404


async def test_an_old_connection_teaches_no_one_to_read_heads_the_old_way():
    async with stage() as s:
        old = await s.client()
        old.send(infer())
        assert (await old.answer()).status == 200
        s.front.reload(Settings(underscored_fields=True))
        for client in (old, await s.client()):
            client.send(infer(extra=b"X_Told: 1\r\n"))
            assert (await client.answer()).status == 200
        assert [one.field("x_told") for one in s.recorder.requests] == [None, "1", "1"]


async def test_a_model_by_its_host_is_found_as_soon_as_the_suffix_is_set():
    by_host = b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: other.models\r\nContent-Length: 2\r\n"
    async with stage() as s:
        assert (await s.call(by_host + b"\r\n{}")).status == 200
        s.front.reload(Settings(host_suffix="models"))
        # Now host and path name two models, and the very head that was read before is refused.
        assert (await s.call(by_host + b"\r\n{}")).status == 404


async def test_a_new_connection_goes_by_the_new_limits_and_an_old_one_is_not_cut():
    async with stage() as s:
        old = await s.client()
        old.send(infer())
        assert (await old.answer()).status == 200
        s.front.reload(replace(Settings(), max_connections=1, max_head=1024))
        assert (await (await s.client()).answer()).status == 503
        await s.until(lambda: s.front.connections == 1)
        old.send(infer())
        assert (await old.answer()).status == 200
        s.front.reload(replace(Settings(), max_connections=3, max_head=1024))
        new = await s.client()
        new.send(infer(extra=b"X-Long: %b\r\n" % (b"x" * 1024)))
        assert (await new.answer()).status == 431


async def test_old_connections_are_trusted_told_of_and_named_as_new_settings_say():
    async with stage() as s:
        client = await s.client()

        async def seen() -> dict[str, str | None]:
            client.send(infer(extra=b"X-Forwarded-For: 1.1.1.1\r\nEbbtide-Precedence: none\r\n"))
            found = await client.answer()
            if found.status == 400:
                # Only who is trusted is told that this is no number.
                assert "Ebbtide-Precedence" in found.body.decode()
                return {"trusted": "yes"}
            last = s.recorder.requests[-1]
            return {name: last.field(name) for name in ("x-forwarded-for", "via")}

        assert await seen() == {"x-forwarded-for": "1.1.1.1", "via": "1.1 ebbtide"}
        s.front.reload(Settings(forwarded="x-forwarded", via="tide"))
        assert await seen() == {"x-forwarded-for": "127.0.0.1", "via": "1.1 tide"}
        s.front.reload(Settings(trusted_peers="127.0.0.0/8"))
        assert await seen() == {"trusted": "yes"}
        client = await s.client()
        s.front.reload(Settings(forwarded="x-forwarded"))
        assert await seen() == {"x-forwarded-for": "127.0.0.1", "via": "1.1 ebbtide"}

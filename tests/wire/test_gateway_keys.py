"""API keys on the request port: asked for first, kept from replicas, and no leak of what is not."""

import json
import logging

import pytest

from fleet.model import AllowRule, Policy, Retry, RuntimeName, Served, WarmUp
from fleet.settings import Settings
from gateway.core.keys import Key, key_line
from tests.wire.pair import replicas
from tests.wire.scripts import aborting
from tests.wire.stage import BOTH_LOOPS, GET, infer, model, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\n%bContent-Length: %d\r\n\r\n%b"


@pytest.fixture
def keyed(tmp_path):
    """Settings with two keys: `all` may call everything, `demo` only the model demo."""
    lines = [
        key_line("secret-all", Key(name="all", trusted=True)),
        key_line("secret-demo", Key(name="demo", models=("dem?",))),
    ]
    path = tmp_path / "keys"
    path.write_text("\n".join(lines))
    return Settings(api_keys=str(path))


def bearer(secret: bytes) -> bytes:
    return b"Authorization: Bearer %b\r\n" % secret


def two(settings, **changes):
    """One model under two names."""
    names = (Served(name="demo", served="demo"), Served(name="other", served="demo"))
    return stage(lambda port: model(port=port, models=names, **changes), settings=settings)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (b"", "key_missing"),
        (b"Authorization: Basic c2VjcmV0LWFsbA==\r\n", "key_missing"),
        (bearer(b"secret-al"), "key_wrong"),
        (b"Ebbtide-Key: secret\r\n" + bearer(b"secret-all"), "key_wrong"),
        (bearer(b"secret-all") * 2, "key_wrong"),
    ],
)
async def test_whoever_has_no_key_learns_that_and_nothing_else(keyed, extra, reason):
    async with stage(settings=keyed, awake=False) as s:
        client = await s.client()
        for path in (b"/v2/models/demo/infer", b"/v2/models/nothing/infer", b"/nowhere"):
            client.send(infer(extra=extra, path=path))
            found = await client.answer()
            assert (found.status, found.field("ebbtide-reason")) == (401, reason)
            assert found.field("www-authenticate") == 'Bearer realm="ebbtide"'
        assert json.loads(found.body)["reason"] == reason
        assert s.front.other.refused[next(iter(s.front.other.refused))] == 3
        assert not s.line.arrivals
        assert not s.cluster.writes


async def test_a_key_lets_in_and_is_kept_from_the_replica(keyed, caplog):
    with caplog.at_level(logging.DEBUG):
        async with stage(settings=keyed) as s:
            own = b"Authorization: Bearer for-the-server\r\n"
            named = b"ebbtide-key: secret-demo\r\n"
            for extra in (bearer(b"secret-all"), named + own, named + bearer(b"secret-demo")):
                # Twice, so that a head that is remembered is kept from it too.
                for _ in range(2):
                    assert (await s.call(infer(extra=extra))).status == 200
            heads = [head.lower() for head in s.recorder.heads]
            assert not [head for head in heads if "secret" in head]
            own_came = ["for-the-server" in head for head in heads]
            assert own_came == [False, False, True, True, False, False]
    assert "secret" not in caplog.text


async def test_where_no_keys_are_asked_for_authorization_is_the_replicas():
    async with stage() as s:
        assert (await s.call(infer(extra=bearer(b"secret-all")))).status == 200
        assert "Authorization: Bearer secret-all" in s.recorder.heads[0]


async def test_a_model_that_a_key_may_not_call_does_not_exist_for_it(keyed):
    async with two(keyed) as s:
        key = bearer(b"secret-demo")
        assert (await s.call(infer(extra=key))).status == 200
        hidden = await s.call(infer(extra=key, path=b"/v2/models/other/infer"))
        absent = await s.call(infer(extra=key, path=b"/v2/models/absent/infer"))
        assert (hidden.status, hidden.fields, hidden.body) == (404, absent.fields, absent.body)
        by_field = await s.call(infer(extra=key + b"Ebbtide-Model: other\r\n"))
        assert by_field.field("ebbtide-reason") == "unknown_model"
        assert len(s.recorder.requests) == 1
        allowed = bearer(b"secret-all")
        assert (await s.call(infer(extra=allowed, path=b"/v2/models/other/infer"))).status == 200


async def test_a_model_that_a_body_names_is_looked_for_in_the_same_place(keyed):
    async with two(keyed, runtime=RuntimeName.OPENAI) as s:
        for secret, name, status in (
            (b"secret-demo", b"demo", 200),
            (b"secret-demo", b"other", 404),
            (b"secret-all", b"other", 200),
        ):
            body = b'{"model":"%b"}' % name
            found = await s.call(CHAT % (bearer(secret), len(body), body))
            assert found.status == status


async def test_a_caller_is_shown_the_models_that_it_may_call(keyed):
    async with two(keyed) as s:
        for secret, names in ((b"secret-demo", ["demo"]), (b"secret-all", ["demo", "other"])):
            request = b"GET /v1/models HTTP/1.1\r\nHost: gw\r\n%b\r\n" % bearer(secret)
            found = await s.call(request, method="GET")
            assert [one["id"] for one in json.loads(found.body)["data"]] == names
        assert (await s.call(GET % b"/v1/models", method="GET")).status == 401


@pytest.mark.parametrize("path", [b"/v2/health/live", b"/v2/health/ready", b"/v2/health/live?a=b"])
async def test_health_stands_open_but_not_a_models(keyed, path):
    async with stage(settings=keyed) as s:
        assert (await s.call(GET % path, method="GET")).status == 200
        of_model = b"GET %b HTTP/1.1\r\nHost: gw\r\nEbbtide-Model: demo\r\n\r\n" % path
        assert (await s.call(of_model, method="GET")).status == 404
        assert (await s.call(GET % b"/v2/models/demo/ready", method="GET")).status == 401
        assert not s.recorder.heads


async def test_a_body_that_ends_behind_a_reload_may_call_no_more_than_its_head(keyed):
    async with two(keyed, runtime=RuntimeName.OPENAI) as s:
        client = await s.client()
        body = b'{"model":"other"}'
        whole = CHAT % (bearer(b"secret-demo"), len(body), body)
        client.send(whole[:-3])
        await s.until(lambda: s.hall.room.gathered == len(body) - 3)
        s.front.reload(keyed)
        client.send(whole[-3:])
        assert (await client.answer()).field("ebbtide-reason") == "unknown_model"
        assert not s.recorder.heads


async def test_keys_that_come_change_and_go_hold_from_the_next_request_on(keyed, tmp_path):
    async with stage() as s:
        client = await s.client()

        async def status() -> int:
            client.send(infer(extra=bearer(b"secret-demo")))
            return (await client.answer()).status

        assert await status() == 200
        s.front.reload(keyed)
        assert await status() == 200
        client.send(infer())
        assert (await client.answer()).status == 401
        (tmp_path / "keys").write_text(key_line("another", Key(name="x")))
        s.front.keys.look()
        s.front.keys.look()
        assert await status() == 401
        s.front.reload(Settings())
        assert await status() == 200
        assert ["Authorization" in head for head in s.recorder.heads] == [True, False, True]


async def test_who_waits_when_its_key_goes_is_served_all_the_same(keyed, tmp_path):
    async with stage(settings=keyed, awake=False, start=1000.0) as s:
        client = await s.client()
        client.send(infer(extra=bearer(b"secret-demo")))
        await s.until(lambda: s.line.waiting == 1)
        (tmp_path / "keys").write_text(key_line("another", Key(name="x")))
        s.front.keys.look()
        s.front.reload(keyed)
        for replica in s.cluster.fleet().of(s.line.revision.name):
            s.cluster.open(replica.name)
        assert (await client.answer()).status == 200
        client.send(infer(extra=bearer(b"secret-demo")))
        assert (await client.answer()).status == 401


async def test_what_is_sent_again_or_upgraded_is_kept_from_its_key_too(keyed):
    rules = (AllowRule(method="*", path="*"),)
    wants = Policy(slots=1, warm_up=WarmUp.NONE, retry=Retry.REPLICA)

    def plain(port):
        return model(port=port, runtime=RuntimeName.PLAIN, allow=rules, policy=wants)

    async with replicas(2, plain, settings=keyed) as both:
        both.recorders[0].script = aborting
        offer = b"Connection: Upgrade\r\nUpgrade: x\r\n"
        call = infer(b"", bearer(b"secret-demo") + offer, b"/models/demo/x")
        assert (await both.stage.call(call)).status == 200
        assert both.counts == [1, 1]
        for recorder in both.recorders:
            assert recorder.requests[0].field("upgrade") == "x"
            assert recorder.requests[0].field("authorization") is None

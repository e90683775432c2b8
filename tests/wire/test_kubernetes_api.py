"""What an API server may answer, and how it may fail, over real sockets."""

import asyncio
import contextlib
import json
import os
import socket
import ssl
from pathlib import Path

import pytest
import trustme
import uvloop
from aiohttp import web

from fleet.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    RejectedError,
    SettingError,
    UnavailableError,
)
from fleet.kubernetes import credentials
from fleet.kubernetes.api import Api, ExpiredError

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return ("asyncio", {"loop_factory": request.param})


def write(path, url, *, user, **cluster):
    known = {
        "clusters": [{"name": "c", "cluster": {"server": url, **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(known))
    return str(path)


@contextlib.asynccontextmanager
async def serving(handler, **options):
    """A server whose every request goes to `handler`; its port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, **options)
    try:
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def asked(tmp_path, handler):
    async with serving(handler) as port:
        path = write(tmp_path / "config", f"http://127.0.0.1:{port}", user={"token": "secret"})
        async with await Api.open(path) as api:
            yield api


def status(code, message="said the server"):
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)


async def test_every_verb_says_who_asks_and_what(tmp_path):
    seen = []

    async def handler(request):
        seen.append(
            (
                request.method,
                request.path_qs,
                request.headers["Authorization"],
                request.headers.get("Content-Type"),
                await request.text(),
            )
        )
        return web.json_response({"metadata": {}})

    async with asked(tmp_path, handler) as api:
        await api.get("/api", query={"fieldSelector": "a=b,c!=d"})
        await api.post("/api", body={"a": 1})
        await api.put("/api", body={"a": 2})
        await api.patch("/api", body={"a": None}, query={"fieldManager": "ebbtide"})
        await api.patch("/api", body=[{"op": "x"}], content_type="application/json-patch+json")
        await api.delete("/api")
    assert seen == [
        ("GET", "/api?fieldSelector=a%3Db,c!%3Dd", "Bearer secret", "application/json", ""),
        ("POST", "/api", "Bearer secret", "application/json", '{"a": 1}'),
        ("PUT", "/api", "Bearer secret", "application/json", '{"a": 2}'),
        (
            *("PATCH", "/api?fieldManager=ebbtide", "Bearer secret"),
            *("application/merge-patch+json", '{"a": null}'),
        ),
        ("PATCH", "/api", "Bearer secret", "application/json-patch+json", '[{"op": "x"}]'),
        ("DELETE", "/api", "Bearer secret", "application/json", ""),
    ]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, RejectedError),
        (401, ForbiddenError),
        (403, ForbiddenError),
        (404, GoneError),
        (409, ConflictError),
        (410, ExpiredError),
        (422, RejectedError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
async def test_a_refusal_says_what_was_asked_and_what_the_server_said(tmp_path, code, kind):
    async def handler(_):
        return status(code)

    async with asked(tmp_path, handler) as api:
        with pytest.raises(kind) as raised:
            await api.patch("/apis/apps/v1/x", body={})
        assert type(raised.value) is kind
        assert str(raised.value) == f"PATCH {api.server}/apis/apps/v1/x: {code}: said the server"


async def test_a_refusal_that_is_no_status_is_told_as_it_is(tmp_path):
    async def handler(_):
        return web.Response(status=502, text="<html>bad gateway</html>")

    async with asked(tmp_path, handler) as api:
        with pytest.raises(UnavailableError, match="502: <html>bad gateway"):
            await api.get("/api")


@pytest.mark.parametrize("body", ["<html>", "[1]", "", '"x"'])
async def test_an_answer_that_is_no_object_is_no_answer(tmp_path, body):
    async def handler(_):
        return web.Response(text=body)

    async with asked(tmp_path, handler) as api:
        with pytest.raises(UnavailableError, match="JSON"):
            await api.get("/api")


async def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(tmp_path):
    async def handler(_):
        await asyncio.sleep(60)

    async with asked(tmp_path, handler) as api:
        with pytest.raises(UnavailableError, match="no answer in time"):
            await api.get("/api", timeout=0.2)


async def test_a_server_that_is_not_there_is_unavailable(tmp_path):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        async with await Api.open(write(tmp_path / "config", url, user={})) as api:
            with pytest.raises(UnavailableError, match=f"GET {url}/api: Connection refused"):
                await api.get("/api")
            with pytest.raises(UnavailableError, match=f"watch {url}/api: "):
                async with api.watch("/api", {}):
                    pass


async def test_a_hundred_writes_are_a_hundred_at_once(tmp_path):
    here, all_here = 0, asyncio.Event()

    async def handler(_):
        nonlocal here
        here += 1
        if here == 100:
            all_here.set()
        await all_here.wait()
        return web.json_response({})

    async with asked(tmp_path, handler) as api:
        async with asyncio.timeout(10):
            await asyncio.gather(*(api.patch(f"/x/{i}", body={}) for i in range(100)))


async def streamed(request, chunks, *, hold=0.0):
    answer = web.StreamResponse()
    await answer.prepare(request)
    for chunk in chunks:
        await answer.write(chunk)
        await asyncio.sleep(0)
    await asyncio.sleep(hold)
    return answer


async def take(api, *, silence=5.0):
    async with api.watch("/api", {"resourceVersion": "7"}, silence=silence) as events:
        return [event["object"] async for event in events]


async def test_events_are_split_wherever_the_network_cut_them(tmp_path):
    lines = b'{"type":"ADDED","object":1}\n\n{"type":"ADDED","object":"%s"}\n' % (b"x" * 10**6)
    queries = []

    async def handler(request):
        queries.append(dict(request.query))
        cuts = [lines[i : i + 100_003] for i in range(30, len(lines), 100_003)]
        return await streamed(request, [lines[:5], lines[5:30], *cuts])

    async with asked(tmp_path, handler) as api:
        assert await take(api) == [1, "x" * 10**6]
    assert queries == [{"resourceVersion": "7", "watch": "true"}]


async def test_half_an_event_at_the_end_is_none(tmp_path):
    async def handler(request):
        return await streamed(request, [b'{"type":"ADDED","object":1}\n{"type":"ADD'])

    async with asked(tmp_path, handler) as api:
        assert await take(api) == [1]


async def test_a_watch_that_breaks_or_is_silent_is_unavailable(tmp_path):
    async def breaks(request):
        await streamed(request, [b'{"type":"ADDED","object":1}\n'])
        request.transport.abort()

    async with asked(tmp_path, breaks) as api:
        with pytest.raises(UnavailableError, match="watch http"):
            await take(api)

    async def silent(request):
        return await streamed(request, [b'{"type":"ADDED","object":1}\n'], hold=30)

    async with asked(tmp_path, silent) as api:
        with pytest.raises(UnavailableError, match="no answer in time"):
            await take(api, silence=0.2)


async def test_an_error_event_is_what_its_code_says(tmp_path):
    async def handler(request):
        too_old = {"code": 410, "message": "too old resource version"}
        if request.path == "/api":
            line = json.dumps({"type": "ERROR", "object": too_old}).encode() + b"\n"
            return await streamed(request, [line])
        return status(403)

    async with asked(tmp_path, handler) as api:
        with pytest.raises(ExpiredError, match="410: too old resource version"):
            await take(api)
        with pytest.raises(ForbiddenError):
            async with api.watch("/other", {}):
                pass


async def test_a_token_that_was_changed_is_read_again_and_watches_go_on(tmp_path):
    good, tokens = "secret", []
    watching, enough = asyncio.Event(), asyncio.Event()

    async def handler(request):
        tokens.append(request.headers["Authorization"].removeprefix("Bearer "))
        if tokens[-1] != good:
            return status(401)
        if "watch" in request.query:
            answer = web.StreamResponse()
            await answer.prepare(request)
            watching.set()
            await enough.wait()
            await answer.write(b'{"type":"ADDED","object":1}\n')
            return answer
        return web.json_response({})

    async with asked(tmp_path, handler) as api:
        watch = asyncio.create_task(take(api))
        await watching.wait()
        good = "other"
        with pytest.raises(ForbiddenError):
            await api.get("/api")
        path = tmp_path / "config"
        path.write_text(path.read_text().replace("secret", "other"))
        tokens.clear()
        await asyncio.gather(*(api.get("/api") for _ in range(5)))
        assert sorted(tokens) == ["other"] * 5 + ["secret"] * 5
        await api.get("/api")
        enough.set()
        assert await watch == [1]
        path.write_text("{")
        good = "nobody has it"
        with pytest.raises(ForbiddenError):
            await api.get("/api")


async def test_tls_is_checked_and_client_certificates_and_exec_plugins_work(tmp_path):
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "other.pem")
    client = authority.issue_cert("me@example.org")
    client.private_key_pem.write_to_path(tmp_path / "key.pem")
    for pem in client.cert_chain_pems:
        pem.write_to_path(tmp_path / "cert.pem", append=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_OPTIONAL
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)

    async def handler(request):
        peer = request.transport.get_extra_info("ssl_object").getpeercert()
        return web.json_response(
            {"cert": bool(peer), "token": request.headers.get("Authorization")}
        )

    plugin = tmp_path / "plugin"
    plugin.write_text(
        "#!/bin/sh\n"
        'echo \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",'
        ' "status": {"token": "from-plugin"}}\'\n'
    )
    plugin.chmod(0o700)
    run = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}
    pair = {
        "client-certificate": str(tmp_path / "cert.pem"),
        "client-key": str(tmp_path / "key.pem"),
    }
    async with serving(handler, ssl_context=context) as port:
        url = f"https://127.0.0.1:{port}"

        async def told(user, ca):
            path = write(tmp_path / "config", url, user=user, **{"certificate-authority": str(ca)})
            async with await Api.open(path) as api:
                return await api.get("/api")

        assert await told(pair, tmp_path / "ca.pem") == {"cert": True, "token": None}
        with pytest.raises(UnavailableError, match="certificate verify failed"):
            await told(pair, tmp_path / "other.pem")
        if isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
            found = await told({"exec": run}, tmp_path / "ca.pem")
            assert found == {"cert": False, "token": "Bearer from-plugin"}


async def test_a_pod_s_account_is_used_and_read_again(tmp_path, monkeypatch):
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("first")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(account / "ca.crt")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def handler(request):
        token = request.headers["Authorization"].partition(" ")[2]
        return web.json_response({}) if token == good else status(401)

    loader = "kubernetes.aio.config.incluster_config"
    monkeypatch.setattr(f"{loader}.SERVICE_TOKEN_FILENAME", str(account / "token"))
    monkeypatch.setattr(f"{loader}.SERVICE_CERT_FILENAME", str(account / "ca.crt"))
    monkeypatch.setattr(credentials, "ACCOUNT", account)
    good = "first"
    async with serving(handler, ssl_context=context) as port:
        monkeypatch.setitem(os.environ, "KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setitem(os.environ, "KUBERNETES_SERVICE_PORT", str(port))
        assert credentials.in_pod()
        async with await Api.open() as api:
            await api.get("/api")
            good = "second"
            (account / "token").write_text("second")
            await api.get("/api")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "a: b", '{"clusters": []}', '{"current-context": "x", "contexts": 3}'],
)
async def test_a_kubeconfig_that_is_none_is_a_wrong_setting(tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(SettingError, match=r"kubeconfig '.*config'"):
        await Api.open(str(path))


async def test_a_kubeconfig_that_cannot_be_used_is_a_wrong_setting(tmp_path):
    with pytest.raises(SettingError, match="No such file"):
        await Api.open(str(tmp_path / "nowhere"))
    with pytest.raises(SettingError, match="directory"):
        await Api.open(str(tmp_path))
    (tmp_path / "ca.pem").write_text("nothing")
    url, authority = "https://127.0.0.1:1", {"certificate-authority": str(tmp_path / "ca.pem")}
    path = write(tmp_path / "config", url, user={"token": "x"}, **authority)
    with pytest.raises(SettingError, match="certificates"):
        await Api.open(path)
    assert not credentials.in_pod()
    with pytest.raises(SettingError, match="no kubeconfig was given"):
        await Api.open()


async def test_the_kubeconfig_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "config", "http://127.0.0.1:1", user={"token": "x"})
    async with await Api.open(str(Path("~") / "config")) as api:
        assert api.server == "http://127.0.0.1:1"

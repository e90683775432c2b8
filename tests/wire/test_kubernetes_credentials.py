"""Who we are to an API server, over real sockets: kubeconfigs, plugins, a pod's account."""

import asyncio
import os
import ssl
from pathlib import Path

import pytest
import trustme
import uvloop
from aiohttp import web

from fleet.errors import ForbiddenError, SettingError, UnavailableError
from fleet.kubernetes import credentials
from fleet.kubernetes.api import Api
from tests.wire.apiserver import serving, status, write

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return ("asyncio", {"loop_factory": request.param})


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
        found = await told({"exec": run}, tmp_path / "ca.pem")
        assert found == {"cert": False, "token": "Bearer from-plugin"}


async def test_the_line_end_of_a_token_s_file_is_not_the_token(tmp_path):
    async def handler(request):
        return web.json_response({"told": request.headers.get("Authorization")})

    (tmp_path / "token").write_text("from-file\n")
    async with serving(handler) as port:
        url, user = f"http://127.0.0.1:{port}", {"tokenFile": str(tmp_path / "token")}
        async with await Api.open(write(tmp_path / "config", url, user=user)) as api:
            assert await api.get("/api") == {"told": "Bearer from-file"}
        (tmp_path / "token").write_text("two\nlines")
        with pytest.raises(SettingError, match="its token has characters"):
            await Api.open(write(tmp_path / "config", url, user=user))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no login >&2; exit 3", "no login"),
        ("echo hello", "decode process output"),
        (None, "No such file"),
    ],
)
async def test_a_plugin_that_gives_nothing_is_no_anonymous_user(tmp_path, script, said):
    command = {"command": "no-such-plugin"} if script is None else plugin(script)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", **command}}
    with pytest.raises(SettingError, match=f"kubeconfig .* its exec plugin.*{said}"):
        await Api.open(write(tmp_path / "config", "http://127.0.0.1:1", user=user))


async def test_a_plugin_that_hangs_holds_nothing(tmp_path, monkeypatch):
    async def handler(request):
        return status(401)

    known = await asyncio.to_thread(children)
    once, told = tmp_path / "once", tmp_path / "told"
    hangs = f"while ! test -e {told}; do sleep 0.02; done"
    token = '{"apiVersion": "v1", "kind": "ExecCredential", "status": {"token": "old"}}'
    script = f"test -e {once} && {hangs}; touch {once}; echo '{token}'"
    async with serving(handler) as port:
        user = {"exec": {"apiVersion": "v1", **plugin(script)}}
        path = write(tmp_path / "config", f"http://127.0.0.1:{port}", user=user)
        async with await Api.open(path) as api:
            monkeypatch.setattr("fleet.kubernetes.api._TIMEOUT_S", 0.2)
            async with asyncio.timeout(5):
                found = await asyncio.gather(
                    *(api.get("/api") for _ in range(3)), return_exceptions=True
                )
        assert [type(each) for each in found] == [ForbiddenError] * 3
        monkeypatch.setattr(credentials, "_PLUGIN_S", 0.2)
        with pytest.raises(SettingError, match="exec plugin gave no answer within"):
            await Api.open(path)
    told.touch()
    await only_children(known)


def children():
    """Those of this process, servers that other tests share among them."""
    paths = Path("/proc/self/task").glob("*/children")
    return {child for path in paths for child in path.read_text().split()}


async def only_children(known):
    """The loop must not be closed over a plugin that still runs."""
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(children) <= known:
            await asyncio.sleep(0.01)
    for _ in range(5):
        await asyncio.sleep(0.01)


def plugin(script):
    return {"command": "/bin/sh", "args": ["-c", script]}


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
    [
        "",
        "{",
        "[]",
        "a: b",
        "a word",
        '{"clusters": []}',
        '{"current-context": "x", "contexts": 3}',
        '{"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c"}}],'
        ' "clusters": [{"name": "c", "cluster": {"a": "b"}}]}',
    ],
)
async def test_a_kubeconfig_that_is_none_is_a_wrong_setting(tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(SettingError, match=r"kubeconfig '.*config'") as found:
        await Api.open(str(path))
    assert "object" not in str(found.value), "words about our own code"


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

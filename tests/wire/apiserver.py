"""A server that answers as an API server may, and a client of it."""

import contextlib
import json

from aiohttp import web

from fleet.kubernetes.api import Api


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

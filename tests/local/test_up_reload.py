"""`ebbtide up` told by signals: the delay before its port closes, urgency, settings read again."""

import asyncio
import signal

import httpx
import pytest

from tests.fakes import local
from tests.fakes.local import manifest
from tests.local.upped import up

pytestmark = pytest.mark.anyio


def served(tmp_path, *modes: str, **annotations: str):
    local.write(
        tmp_path,
        manifest("a", *modes, gpus=0, grace=1, annotations={"keep-alive": "1h", **annotations}),
    )
    return tmp_path


async def call(ebbtide, client: httpx.AsyncClient | None = None) -> httpx.Response:
    """A call of model `a`; without `client` on a connection of its own."""
    url = f"http://127.0.0.1:{ebbtide.port}/models/a/hello"
    if client is not None:
        return await client.get(url)
    async with httpx.AsyncClient(trust_env=False, timeout=20) as own:
        return await own.get(url)


async def accepted(ebbtide) -> bool:
    """Whether a new connection is taken."""
    try:
        return (await call(ebbtide)).status_code == 200
    except httpx.TransportError:
        return False


async def readiness(ebbtide) -> int:
    return (await ebbtide.client.get(f"http://127.0.0.1:{ebbtide.admin}/readyz")).status_code


async def logged(ebbtide, event: str, *, times: int = 1) -> list[str]:
    """The lines of the log about `event`, as soon as there are so many."""
    async with asyncio.timeout(10):
        while True:
            lines = [x for x in ebbtide.log.read_text().splitlines() if f" {event} " in x]
            if len(lines) >= times:
                return lines
            await asyncio.sleep(0.02)


async def test_for_the_delay_readiness_is_off_and_new_connections_are_served(tmp_path):
    async with up(served(tmp_path), gpus=0, shutdown_delay="2s") as ebbtide:
        assert (await call(ebbtide)).status_code == 200
        loop = asyncio.get_running_loop()
        asked = loop.time()
        ebbtide.process.send_signal(signal.SIGTERM)
        while await readiness(ebbtide) != 503:
            await asyncio.sleep(0.02)
        own = f"http://127.0.0.1:{ebbtide.port}/v2/health/ready"
        assert (await ebbtide.client.get(own)).status_code == 503
        while loop.time() < asked + 1.5:
            assert (await call(ebbtide)).status_code == 200
            await asyncio.sleep(0.1)
        while await accepted(ebbtide):
            await asyncio.sleep(0.05)
        assert 1.9 < loop.time() - asked < 5
        # Not asked again: a signal in its last moments would end it before it says how it went.
        assert await asyncio.wait_for(ebbtide.process.wait(), 30) == 0


async def test_a_second_signal_ends_the_delay_and_the_grace_time(tmp_path):
    folder = served(tmp_path)
    async with up(folder, gpus=0, shutdown_delay="60s", shutdown_grace="60s") as ebbtide:
        assert (await call(ebbtide)).status_code == 200
        ebbtide.process.send_signal(signal.SIGTERM)
        while await readiness(ebbtide) != 503:
            await asyncio.sleep(0.02)
        assert await asyncio.wait_for(ebbtide.stop(), 10) == 0


async def test_settings_are_read_again_and_one_line_says_what_changed(tmp_path):
    settings = tmp_path / "settings"
    settings.write_text("EBBTIDE_LIST_MODELS=false\n")
    flags = ("--settings", str(settings))
    async with up(served(tmp_path / "models"), gpus=0, flags=flags) as ebbtide:
        models = f"http://127.0.0.1:{ebbtide.port}/v1/models"
        assert (await ebbtide.client.get(models)).status_code == 404
        settings.write_text("EBBTIDE_TICK=5s\nEBBTIDE_MAX_HEAD=2Ki\n")
        ebbtide.process.send_signal(signal.SIGHUP)
        (line,) = await logged(ebbtide, "reloaded")
        assert "changed=list_models:False-" in line.replace('"', "")
        assert "max_head:65536->2048" in line
        assert "tick:2.0->5.0" in line.partition("needs_restart=")[2]
        assert (await ebbtide.client.get(models)).status_code == 200


async def test_a_bad_file_keeps_the_old_settings_and_loses_nothing(tmp_path):
    settings = tmp_path / "settings"
    settings.write_text("EBBTIDE_LIST_MODELS=false\n")
    flags = ("--settings", str(settings))
    async with up(served(tmp_path / "models", "slow"), gpus=0, flags=flags) as ebbtide:
        held = asyncio.ensure_future(call(ebbtide))
        settings.write_text("EBBTIDE_TICK=often\nEBBTIDE_MAX_HED=2Ki\n")
        ebbtide.process.send_signal(signal.SIGHUP)
        wrong = await logged(ebbtide, "setting_wrong", times=2)
        assert "EBBTIDE_TICK='often'" in wrong[0]
        assert "did you mean EBBTIDE_MAX_HEAD" in wrong[1]
        await logged(ebbtide, "settings_kept")
        assert (await held).status_code == 200
        models = f"http://127.0.0.1:{ebbtide.port}/v1/models"
        assert (await ebbtide.client.get(models)).status_code == 404
        assert "reloaded" not in ebbtide.log.read_text()

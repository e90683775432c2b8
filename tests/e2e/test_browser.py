"""A real browser: EventSource, WebSocket and fetch of a page that knows nothing of a gateway."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.e2e.served import served, site, started

pytestmark = pytest.mark.anyio

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--ignore-certificate-errors",
)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_page_listens_to_models_that_sleep(
    tmp_path: Path, clients: Path, browser: Path, tls: bool
) -> None:
    site(tmp_path, clients, "site")
    site(tmp_path, clients, "quiet", load_s=2.0)
    site(tmp_path, clients, "beating", load_s=4.0, heartbeat="1s")
    site(tmp_path, clients, "socket")
    async with served(tmp_path, tls=tls) as to:
        own = f"--user-data-dir={tmp_path / 'browser'}"
        page = to.at("site") + "/page"
        async with started([str(browser), *FLAGS, own, page]) as process:
            told = await report(tmp_path / "report", process)
        assert "error" not in told, told
        # The stream ends after five events each time; the browser comes again for the others.
        for name in ("quiet", "beating"):
            # With heartbeats the answer begins while the model still sleeps.
            beats = name == "beating"
            assert told[name] == {"numbers": list(range(8)), "opened": 2, "early": beats}
        spoken = {"sizes": [6, 100_000], "code": 1000, "clean": True, "protocol": "tide"}
        assert told["socket"] == spoken
        assert told["uploaded"] == 3 << 20
        assert told["protocols"] == ["http/1.1"]
        await to.once("site", "quiet", "beating", "socket")


async def report(file: Path, process: asyncio.subprocess.Process) -> dict:
    """What the page told its model."""
    try:
        async with asyncio.timeout(60):
            while not (told := content(file)):
                assert process.returncode is None, "the browser has ended"
                await asyncio.sleep(0.05)
    except TimeoutError:
        process.kill()
        _, err = await process.communicate()
        pytest.fail(f"the page told nothing: {err.decode()[-3000:]}")
    return json.loads(told)


def content(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""

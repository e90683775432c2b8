"""The live page in a real browser: behind a token, which is said once and goes with all it asks."""

import asyncio
import re
from pathlib import Path

import pytest

from gateway.admin.app import make_app
from gateway.admin.server import AdminServer
from gateway.core.tokens import Tokens
from tests.e2e.test_browser import FLAGS
from tests.fakes.adminview import busy_view

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-twenty-ch"


async def shown(browser: Path, profile: Path, url: str) -> str:
    """What the page is made of some seconds after it was opened."""
    process = await asyncio.create_subprocess_exec(
        *(str(browser), *FLAGS, f"--user-data-dir={profile}"),
        *("--virtual-time-budget=4000", "--dump-dom", url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return out.decode()


async def test_with_its_token_the_page_lives_and_without_it_says_nothing(
    tmp_path: Path, browser: Path
) -> None:
    tokens = Tokens([TOKEN])
    server = AdminServer(make_app(busy_view(), tokens=lambda: tokens), host="127.0.0.1", port=0)
    running = asyncio.create_task(server.run())
    page = await shown(browser, tmp_path / "one", f"http://me:{TOKEN}@127.0.0.1:{server.port}/")
    assert re.search(r'id="contact"[^>]*>live<', page)
    assert "team/ocr" in page
    assert "Not heard of: Redis for 13 s" in page
    page = await shown(browser, tmp_path / "two", f"http://127.0.0.1:{server.port}/")
    assert "team/ocr" not in page
    server.stop()
    await running

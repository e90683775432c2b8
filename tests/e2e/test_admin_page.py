"""The live page in a real browser: behind a token, which is said once and goes with all it asks.

What it shows of a cluster is seen here too: its script runs nowhere else.
"""

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.model import Fleet
from fleet.names import RevisionName
from fleet.reasons import Reason
from gateway.admin.app import make_app
from gateway.admin.ports import Unready
from gateway.admin.server import AdminServer
from gateway.core.tokens import Tokens
from tests.e2e.test_browser import FLAGS
from tests.fakes.adminview import busy_view

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-twenty-ch"
BROKEN = RevisionName("default/broken")


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


async def test_it_says_what_ebbtide_leaves_alone_does_not_serve_and_has_not_heard_of(
    tmp_path: Path, browser: Path
) -> None:
    view = busy_view()
    view.lacks = Unready(reason=Reason.STARTING, message="the cluster has not been read")
    view.state = replace(view.state, bus_cut_s=0.0, leader_cut_s=30.0, bus_refused=True)
    (failed,) = view.snapshot.replicas[BROKEN]
    words = replace(failed, message="<script>document.title = 'owned'</script><img src=x>")
    view.snapshot = replace(view.snapshot, replicas={**view.snapshot.replicas, BROKEN: (words,)})
    server = AdminServer(make_app(view), host="127.0.0.1", port=0)
    running = asyncio.create_task(server.run())
    page = await shown(browser, tmp_path / "one", f"http://127.0.0.1:{server.port}/")
    view.snapshot, view.lines = Fleet(), {}
    empty = await shown(browser, tmp_path / "two", f"http://127.0.0.1:{server.port}/")
    server.stop()
    await running
    magika = re.search(r'href="/api/models/magika".*?</tr>', page)
    assert magika
    told = re.findall(r'class="(?:phase asleep|why|words)"[^>]*>([^<]*)<', magika[0])
    other = "HorizontalPodAutoscaler magika; ebbtide does not scale it"
    assert told[:3] == ["asleep", " second_writer", other]
    assert "&lt;script&gt;document.title = 'owned'&lt;/script&gt;&lt;img src=x&gt;</span>" in page
    assert "<title>ebbtide</title>" in page
    assert 'class="bad">bad.yaml x is not served: ebbtide.dev/slots: "many": auto or' in page
    assert "<li>odd.yaml y: command: it cannot bind an address<" in page
    away = re.search(r'id="away">([^<]*)<', page)
    assert away
    assert away[1].split(". ") == [
        "Not ready: the cluster has not been read",
        "Not heard of: the autoscaler for 30 s",
        "What is shown may be old",
        "Redis refuses something: it is full, or its access list lacks something.",
    ]
    # Nobody knows yet whether there is none.
    assert re.search(r'id="no-models" hidden', empty)

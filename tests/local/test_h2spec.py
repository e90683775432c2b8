"""h2spec, the conformance test of HTTP/2, against the front."""

import asyncio
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.golang import go_program
from fleet.settings import Settings
from tests.wire.secured import Authority
from tests.wire.stage import UVLOOP, stage

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "bench"

IMPOSSIBLE = {"Sends invalid connection preface"}
"""Plainly spoken, bytes that are neither protocol's. The port is HTTP/1.1's too, whose answer to
them is 400. Over TLS the client has said that it speaks HTTP/2, and all of it passes."""


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [UVLOOP])
@pytest.mark.parametrize(("secured", "fails"), [(False, IMPOSSIBLE), (True, set())])
async def test_h2spec_passes(tmp_path: Path, secured: bool, fails: set[str]) -> None:
    if shutil.which("go", path="/usr/local/go/bin") is None and shutil.which("go") is None:
        pytest.skip("Go is not on PATH: it builds h2spec")
    tool = await asyncio.to_thread(go_program, "h2spec", "spec", cache=CACHE)
    report = tmp_path / "report.xml"
    async with stage(settings=Authority(tmp_path).settings() if secured else Settings()) as on:
        process = await asyncio.create_subprocess_exec(
            *(str(tool.path), str(on.port), str(report), "tls" if secured else "plain"),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 40)
        assert process.returncode == bool(fails), said.decode()
        cases = list(ElementTree.parse(report).iter("testcase"))
        failed = {case.get("classname") for case in cases if case.find("failure") is not None}
        failed |= {case.get("classname") for case in cases if case.find("error") is not None}
        assert failed == fails, said.decode()
        assert len(cases) > 140
        await on.until(lambda: on.front.connections == 0)

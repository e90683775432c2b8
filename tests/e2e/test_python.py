"""openai, requests, httpx and aiohttp, each in a process of its own."""

import sys
from pathlib import Path

import pytest

from tests.e2e.served import run, served, site, started

pytestmark = pytest.mark.anyio

PROGRAMS = Path(__file__).with_name("python")
TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


@TLS
async def test_openai(tmp_path: Path, clients: Path, tls: bool) -> None:
    site(tmp_path, clients, "chat", runtime="openai")
    async with served(tmp_path, tls=tls) as to:
        program = PROGRAMS / "openai_calls.py"
        await run(clients, program, to.url, to.trusted or "-", "-")
        await to.once("chat")


async def test_openai_with_keys(tmp_path: Path, clients: Path) -> None:
    site(tmp_path, clients, "chat", runtime="openai")
    site(tmp_path, clients, "other", runtime="openai")
    key, line = await a_key("caller", "--models", "chat")
    keys = tmp_path / "keys"
    keys.write_text(line)
    async with served(tmp_path, api_keys=str(keys)) as to:
        # Of two models the caller sees the one that the key is for.
        await run(clients, PROGRAMS / "openai_calls.py", to.url, "-", key)
        await to.once("chat")
        assert (await to.ebbtide.model("other"))["cold_starts"] == 0


@TLS
@pytest.mark.parametrize("kind", ["requests", "httpx", "aiohttp"])
async def test_http_clients(tmp_path: Path, clients: Path, kind: str, tls: bool) -> None:
    site(tmp_path, clients, "site")
    async with served(tmp_path, tls=tls) as to:
        await run(clients, PROGRAMS / "http_calls.py", kind, to.at("site"), *to.trust)
        await to.once("site")


async def a_key(*words: str) -> tuple[str, str]:
    """A key as `ebbtide key` makes it, and its line for the file."""
    async with started([sys.executable, "-m", "ebbtide", "key", *words]) as process:
        out, err = await process.communicate()
    return err.decode().splitlines()[1].strip(), out.decode()

"""curl, as it is typed."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.e2e.served import run, served, site

pytestmark = pytest.mark.anyio

BODY = bytes(range(256)) * 8192
QUIET = ("--silent", "--show-error", "--fail", "--max-time", "30", "--noproxy", "*")


def arrived(text: str) -> bool:
    told = json.loads(text)
    return (told["length"], told["sha256"]) == (len(BODY), hashlib.sha256(BODY).hexdigest())


async def test_curl_speaks_plain_http(tmp_path: Path, clients: Path, curl: Path) -> None:
    site(tmp_path, clients, "site", load_s=1.5)
    file = tmp_path / "body"
    file.write_bytes(BODY)
    async with served(tmp_path) as to:
        echo, ask = to.at("site") + "/echo", (curl, *QUIET)
        # The first finds the model asleep.
        told = json.loads(await run(*ask, f"{echo}?a=b"))
        assert (told["method"], told["query"], told["length"]) == ("GET", "a=b", 0)
        assert json.loads(await run(*ask, "-d", "x=1", echo))["length"] == 3
        head = await run(*ask, "--head", to.at("site") + "/large?bytes=12345")
        assert head.startswith("HTTP/1.1 200 ")
        assert "content-length: 12345\r\n" in head.lower()
        # Two MiB wait for `100 Continue`; without it curl would wait for a minute.
        expect = ("--expect100-timeout", "60", "-H", "Expect: 100-continue")
        assert arrived(await run(*ask, *expect, "--data-binary", f"@{file}", echo, within=20))
        chunked = await run(*ask, "-T", "-", "-X", "POST", echo, stdin=file)
        assert arrived(chunked)
        assert json.loads(chunked)["fields"]["transfer-encoding"] == "chunked"
        assert arrived(await run(*ask, "-T", file, echo))
        events = await run(*ask, "-N", to.at("site") + "/events?count=6")
        assert events.count("data: ") == 6
        old = await run(*ask, "--http1.0", "-i", echo)
        assert json.loads(old.partition("\r\n\r\n")[2])["method"] == "GET"
        await to.once("site")


async def test_curl_keeps_its_connection_for_many(
    tmp_path: Path, clients: Path, curl: Path
) -> None:
    site(tmp_path, clients, "site", load_s=0)
    async with served(tmp_path) as to:
        urls = [f"{to.at('site')}/echo?n={n}" for n in range(20)]
        shown = "\\n%{http_code} %{num_connects} %{local_port}\\n"
        said = await run(curl, *QUIET, "-w", shown, *urls)
        lines = [line.split() for line in said.splitlines() if line.startswith("200 ")]
        assert len(lines) == 20
        assert sum(int(line[1]) for line in lines) == 1
        assert len({line[2] for line in lines}) == 1
        parallel = await run(curl, *QUIET, "--parallel", "-w", shown, *urls)
        assert parallel.count("\n200 ") == 20
        await to.once("site")


async def test_curl_is_told_what_is_wrong(tmp_path: Path, clients: Path, curl: Path) -> None:
    site(tmp_path, clients, "site", load_s=0)
    async with served(tmp_path) as to:
        ask = (curl, "--silent", "-i", "--max-time", "20", "--noproxy", "*")
        nobody = await run(*ask, to.at("nobody") + "/echo")
        assert nobody.startswith("HTTP/1.1 404 ")
        assert "ebbtide-reason: unknown_model" in nobody.lower()
        # HTTP/2 is for gRPC here; whoever asks for anything else over it is told so.
        second = await run(*ask, "--http2-prior-knowledge", to.at("site") + "/echo")
        assert second.startswith("HTTP/2 415 ")
        assert "ebbtide-reason: not_grpc" in second
        assert "HTTP/1.1" in second.partition("\r\n\r\n")[2]
        # An offer to switch over is passed over.
        offered = await run(*ask, "--http2", to.at("site") + "/echo")
        assert offered.startswith("HTTP/1.1 200 ")
        await to.once("site")


async def test_curl_speaks_tls(tmp_path: Path, clients: Path, curl: Path) -> None:
    site(tmp_path, clients, "site", load_s=1.0)
    file = tmp_path / "body"
    file.write_bytes(BODY)
    async with served(tmp_path, tls=True) as to:
        ask = (curl, *QUIET, "--cacert", *to.trust)
        echo = to.at("site") + "/echo"
        shown = "\\n%{http_version} %{num_connects} %{ssl_verify_result}\\n"
        said = await run(*ask, "-w", shown, *[f"{echo}?n={n}" for n in range(5)])
        lines = [line for line in said.splitlines() if line.startswith("1.1 ")]
        assert lines == ["1.1 1 0"] + ["1.1 0 0"] * 4
        assert arrived(await run(*ask, "--data-binary", f"@{file}", echo))
        assert arrived(await run(*ask, "-T", "-", "-X", "POST", echo, stdin=file))
        assert (await run(*ask, "-N", to.at("site") + "/events?count=6")).count("data: ") == 6
        for version in ("--tlsv1.2", "--tlsv1.3"):
            assert json.loads(await run(*ask, version, echo))["method"] == "GET"
        # An authority that curl does not know.
        await run(curl, *QUIET, echo, rc=60)
        await to.once("site")

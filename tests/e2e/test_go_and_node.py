"""Clients in Go (net/http, grpc-go) and in Node (fetch, http, undici, grpc-js)."""

import json
from pathlib import Path

import pytest

from bench.peers import Tool
from tests.e2e.served import Served, run, served, site
from tests.e2e.triton import counted, doubled, files, request
from tests.local.triton_models import write_counting_model, write_model

pytestmark = pytest.mark.anyio

TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


@TLS
async def test_net_http(tmp_path: Path, clients: Path, go_client: Tool, tls: bool) -> None:
    site(tmp_path, clients, "site")
    async with served(tmp_path, tls=tls) as to:
        said = await run(go_client.path, "http", to.at("site"), *to.trust)
        told = json.loads(said)
        # All on one connection: kept, whatever went over it.
        assert told == {
            "proto": "HTTP/1.1",
            "answers": 57,
            "connections": 1,
            "events": 7,
            "downloaded": 40_000_000,
            "continued": True,
        }
        await to.once("site")


@TLS
async def test_node(tmp_path: Path, clients: Path, node_client: list[str], tls: bool) -> None:
    site(tmp_path, clients, "site")
    async with served(tmp_path, tls=tls) as to:
        told = json.loads(await run(*node_client, "http", to.at("site"), *to.trust))
        assert told == {
            "answers": 35,
            "connections": 1,
            "events": 7,
            "downloaded": 40_000_000,
            "pooled": 64,
        }
        await to.once("site")


@pytest.mark.triton
@TLS
async def test_grpc_go(tmp_path: Path, models_env: Path, go_client: Tool, tls: bool) -> None:
    write_models(tmp_path)
    async with served(tmp_path, gpus=2, tritonserver=models_env, tls=tls) as to:
        await calls(to, tmp_path, str(go_client.path))


@pytest.mark.triton
@TLS
async def test_grpc_js(tmp_path: Path, models_env: Path, node_client: list[str], tls: bool) -> None:
    write_models(tmp_path)
    async with served(tmp_path, gpus=2, tritonserver=models_env, tls=tls) as to:
        await calls(to, tmp_path, *node_client)


def write_models(folder: Path) -> None:
    write_model(folder, "double", slots=8)
    # It sleeps for longer than the deadline of the first call to it.
    write_counting_model(folder, "counting", slots=4)


async def calls(to: Served, folder: Path, *client: str) -> None:
    unary, stream = request("double", 21), request("counting", 3)
    given = files(folder, unary=unary, stream=stream)
    told = json.loads(await run(*client, "grpc", to.address, *given, *to.trust))
    assert [doubled(one) for one in told["answers"]] == [42, 42, 42]
    assert told["unknown"].upper().replace("_", "") == "NOTFOUND"
    assert told["late"].upper().replace("_", "") == "DEADLINEEXCEEDED"
    assert counted(told["streamed"]) == [0, 1, 2, 0, 1, 2]
    await to.once("double", "counting")

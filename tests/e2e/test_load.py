"""Load tools, a few seconds each, first against a model that sleeps: not one request may fail."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from tritonclient.grpc import service_pb2 as messages

from bench.peers import Tool
from bench.wrk import run_load
from tests.e2e.served import Served, run, served, site
from tests.e2e.triton import files, request
from tests.local.triton_models import write_model

pytestmark = pytest.mark.anyio

SECONDS = 3
CALLS = 1500
INFER = "inference.GRPCInferenceService/ModelInfer"
TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


async def test_wrk(tmp_path: Path, clients: Path, wrk: Tool) -> None:
    site(tmp_path, clients, "site", load_s=0.5)
    async with served(tmp_path) as to:
        url = to.at("site") + "/echo"
        load = await asyncio.to_thread(
            run_load, wrk, url, seconds=SECONDS, connections=16, folder=tmp_path
        )
        assert load.requests > 50
        await nothing_failed(to, "site", load.requests)


@TLS
async def test_hey(tmp_path: Path, clients: Path, hey: Tool, tls: bool) -> None:
    site(tmp_path, clients, "site", load_s=0.5)
    body = tmp_path / "body"
    body.write_bytes(bytes(100_000))
    async with served(tmp_path, tls=tls) as to:
        post = (hey.path, "-c", 16, "-m", "POST", "-D", body)
        url = to.at("site") + "/echo"
        for command in ((*post, "-z", f"{SECONDS}s"), (*post, "-n", 320, "-disable-keepalive")):
            said = await run(*command, url)
            ((status, count),) = re.findall(r"\[(\d+)\]\s+(\d+) responses", said)
            assert status == "200"
            assert int(count) > 50
            assert "Error distribution" not in said, said
        await nothing_failed(to, "site", 370)


@TLS
async def test_h2load_over_http(tmp_path: Path, clients: Path, h2load: Tool, tls: bool) -> None:
    site(tmp_path, clients, "site", load_s=0.5)
    async with served(tmp_path, tls=tls) as to:
        url = to.at("site") + "/echo"
        # The last: four requests on their way on each connection.
        for more in ((), ("-m", 4)):
            said = await run(
                *(h2load.path, "--h1", "-c", 16, "-n", CALLS, *more, url), env=h2load.env
            )
            assert f"{CALLS} succeeded, 0 failed, 0 errored, 0 timeout" in said
            assert f"status codes: {CALLS} 2xx, 0 3xx, 0 4xx, 0 5xx" in said
        await nothing_failed(to, "site", 2 * CALLS)


@pytest.mark.triton
@TLS
async def test_h2load_over_grpc(tmp_path: Path, models_env: Path, h2load: Tool, tls: bool) -> None:
    write_model(tmp_path, "double", slots=8)
    message = request("double", 4)
    framed = b"\0" + len(message).to_bytes(4, "big") + message
    (body,) = files(tmp_path, framed=framed)
    async with served(tmp_path, gpus=1, tritonserver=models_env, tls=tls) as to:
        fields = ("-H", "content-type: application/grpc", "-H", "te: trailers")
        # By itself it offers HTTP/1.1 as well, which would be chosen.
        offer = "--npn-list=h2"
        said = await run(
            *(h2load.path, offer, "-c", 4, "-m", 16, "-n", CALLS, "-d", body, *fields),
            f"{to.url}/{INFER}",
            env=h2load.env,
        )
        assert f"{CALLS} succeeded, 0 failed, 0 errored, 0 timeout" in said
        # It does not look at trailers: what the calls came to is counted by the gateway.
        await nothing_failed(to, "double", CALLS)


@pytest.mark.triton
@TLS
async def test_ghz(tmp_path: Path, models_env: Path, ghz: Tool, tls: bool) -> None:
    write_model(tmp_path, "double", slots=8)
    (body,) = files(tmp_path, unary=request("double", 4))
    protoset = tmp_path / "service.protoset"
    protoset.write_bytes(descriptors())
    async with served(tmp_path, gpus=1, tritonserver=models_env, tls=tls) as to:
        trust = ("--cacert", *to.trust) if tls else ("--insecure",)
        call = ("--protoset", protoset, "--call", INFER, "-B", body)
        said = await run(
            *(ghz.path, *trust, *call, "-n", CALLS, "-c", 32, "--connections", 4, "-O", "json"),
            to.address,
        )
        report = json.loads(said)
        assert report["statusCodeDistribution"] == {"OK": CALLS}
        assert not report["errorDistribution"]
        await nothing_failed(to, "double", CALLS)


async def nothing_failed(to: Served, name: str, requests: int) -> None:
    """By the gateway's own count; all but what was on its way when a tool stopped."""
    await to.once(name)
    state = await to.ebbtide.model(name)
    assert state["errors"] == 0
    assert state["requests"] >= requests


def descriptors() -> bytes:
    """The V2 service with all that it imports, each file behind those it needs."""
    found: dict[str, FileDescriptorProto] = {}

    def add(file) -> None:
        for needed in file.dependencies:
            add(needed)
        if file.name not in found:
            found[file.name] = FileDescriptorProto.FromString(file.serialized_pb)

    add(messages.DESCRIPTOR)
    return FileDescriptorSet(file=found.values()).SerializeToString()

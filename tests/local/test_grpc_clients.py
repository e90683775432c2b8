"""Real gRPC clients and real Triton: tritonclient, grpcio and its health check."""

import asyncio
import threading
from functools import partial

import grpc
import numpy as np
import pytest
import tritonclient.grpc as sync
import tritonclient.grpc.aio as aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.utils import InferenceServerException

from tests.local.triton_models import infer_body, write_counting_model, write_model
from tests.local.upped import Up, up

pytestmark = [pytest.mark.anyio, pytest.mark.triton]


def asked(kind, value: int):
    tensor = kind.InferInput("X", [1], "INT64")
    tensor.set_data_from_numpy(np.array([value], dtype=np.int64))
    return [tensor]


def doubled(result) -> int:
    return int(result.as_numpy("Y")[0][0])


def in_thread(call):
    """A client that blocks, away from the loop."""
    return asyncio.get_running_loop().run_in_executor(None, call)


async def test_clients_of_every_kind_get_their_answers(tmp_path, models_env):
    write_model(tmp_path, "double", load_s=2.0, slots=64)
    write_counting_model(tmp_path, "counting", slots=4)
    async with up(tmp_path, gpus=2, tritonserver=models_env) as ebbtide:
        await held_calls_and_a_deadline(ebbtide)
        async with aio.InferenceServerClient(f"127.0.0.1:{ebbtide.port}") as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert (await client.get_server_metadata()).name == "ebbtide"
            assert await client.is_model_ready("double")
            assert (await client.get_model_metadata("double")).inputs[0].name == "X"
            assert (await client.get_model_config("double")).config.name == "double"
            statistics = await client.get_inference_statistics("double")
            assert statistics.model_stats[0].name == "double"
            for compression in (None, "gzip", "deflate"):
                answer = await client.infer(
                    "double", asked(aio, 21), compression_algorithm=compression
                )
                assert doubled(answer) == 42
            with pytest.raises(InferenceServerException, match="UNIMPLEMENTED"):
                await client.get_model_repository_index()
            await streams(client)
        await in_thread(partial(blocking, ebbtide.port))
        # HTTP goes on beside all that, on the same port.
        assert (await ebbtide.infer("double", infer_body(4))).status_code == 200
        for name in ("double", "counting"):
            await ebbtide.until(name, lambda one: one["running"] == one["waiting"] == 0)


async def held_calls_and_a_deadline(ebbtide: Up) -> None:
    """320 calls on one channel wait for the model; a deadline and a cancellation end theirs."""
    async with aio.InferenceServerClient(f"127.0.0.1:{ebbtide.port}") as client:
        assert await client.is_model_ready("double")
        gone = asyncio.ensure_future(client.infer("double", asked(aio, 0)))
        calls = [
            asyncio.ensure_future(client.infer("double", asked(aio, n), client_timeout=60))
            for n in range(320)
        ]
        await ebbtide.until("double", lambda state: state["waiting"] == 321)
        gone.cancel()
        with pytest.raises(InferenceServerException, match="DEADLINE_EXCEEDED"):
            await client.infer("double", asked(aio, 0), client_timeout=0.3)
        answers = await asyncio.gather(*calls)
        assert [doubled(answer) for answer in answers] == [2 * n for n in range(320)]
    state = await ebbtide.until("double", lambda one: one["running"] == 0)
    assert state["cold_starts"] == 1


async def test_what_triton_computes_on_for_who_has_left_keeps_its_slot(tmp_path, models_env):
    """A reset and a deadline stop nothing there: whatever was sent is run to its end."""
    write_model(tmp_path, "slow", run_s=1.5, slots=1)
    async with up(tmp_path, gpus=1, tritonserver=models_env) as ebbtide:
        async with aio.InferenceServerClient(f"127.0.0.1:{ebbtide.port}") as client:
            assert counted(await client.infer("slow", asked(aio, 1))) == 1
            gone = asyncio.ensure_future(client.infer("slow", asked(aio, 2)))
            await ebbtide.until("slow", lambda one: one["running"] == 1)
            gone.cancel()
            after = asyncio.ensure_future(client.infer("slow", asked(aio, 3)))
            await ebbtide.until("slow", lambda one: one["running"] == one["waiting"] == 1)
            with pytest.raises(InferenceServerException, match="DEADLINE_EXCEEDED"):
                await client.infer("slow", asked(aio, 4), client_timeout=0.2)
            # The one that left was run, the one whose time was up while it was held was not.
            assert counted(await after) == 3
            with pytest.raises(InferenceServerException, match="DEADLINE_EXCEEDED"):
                await client.infer("slow", asked(aio, 5), client_timeout=0.5)
            after = asyncio.ensure_future(client.infer("slow", asked(aio, 6)))
            await ebbtide.until("slow", lambda one: one["running"] == one["waiting"] == 1)
            assert counted(await after) == 5
            stream = asyncio.ensure_future(listen(client))
            await ebbtide.until("slow", lambda one: one["running"] == 1)
            stream.cancel()
            after = asyncio.ensure_future(client.infer("slow", asked(aio, 8)))
            await ebbtide.until("slow", lambda one: one["running"] == one["waiting"] == 1)
            assert counted(await after) == 7
        await ebbtide.until("slow", lambda one: one["running"] == one["waiting"] == 0)


def counted(result) -> int:
    return int(result.as_numpy("Y")[1][0])


async def listen(client) -> None:
    """A stream with one message, kept open."""

    async def messages():
        yield {"model_name": "slow", "inputs": asked(aio, 7)}
        await asyncio.Event().wait()

    async for _ in client.stream_infer(messages()):
        pass


async def streams(client) -> None:
    """A decoupled model answers many times to each message of a stream."""

    async def messages():
        for count in (3, 0, 5):
            yield {
                "model_name": "counting",
                "inputs": asked(aio, count),
                "enable_empty_final_response": True,
            }

    got, finals = [], 0
    async for result, error in client.stream_infer(messages()):
        assert error is None
        if result.get_response().parameters["triton_final_response"].bool_param:
            finals += 1
        else:
            got.append(int(result.as_numpy("Y")[0]))
        if finals == 3:
            break
    assert got == [0, 1, 2, 0, 1, 2, 3, 4]


def blocking(port: int) -> None:
    """The client that blocks; its stream; its compression; grpcio's health check."""
    client = sync.InferenceServerClient(f"127.0.0.1:{port}")
    for compression in (None, "gzip", "deflate"):
        answer = client.infer("double", asked(sync, 5), compression_algorithm=compression)
        assert doubled(answer) == 10
    whole = threading.Event()
    got: list[int] = []

    def take(result, error) -> None:
        assert error is None
        got.append(int(result.as_numpy("Y")[0]))
        if len(got) == 200:
            whole.set()

    client.start_stream(take)
    client.async_stream_infer("counting", asked(sync, 200))
    assert whole.wait(20)
    client.stop_stream()
    assert got == list(range(200))
    client.close()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "double"):
            said = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert said.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as refused:
            health.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=5)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND

"""tritonclient over HTTP and gRPC, blocking and asyncio. Run in the development environment.

python triton_calls.py http|grpc ADDRESS [CA]

`double` takes any number of INT64 and still sleeps; `counting` is decoupled, and sleeps too.
"""

import asyncio
import queue
import ssl
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import tritonclient.grpc as overgrpc
import tritonclient.grpc.aio as grpcaio
import tritonclient.http as overhttp
import tritonclient.http.aio as httpaio
from tritonclient.utils import InferenceServerException

KIND, ADDRESS = sys.argv[1:3]
CA = sys.argv[3] if len(sys.argv) > 3 else None
LARGE = 1_000_000
Answers = queue.Queue
PACKED = [(None, None), ("gzip", "gzip"), ("deflate", "deflate"), (None, "gzip"), ("gzip", None)]


def tensor(kind, values: np.ndarray, **form: bool):
    made = kind.InferInput("X", list(values.shape), "INT64")
    made.set_data_from_numpy(values, **form)
    return [made]


def few(number: int) -> np.ndarray:
    return np.array([number], dtype=np.int64)


def doubled(result) -> list[int]:
    return result.as_numpy("Y")[0].tolist()


def http_blocking() -> None:
    secure = {"ssl": True, "ssl_options": {"ca_certs": CA}} if CA else {}
    with overhttp.InferenceServerClient(ADDRESS, concurrency=8, **secure) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("double")
        # The first finds the model asleep.
        assert doubled(client.infer("double", tensor(overhttp, few(21)))) == [42]
        assert client.get_server_metadata()["name"] == "ebbtide"
        assert client.get_model_metadata("double")["inputs"][0]["name"] == "X"
        assert client.get_model_config("double")["name"] == "double"
        assert client.get_inference_statistics("double")["model_stats"][0]["name"] == "double"
        http_forms(client)
        calls = [client.async_infer("double", tensor(overhttp, few(n))) for n in range(64)]
        assert [doubled(call.get_result()) for call in calls] == [[2 * n] for n in range(64)]
        once, twice = tensor(overhttp, few(1)), tensor(overhttp, few(1)) * 2
        # What the gateway says, and what Triton does, reach the caller alike.
        assert "no such model" in failure(client.infer, "nobody", once)
        assert "already exists" in failure(client.infer, "double", twice)


def failure(call: Callable[..., object], *words: object, **more: object) -> str:
    """The message of the exception that `call` ends with."""
    try:
        call(*words, **more)
    except InferenceServerException as error:
        return str(error)
    raise AssertionError("no exception")


def http_forms(client: overhttp.InferenceServerClient) -> None:
    """Numbers as JSON and as bytes, each way compressed and not, few and many."""
    for sent, back in PACKED:
        many = np.arange(LARGE // 10 if sent or back else LARGE, dtype=np.int64)
        form = {"request_compression_algorithm": sent, "response_compression_algorithm": back}
        for binary in (True, False):
            wanted = [overhttp.InferRequestedOutput("Y", binary_data=binary)]
            given = tensor(overhttp, few(4), binary_data=binary)
            assert doubled(client.infer("double", given, outputs=wanted, **form)) == [8]
        answer = client.infer("double", tensor(overhttp, many), **form)
        assert np.array_equal(answer.as_numpy("Y")[0], many * 2)


async def http_at_once() -> None:
    secure = {"ssl": True, "ssl_context": ssl.create_default_context(cafile=CA)} if CA else {}
    async with httpaio.InferenceServerClient(ADDRESS, **secure) as client:
        assert await client.is_model_ready("double")
        calls = (client.infer("double", tensor(httpaio, few(n))) for n in range(64))
        assert [doubled(one) for one in await asyncio.gather(*calls)] == [
            [2 * n] for n in range(64)
        ]
        for sent, back in PACKED:
            form = {"request_compression_algorithm": sent, "response_compression_algorithm": back}
            assert doubled(await client.infer("double", tensor(httpaio, few(4)), **form)) == [8]


def grpc_blocking() -> None:
    secure = {"ssl": True, "root_certificates": CA} if CA else {}
    with overgrpc.InferenceServerClient(ADDRESS, **secure) as client:
        assert client.is_model_ready("double")
        # The first finds the model asleep.
        assert doubled(client.infer("double", tensor(overgrpc, few(21)))) == [42]
        for packed in (None, "gzip", "deflate"):
            many = np.arange(LARGE // 10 if packed else LARGE, dtype=np.int64)
            answer = client.infer("double", tensor(overgrpc, many), compression_algorithm=packed)
            assert np.array_equal(answer.as_numpy("Y")[0], many * 2)
        answers: Answers = queue.Queue()
        take = partial(put, answers)
        for number in range(64):
            client.async_infer("double", tensor(overgrpc, few(number)), take)
        got = [answers.get(timeout=30) for _ in range(64)]
        assert all(error is None for _, error in got)
        assert sorted(doubled(result)[0] for result, _ in got) == [2 * n for n in range(64)]
        grpc_cancelled(client)
        client.start_stream(take)
        client.async_stream_infer("counting", tensor(overgrpc, few(5)))
        got = [answers.get(timeout=30) for _ in range(5)]
        assert [int(result.as_numpy("Y")[0]) for result, _ in got] == list(range(5))
        client.stop_stream()


def put(answers: Answers, result: object, error: object) -> None:
    answers.put((result, error))


def grpc_cancelled(client: overgrpc.InferenceServerClient) -> None:
    """Calls to a model that sleeps: one whose time is up, one that is called off."""
    asked = tensor(overgrpc, few(1))
    late = failure(client.infer, "counting", asked, client_timeout=0.2)
    assert "Deadline Exceeded" in late
    called_off: Answers = queue.Queue()
    client.async_infer("counting", asked, partial(put, called_off)).cancel()
    result, error = called_off.get(timeout=30)
    assert result is None
    assert "cancel" in str(error).lower()


async def grpc_at_once() -> None:
    secure = {"ssl": True, "root_certificates": CA} if CA else {}
    async with grpcaio.InferenceServerClient(ADDRESS, **secure) as client:
        calls = (client.infer("double", tensor(grpcaio, few(n))) for n in range(64))
        assert [doubled(one) for one in await asyncio.gather(*calls)] == [
            [2 * n] for n in range(64)
        ]

        async def requests():
            yield {"model_name": "counting", "inputs": tensor(grpcaio, few(50))}

        got = []
        async for result, error in client.stream_infer(requests()):
            assert error is None
            got.append(int(result.as_numpy("Y")[0]))
            if len(got) == 50:
                break
        assert got == list(range(50))


if KIND == "http":
    http_blocking()
    asyncio.run(http_at_once())
else:
    grpc_blocking()
    asyncio.run(grpc_at_once())

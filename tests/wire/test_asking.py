"""The client that asks model servers leaves nothing behind that would keep one from stopping."""

import asyncio
import gzip
import threading
from collections.abc import Sequence

import pytest

from fleet.errors import UnavailableError
from fleet.model import Ports, Tls
from fleet.runtimes import Endpoint, Reading
from fleet.runtimes.asking import Asker, ask, patience
from fleet.runtimes.triton_facts import reading_in
from fleet.runtimes.triton_server import TritonServer
from fleet.settings import Settings
from fleet.tls import Certificates
from tests.wire.secured import Authority

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.anyio
async def test_no_connection_stays_open_after_an_answer() -> None:
    """Triton, told to stop, waits up to 30 s for its HTTP connections to be closed."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_ANSWER)
        await reader.read()
        ended.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        endpoint = Endpoint(address="127.0.0.1", ports=Ports(http=port))
        assert (await ask(Asker(), endpoint, "/v2")).status == 200
        async with asyncio.timeout(2.0):
            await ended.wait()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("tls", "answers"),
    [
        (Tls(name="model.example"), True),
        (Tls(name="another.example"), False),
        (Tls(), False),
        (Tls(verify=False), True),
        (None, False),
    ],
)
async def test_a_server_that_speaks_tls_is_asked_as_its_deployment_says(tmp_path, tls, answers):
    authority = Authority(tmp_path)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_ANSWER)
        await writer.drain()
        writer.close()

    certificates = Certificates(Settings(replica_ca=authority.trusted))
    context = authority.server("model.example")
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        endpoint = Endpoint(address="127.0.0.1", ports=Ports(http=port), tls=tls)
        for _ in range(2):
            try:
                async with patience(endpoint, 2.0):
                    answered = (await ask(Asker(certificates), endpoint, "/v2")).status == 200
            except UnavailableError:
                answered = False
            assert answered is answers


def answered(body: bytes, *, status: int = 200, extra: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def outcome(said: bytes) -> list[BaseException | object]:
    """What a Triton that answers everything with `said` makes of each question."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        endpoint = Endpoint(address="127.0.0.1", ports=Ports(http=port, metrics=port))
        triton = TritonServer(Asker())
        return await asyncio.gather(
            triton.slots(endpoint, ["m"], timeout=5.0),
            triton.sequence_idle(endpoint, ["m"], timeout=5.0),
            triton.read(endpoint, ["m"], timeout=5.0),
            triton.warm_up(endpoint, "m", request=None, timeout=5.0),
            return_exceptions=True,
        )


ODD = {
    "charset": answered(b"no", status=500, extra="Content-Type: text/html; charset=base64\r\n"),
    "deep": answered(b'{"a":' + b"[" * 200_000),
    "infinite": answered(
        b'{"sequence_batching": {"max_sequence_idle_microseconds": 1e999}, "max_batch_size": 1e999}'
    ),
    "large": answered(b'{"max_batch_size": 1, "x": "' + b" " * 2**23 + b'"}'),
    "packed": answered(gzip.compress(b"{}"), extra="Content-Encoding: gzip\r\n"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("said", ODD.values(), ids=ODD.keys())
async def test_an_odd_answer_is_none_whatever_it_is(said: bytes) -> None:
    for found in await outcome(said):
        assert isinstance(found, UnavailableError), repr(found)


@pytest.mark.anyio
async def test_the_answer_to_a_warm_up_may_be_long() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        writer.write(answered(bytes(2**21), extra="Content-Encoding: gzip\r\n"))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        endpoint = Endpoint(address="127.0.0.1", ports=Ports(http=port))
        await TritonServer(Asker()).warm_up(endpoint, "m", request=b"{}", timeout=5.0)


@pytest.mark.anyio
@pytest.mark.parametrize(("padding", "apart"), [(10, False), (2**18, True)])
async def test_many_metrics_are_read_while_requests_go_on(
    padding: int, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: list[bool] = []

    def reading(text: str, models: Sequence[str]) -> Reading:
        readers.append(threading.current_thread() is not threading.main_thread())
        return reading_in(text, models)

    monkeypatch.setattr("fleet.runtimes.triton_server.reading_in", reading)
    text = b'nv_inference_pending_request_count{model="m"} 3\n# ' + b"x" * padding + b"\n"
    _, _, found, _ = await outcome(answered(text))
    assert isinstance(found, Reading)
    assert (found.pending, readers) == (3, [apart])

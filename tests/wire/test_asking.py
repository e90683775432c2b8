"""The client that asks model servers leaves nothing behind that would keep one from stopping."""

import asyncio

import pytest

from fleet.errors import UnavailableError
from fleet.model import Ports, Tls
from fleet.runtimes import Endpoint
from fleet.runtimes.asking import ask, asking_client, patience
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

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, asking_client() as ask:
        port = server.sockets[0].getsockname()[1]
        assert (await ask.get(f"http://127.0.0.1:{port}/v2")).status_code == 200
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
    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server,
        asking_client(certificates) as client,
    ):
        port = server.sockets[0].getsockname()[1]
        endpoint = Endpoint(address="127.0.0.1", ports=Ports(http=port), tls=tls)
        for _ in range(2):
            try:
                async with patience(endpoint, 2.0):
                    answered = (await ask(client, endpoint, "/v2")).status_code == 200
            except UnavailableError:
                answered = False
            assert answered is answers

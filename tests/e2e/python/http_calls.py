"""requests, httpx and aiohttp. Run in the environment of clients.

python http_calls.py requests|httpx|aiohttp URL [CA]

URL is that of a model of tests/e2e/model.py. The first call of each finds it asleep.
"""

import asyncio
import hashlib
import logging
import os
import ssl
import sys
from collections.abc import Iterator

import aiohttp
import httpx
import requests

KIND, URL = sys.argv[1:3]
CA = sys.argv[3] if len(sys.argv) > 3 else None
BODY = os.urandom(5 << 20)
SHA256 = hashlib.sha256(BODY).hexdigest()
LARGE = 20_000_000


def pieces() -> Iterator[bytes]:
    for at in range(0, len(BODY), 100_000):
        yield BODY[at : at + 100_000]


async def pieces_in_time():
    for piece in pieces():
        yield piece
        await asyncio.sleep(0)


def whole(told: dict) -> bool:
    return (told["length"], told["sha256"]) == (len(BODY), SHA256)


class Connections(logging.Handler):
    """What urllib3 says of connections it makes, first ones and those that had been closed."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []
        logger = logging.getLogger("urllib3.connectionpool")
        logger.setLevel(logging.DEBUG)
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith(("Starting new", "Resetting dropped")):
            self.made.append(record.getMessage())


def by_requests() -> None:
    connections = Connections().made
    with requests.Session() as session:
        session.trust_env = False
        session.verify = CA or True
        for number in range(30):
            answer = session.get(f"{URL}/echo", params={"n": number}, timeout=60)
            answer.raise_for_status()
            assert answer.json()["query"] == f"n={number}"
        assert len(connections) == 1, connections
        assert whole(session.post(f"{URL}/echo", data=BODY, timeout=60).json())
        streamed = session.post(f"{URL}/echo", data=pieces(), timeout=60).json()
        assert whole(streamed)
        assert streamed["fields"]["transfer-encoding"] == "chunked"
        files = {"file": ("name.bin", BODY)}
        form = session.post(f"{URL}/echo", files=files, timeout=60).json()
        assert form["fields"]["content-type"].startswith("multipart/form-data; boundary=")
        assert form["length"] > len(BODY)
        with session.get(f"{URL}/events?count=9", stream=True, timeout=60) as stream:
            assert sum(line.startswith(b"data: ") for line in stream.iter_lines()) == 9
        for path in (f"/large?bytes={LARGE}", f"/large?bytes={LARGE}&chunked=1"):
            with session.get(URL + path, stream=True, timeout=60) as answer:
                assert sum(map(len, answer.iter_content(1 << 16))) == LARGE
        assert session.head(f"{URL}/large?bytes=77", timeout=60).headers["content-length"] == "77"
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
            assert session.request(method, f"{URL}/echo", timeout=60).json()["method"] == method
        missing = session.get(f"{URL}/nothing", timeout=60)
        assert (missing.status_code, missing.text) == (404, "Not Found")


def by_httpx() -> None:
    with httpx.Client(verify=trust(), timeout=60, trust_env=False) as client:
        for number in range(30):
            assert client.get(f"{URL}/echo", params={"n": number}).json()["query"] == f"n={number}"
        answer = client.get(f"{URL}/echo")
        assert answer.http_version == "HTTP/1.1"
        assert len(client._transport._pool.connections) == 1
        assert whole(client.post(f"{URL}/echo", content=BODY).json())
        assert whole(client.post(f"{URL}/echo", content=pieces()).json())
        with client.stream("GET", f"{URL}/events?count=9") as stream:
            assert sum(line.startswith("data: ") for line in stream.iter_lines()) == 9
        # Left unread: the connection closes, the next call makes another.
        with client.stream("GET", f"{URL}/large?bytes={LARGE}"):
            pass
        assert len(client.get(f"{URL}/large?bytes={LARGE}&chunked=1").content) == LARGE
    asyncio.run(httpx_at_once())


async def httpx_at_once() -> None:
    async with httpx.AsyncClient(verify=trust(), timeout=60, trust_env=False) as client:
        calls = (client.get(f"{URL}/echo", params={"n": n}) for n in range(80))
        answers = await asyncio.gather(*calls)
        assert [one.json()["query"] for one in answers] == [f"n={n}" for n in range(80)]
        assert whole((await client.post(f"{URL}/echo", content=pieces_in_time())).json())
        async with client.stream("GET", f"{URL}/events?count=9") as stream:
            lines = [line async for line in stream.aiter_lines()]
        assert sum(line.startswith("data: ") for line in lines) == 9


async def by_aiohttp() -> None:
    patience = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(ssl=trust())
    async with aiohttp.ClientSession(timeout=patience, connector=connector) as session:
        assert (await told(session.get(f"{URL}/echo?n=1")))["query"] == "n=1"
        calls = (told(session.get(f"{URL}/echo?n={n}")) for n in range(80))
        assert [one["query"] for one in await asyncio.gather(*calls)] == [
            f"n={n}" for n in range(80)
        ]
        assert whole(await told(session.post(f"{URL}/echo", data=BODY)))
        assert whole(await told(session.post(f"{URL}/echo", data=pieces_in_time())))
        assert whole(await told(session.post(f"{URL}/echo", data=BODY, expect100=True)))
        async with session.get(f"{URL}/events?count=9") as stream:
            assert [line.startswith(b"data: ") async for line in stream.content].count(True) == 9
        async with session.ws_connect(f"{URL}/socket", protocols=["tide"]) as socket:
            assert socket.protocol == "tide"
            for size in (1, 1000, 100_000):
                await socket.send_bytes(bytes(size))
                assert len((await socket.receive()).data) == size
            await socket.ping()
            await socket.send_str("a word")
            assert (await socket.receive()).data == "a word"


async def told(call) -> dict:
    async with call as answer:
        assert answer.status == 200
        return await answer.json()


def trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CA)


if KIND == "aiohttp":
    asyncio.run(by_aiohttp())
else:
    {"requests": by_requests, "httpx": by_httpx}[KIND]()

"""One question over HTTP/1.1: what is an answer, what is none, and what is left behind."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from fleet.runtimes.exchange import Question, exchange

pytestmark = pytest.mark.anyio

MOST = 1000


class Server:
    """Says `said` to whatever comes, and closes then if it `closes`."""

    def __init__(self, said, *, closes=False, reads=True):
        self.said, self.closes, self.reads = said, closes, reads
        self.heard = b""
        self.left, self.answered = asyncio.Event(), asyncio.Event()
        self.port = 0

    async def serve(self, reader, writer):
        try:
            if self.reads:
                self.heard = await reader.readuntil(b"\r\n\r\n")
            writer.write(self.said)
            await writer.drain()
            if not self.reads:
                await self.answered.wait()
            if not self.closes:
                while more := await reader.read(2**16):
                    self.heard += more
            self.left.set()
        except ConnectionError:
            self.left.set()
        finally:
            writer.close()


@asynccontextmanager
async def serving(said, **options):
    server = Server(said, **options)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()


def question(server, **options):
    return Question(host="127.0.0.1", port=server.port, **{"path": "/", "most": MOST, **options})


def sized(body, *, head=""):
    return f"HTTP/1.1 200 OK\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWERS = {
    "sized": (sized(b"abc"), 200, b"abc"),
    "empty": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "nameless": (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na", 200, b"a"),
    "chunked": (
        CHUNKED + b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nContent-Encoding: z\r\n\r\n",
        200,
        b"abc",
    ),
    "early": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + sized(b"abc"), 200, b"abc"),
    "not packed": (sized(b"abc", head="Content-Encoding: identity\r\n"), 200, b"abc"),
    "more behind": (sized(b"abc", head="Connection: close\r\n") + b"more", 200, b"abc"),
    "refused": (b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", 404, b"no"),
}


@pytest.mark.parametrize(("said", "status", "body"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_an_answer_is_there_once_it_is_whole(said, status, body):
    async with serving(said) as server, asyncio.timeout(5):
        found = await exchange(question(server))
        assert (found.status, found.body) == (status, body)
        # And nothing is kept open.
        await server.left.wait()


async def test_an_answer_without_a_length_ends_with_the_connection():
    async with serving(b"HTTP/1.0 200 OK\r\n\r\nall of it", closes=True) as server:
        assert (await exchange(question(server))).body == b"all of it"


CUT = {
    "nothing": b"",
    "in the head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "before the body": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
    "in the body": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
    "in a chunk": CHUNKED + b"5\r\nab",
    "between chunks": CHUNKED + b"2\r\nab\r\n",
    "after a word in between": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("said", CUT.values(), ids=CUT.keys())
async def test_half_an_answer_is_a_broken_connection(said):
    async with serving(said, closes=True) as server, asyncio.timeout(5):
        with pytest.raises(ConnectionError):
            await exchange(question(server))


NONE = {
    "another protocol": b"220 mail.example ESMTP\r\n",
    "another version": b"HTTP/2 200\r\n\r\n",
    "bare line ends": b"HTTP/1.1 200 OK\nContent-Length: 1\n\na",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "packed": sized(b"abc", head="Content-Encoding: gzip\r\n"),
    "switched": b"HTTP/1.1 101 On\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nx",
    "large": sized(bytes(MOST + 1)),
    "large in chunks": CHUNKED + b"200\r\n" + bytes(512) + b"\r\n200\r\n" + bytes(512),
    "large head": b"HTTP/1.1 200 OK\r\n" + b"A: " + b"b" * 2**17,
    "many words in between": b"HTTP/1.1 100 Go on\r\n\r\n" * 2**12,
}


@pytest.mark.parametrize("said", NONE.values(), ids=NONE.keys())
async def test_what_is_no_answer_is_a_wrong_value_and_the_connection_ends(said):
    async with serving(said) as server, asyncio.timeout(5):
        with pytest.raises(ValueError, match=r"not an answer|packed|over"):
            await exchange(question(server))
        await server.left.wait()


@pytest.mark.parametrize("head", ["", "Content-Encoding: gzip\r\n"])
async def test_of_what_is_long_or_packed_the_beginning_can_be_had(head):
    async with serving(sized(b"a" * 5 * MOST, head=head)) as server:
        found = await exchange(question(server, beginning=True))
        assert found.body == b"a" * MOST


async def test_an_answer_to_a_head_has_no_body():
    async with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n") as server:
        assert (await exchange(question(server, method="HEAD"))).body == b""


async def test_what_is_sent_is_one_request_and_its_framing_is_ours():
    given = {
        "X-Mine": "a b",
        "Host": "other",
        "content-length": "9",
        "Transfer-Encoding": "chunked",
    }
    async with serving(sized(b"")) as server, asyncio.timeout(5):
        asked = question(
            server, method="POST", path="/a b?c=\u00e9#d", headers=given, body=b"xy", most=1
        )
        await exchange(asked)
        await server.left.wait()
        head, _, body = server.heard.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        assert first == "POST /a%20b?c=%C3%A9 HTTP/1.1"
        assert sorted(fields) == [
            "accept-encoding: identity",
            "accept: */*",
            "connection: close",
            "content-length: 2",
            "host: other",
            "user-agent: ebbtide",
            "x-mine: a b",
        ]
        assert body == b"xy"


@pytest.mark.parametrize(
    "bad",
    [
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": {"X\r\nY": "b"}},
        {"headers": {"X": "a\x00"}},
        {"headers": {"": "a"}},
        {"headers": {"X": "\u20ac"}},
        {"method": "GET / HTTP/1.1\r\nX:"},
    ],
)
async def test_nothing_that_is_given_can_be_a_second_line(bad):
    async with serving(sized(b"")) as server:
        with pytest.raises(ValueError, match=r"not a|codec"):
            await exchange(question(server, **bad))
        assert server.heard == b""


async def test_an_answer_that_comes_before_all_was_read_is_one_and_the_rest_is_not_sent():
    size = 2**24
    async with serving(sized(b"no"), reads=False) as server, asyncio.timeout(5):
        found = await exchange(question(server, method="POST", body=bytes(size)))
        assert found.body == b"no"
        server.answered.set()
        await server.left.wait()
        assert len(server.heard) < size


async def test_who_gives_up_leaves_no_connection_behind():
    async with serving(b"") as server, asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await exchange(question(server))
        await server.left.wait()


async def test_where_nobody_listens_the_system_says_so():
    async with serving(b"") as server:
        pass
    with pytest.raises(ConnectionRefusedError):
        await exchange(question(server))

"""Bent calls and bent replicas over HTTP/2: nothing raises, nothing hangs, nothing is left.

`make test` tries the same few every time; `make soak` goes on with new ones for ten minutes a
side. A failure prints the bytes that it needs.
"""

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import hpack
import pytest
import uvloop
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as search
from hypothesis import strategies as st

from fleet.model import Policy, Ports, WarmUp
from fleet.settings import Settings
from gateway.grpc import downstream
from tests.fakes.http2 import (
    ACK,
    HEADERS,
    PING,
    PREFACE,
    SETTINGS,
    Peer,
    Told,
    connect,
    echo,
    frame,
)
from tests.fakes.http2 import settings as announcement
from tests.wire.bentframes import (
    ANSWERS,
    BENDS,
    CUTS,
    MOVES,
    answer,
    bent,
    frames_of,
    judge,
    pieces,
    spoken,
)
from tests.wire.grpcstage import INFER, STREAM, Calls, calls, named
from tests.wire.stage import Stage, model, stage
from tests.wire.test_fuzz import conversation, for_seconds, nothing_is_left

pytestmark = pytest.mark.soak

_IMPATIENT = Settings(header_timeout=0.05, body_timeout=0.05, http_keepalive=0.05)
_POLICY = Policy(slots=3, warm_up=WarmUp.NONE, wait_timeout=0.4, request_timeout=0.15)
_SEARCH = search(
    max_examples=8,
    deadline=None,
    # No shrinking: each example waits for real timers, so that would take minutes.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
_ENDS = st.sampled_from(["close", "eof", "abort", "stay", "stay"])


@pytest.fixture(autouse=True)
def short_of_patience(monkeypatch):
    """Who does not answer a PING is gone at once."""
    monkeypatch.setattr(downstream, "_PONG_S", 0.1)


def hurry(s: Stage) -> None:
    """Listen to nobody who has been refused for long."""
    context = s.front._context
    context.limits = replace(context.limits, linger=0.1)


async def judged(s: Stage, data: list[bytes], end: str) -> None:
    """Say `data`, and hold what comes back to HTTP/2's rules."""
    heard = await conversation(s, data, end)
    if not heard.startswith(b"HTTP/1.1 "):
        judge(frames_of(heard))


async def nothing_of_calls_is_left(s: Stage) -> None:
    await nothing_is_left(s)
    context = s.front._context
    await s.until(lambda: not context.connecting)
    room = s.hall.room
    assert (room.held, room.gathered, room.waiting) == (0, 0, 0)
    filed = set().union(*context.deadlines._buckets.values())
    assert not [one for one in filed if isinstance(one, downstream.Downstream)]
    for upstream in context.outbounds:
        connection = upstream.connection
        assert (connection.streams, connection.sending.waiting) == ({}, 0)
        assert not upstream._pool.waiting


async def well(s: Stage, *, echoed: bool = True) -> None:
    """A call that is as it should be is answered as it should be.

    The gateway has no patience here, so a busy machine may need some: a few tries.
    """
    for _ in range(5):
        client = await connect(s.port)
        number = client.call(INFER)
        client.data(number, named("demo"), end=True)
        told = await client.over(number)
        judge(client.frames)
        await client.close()
        if told.status == "0":
            assert not echoed or bytes(told.data) == named("demo")
            return
    raise AssertionError(told)


async def refuses(peer: Peer, told: Told) -> None:
    peer.head(told.number, [(":status", "200"), ("grpc-status", "3")], end=True)


async def resets(peer: Peer, told: Told) -> None:
    peer.reset(told.number, 2)


async def begins(peer: Peer, told: Told) -> None:
    peer.head(told.number, [(":status", "200")])


async def waits(peer: Peer, told: Told) -> None:
    """Answers when it is too late."""


_SCRIPTS = [echo, echo, echo, refuses, resets, begins, waits]


def judge_replica(on: Calls) -> None:
    for peer in on.replica.peers:
        # It reads strictly: what is wrong ends its task.
        if peer.task.done():
            assert peer.task.exception() is None


def test_bent_calls(soak_seconds, pytestconfig):
    @_SEARCH
    @given(
        st.lists(st.tuples(MOVES, BENDS, CUTS, _ENDS), min_size=4, max_size=4),
        st.lists(st.sampled_from(_SCRIPTS), min_size=1, max_size=4),
        st.booleans(),
    )
    def run(drawn, scripts, awake):
        count = 0

        async def script(peer, told):
            nonlocal count
            count += 1
            await scripts[count % len(scripts)](peer, told)

        async def talk():
            async with calls(
                script, settings=_IMPATIENT, awake=awake, start=0.002, policy=_POLICY
            ) as on:
                hurry(on.stage)
                async with asyncio.TaskGroup() as group:
                    for moves, bends, cuts, end in drawn:
                        data = pieces(bent(spoken(moves), bends), cuts)
                        group.create_task(judged(on.stage, data, end))
                await nothing_of_calls_is_left(on.stage)
                on.replica.script = echo
                await well(on.stage)
                judge_replica(on)

        uvloop.run(talk())

    for_seconds(soak_seconds, run, searching=pytestconfig.getoption("--soak"))


class BentReplica:
    """Says what it was given on the next call, whatever that breaks; at the end it echoes."""

    def __init__(self, answers: list[tuple[str, object, list[int], str]]) -> None:
        self.answers = list(answers)
        self.writers: set[asyncio.StreamWriter] = set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        encoder = hpack.Encoder()
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            assert await reader.readexactly(24) == PREFACE
            writer.write(announcement())
            while True:
                start = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(start[:3], "big"))
                number = int.from_bytes(start[5:], "big")
                if start[3] == SETTINGS and not start[4] & ACK:
                    writer.write(frame(SETTINGS, ACK))
                elif start[3] == PING and not start[4] & ACK:
                    writer.write(frame(PING, ACK, 0, payload))
                elif start[3] == HEADERS:
                    await self._say(writer, number, encoder)
        self.writers.discard(writer)
        writer.transport.abort()

    async def _say(self, writer, number: int, encoder: hpack.Encoder) -> None:
        kind, bends, cuts, how = self.answers.pop(0) if self.answers else ("none", ([], []), [], "")
        for piece in pieces(bent(answer(kind, number, encoder), bends), cuts):
            if not writer.transport.is_closing():
                writer.write(piece)
            await asyncio.sleep(0)
        if how == "abort":
            writer.transport.abort()
        elif how == "close":
            writer.close()

    def leave(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


@asynccontextmanager
async def bent_stage(replica: BentReplica, **changes):
    server = await asyncio.start_server(replica.take, "127.1.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def make(http: int):
        return replace(model(port=http, policy=_POLICY), ports=Ports(http=http, grpc=port))

    try:
        async with stage(make, settings=_IMPATIENT, **changes) as s:
            hurry(s)
            yield s
    finally:
        server.close()
        replica.leave()


async def asks(s: Stage, kinds: list[str], end: str) -> None:
    """Several calls at once, as a client should; each of them ends."""
    client = await connect(s.port)
    numbers = []
    for kind in kinds:
        numbers.append(number := client.call(INFER if kind == "infer" else STREAM))
        client.data(number, named("demo"), end=kind == "infer")
        if kind == "bulky":
            await client.pour(number, named("demo", b"\x3a\xa0\x9c\x01" + bytes(20_000)))
    if end == "stay":
        for number in numbers:
            await client.over(number, seconds=10)
            assert client.goaway is None or client.goaway[1] == 0, client.goaway
    assert not client.task.done() or client.task.exception() is None
    judge(client.frames)
    await client.close()


def test_bent_replicas(soak_seconds, pytestconfig):
    @_SEARCH
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(ANSWERS),
                BENDS,
                CUTS,
                st.sampled_from(["close", "abort", "stay", "stay", "stay"]),
            ),
            min_size=8,
            max_size=16,
        ),
        st.lists(
            st.tuples(
                st.lists(
                    st.sampled_from(["infer", "infer", "stream", "bulky"]), min_size=1, max_size=4
                ),
                st.sampled_from(["stay", "stay", "leave"]),
            ),
            min_size=3,
            max_size=3,
        ),
    )
    def run(answers, clients):
        async def talk():
            replica = BentReplica(answers)
            async with bent_stage(replica) as s:
                async with asyncio.TaskGroup() as group:
                    for kinds, end in clients:
                        group.create_task(asks(s, kinds, end))
                await nothing_of_calls_is_left(s)
                replica.leave()
                await s.until(lambda: not s.front._context.outbounds)
                replica.answers = [("whole", ([], []), [], "")]
                await well(s, echoed=False)

        uvloop.run(talk())

    for_seconds(soak_seconds, run, searching=pytestconfig.getoption("--soak"))

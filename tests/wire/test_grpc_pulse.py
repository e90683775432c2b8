"""A connection to a replica that says nothing: asked whether it is there, never too often."""

import asyncio
from types import SimpleNamespace

import pytest

from fleet.model import Policy, WarmUp
from gateway.grpc import pulse
from gateway.grpc.pulse import Pulse
from tests.fakes.http2 import PING, Peer, Told, echo
from tests.wire.grpcstage import INFER, calls, named
from tests.wire.stage import BOTH_LOOPS

SILENT, PONG, BETWEEN = 60.0, 20.0, 310.0
ONE = Policy(slots=1, warm_up=WarmUp.NONE)


class Silence:
    """A connection that hears what it is told to, and a clock."""

    def __init__(self, *, streams: int = 1) -> None:
        self.pings: list[float] = []
        self.now = 0.0
        self.broken = self.retired = self.closing = False
        self.heard = 0
        self.streams = dict.fromkeys(range(streams))
        self.sending = SimpleNamespace(put=lambda _frame: self.pings.append(self.now))
        side = SimpleNamespace(connection=self, retire=self.retire)
        self.pulse = Pulse(side, SimpleNamespace())

    def abort(self) -> None:
        self.broken = True

    def retire(self) -> None:
        self.retired = True

    def live(self, until: float, *, talks=(), answers: bool = True) -> None:
        """Let time pass; it hears something at each of `talks`, and after each ping."""
        left = sorted(talks)
        due = self.now + SILENT
        while due < until:
            while left and left[0] <= due:
                self.heard += 1
                left.pop(0)
            sent = len(self.pings)
            self.now = due
            due = self.pulse.overdue(due)
            self.heard += answers and len(self.pings) > sent


def test_a_silent_one_is_asked_and_those_who_answer_are_not_asked_too_often() -> None:
    it = Silence()
    it.live(3600.0)
    assert not it.broken
    assert it.pings[0] == SILENT
    gaps = [after - before for before, after in zip(it.pings, it.pings[1:], strict=False)]
    # A server of gRPC takes one in five minutes, and ends the connection after two too many.
    assert len(gaps) == 11
    assert all(BETWEEN <= gap < BETWEEN + SILENT + PONG for gap in gaps)


def test_one_that_does_not_answer_is_given_up() -> None:
    it = Silence()
    it.live(SILENT + PONG + 1, answers=False)
    assert it.broken
    assert it.pings == [SILENT]


def test_one_that_talks_is_not_asked_and_is_asked_anew_when_it_stops() -> None:
    it = Silence()
    it.live(1000.0, talks=range(0, 1000, 50))
    assert not it.pings
    it.live(1200.0)
    assert len(it.pings) == 1
    it.live(1400.0, talks=[1210.0])
    assert len(it.pings) == 2


def test_one_without_calls_is_closed_unasked() -> None:
    it = Silence(streams=0)
    it.live(5 * SILENT)
    assert not it.retired
    it.now = 4 * SILENT
    it.live(5 * SILENT + 1)
    assert (it.retired, it.pings, it.broken) == (True, [], False)


@pytest.mark.anyio
@BOTH_LOOPS
async def test_a_call_at_a_replica_that_is_gone_without_a_word_is_sent_again(monkeypatch) -> None:
    monkeypatch.setattr(pulse, "_SILENT_S", 0.1)
    monkeypatch.setattr(pulse, "_PONG_S", 0.1)

    async def stops(peer: Peer, told: Told) -> None:
        await peer.until(lambda: told.ended)
        if len(on.replica.peers) == 1:
            # Its machine is gone: nothing is read any more, and nothing said.
            peer.task.cancel()
        else:
            await echo(peer, told)

    async with calls(stops, policy=ONE) as on:
        client = await on.client()
        number = client.call(INFER)
        client.data(number, named("demo"), end=True)
        assert (await client.over(number)).status == "0"
        assert len(on.replica.peers) == 2
        await on.idle()


@pytest.mark.anyio
@BOTH_LOOPS
async def test_a_silent_replica_that_is_there_keeps_its_call(monkeypatch) -> None:
    monkeypatch.setattr(pulse, "_SILENT_S", 0.1)
    asked = asyncio.Event()

    async def thinks(peer: Peer, told: Told) -> None:
        await peer.until(lambda: any(one.kind == PING for one in peer.frames))
        asked.set()
        await echo(peer, told)

    async with calls(thinks, policy=ONE) as on:
        client = await on.client()
        number = client.call(INFER)
        client.data(number, named("demo"), end=True)
        assert (await client.over(number)).status == "0"
        assert asked.is_set()
        assert len(on.replica.peers) == 1


@pytest.mark.anyio
@BOTH_LOOPS
async def test_an_idle_connection_is_closed_after_a_while(monkeypatch) -> None:
    monkeypatch.setattr(pulse, "_SILENT_S", 0.1)
    async with calls(policy=ONE) as on:
        client = await on.client()
        for count in (1, 2):
            number = client.call(INFER)
            client.data(number, named("demo"), end=True)
            assert (await client.over(number)).status == "0"
            assert len(on.replica.peers) == count
            peer = on.replica.peers[-1]
            await peer.until(lambda peer=peer: peer.lost)

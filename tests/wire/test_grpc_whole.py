"""A call, or an answer, that came in one read fares as one that came frame by frame."""

from collections.abc import Callable

import hpack
import pytest

from fleet.model import Policy, Served, WarmUp
from fleet.names import ModelName
from fleet.settings import Settings
from gateway.core.answers import timing_line
from gateway.grpc.answering import timing_block
from gateway.grpc.downstream import Downstream
from gateway.grpc.pool import pool_of
from gateway.grpc.upstream import Upstream
from gateway.grpc.wholeanswer import take_answer
from gateway.grpc.wholecall import take_call
from tests.fakes.http2 import DATA, END, HEADERS, PREFACE, RST, WHOLE, frame, message, settings
from tests.wire.cost import Idle
from tests.wire.grpcstage import INFER, STREAM, named
from tests.wire.stage import model, stage

pytestmark = pytest.mark.anyio

PADDED = 8
ASKED = named("demo", b"\x1a\x02hi")
ANSWERED = message(b"\x0a\x04demo")
CANCEL = (8).to_bytes(4, "big")
MOST = 64


class Tape(Idle):
    """A transport that keeps what it was given."""

    def __init__(self) -> None:
        self.written = b""
        self.over = False

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, data: list[bytes]) -> None:
        self.written += b"".join(data)

    def close(self) -> None:
        self.over = True

    abort = close


class Ends:
    """The gateway between a client and a replica, both on tape."""

    def __init__(self, stage, cut: Callable[[bytes], list[bytes]], **announced: int) -> None:
        context = self.context = stage.front._context
        context.now = lambda: 1000.0
        pool = pool_of(context, stage.line.peek())
        up = Upstream(pool)
        self.line, self.cut = stage.line, cut
        self.down, self.up = Downstream(context).connection, up.connection
        self.asks, self.answers = hpack.Encoder(), hpack.Encoder()
        for one, first in ((self.down, PREFACE), (self.up, b"")):
            one.connection_made(Tape())
            one.data_received(first + settings(**announced))
        pool._upstreams = [up]

    def read(self, side, data: bytes) -> None:
        for piece in self.cut(data):
            side.data_received(piece)
        self.context.outbox.flush()

    def ask(self, number: int, path: str = INFER, *more: tuple[str, str], end: bool = False):
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "gw")]
        fields += [("content-type", "application/grpc"), ("te", "trailers"), *more]
        return frame(HEADERS, WHOLE | end, number, self.asks.encode(fields))

    def begin(self, number: int, *more: tuple[str, str], status: str = "200") -> bytes:
        fields = [(":status", status), ("content-type", "application/grpc"), *more]
        return frame(HEADERS, WHOLE, number, self.answers.encode(fields))

    def end(self, number: int, status: str = "0", *more: tuple[str, str]) -> bytes:
        fields = [("grpc-status", status), ("grpc-message", ""), *more]
        return frame(HEADERS, WHOLE | END, number, self.answers.encode(fields))

    def call(self, number: int) -> None:
        """A call as all are, so that its head, its name and its answer are known."""
        self.read(self.down, self.ask(number) + frame(DATA, END, number, ASKED))
        self.answer(number)

    def answer(self, number: int) -> None:
        answer = self.begin(number) + frame(DATA, 0, number, ANSWERED)
        self.read(self.up, answer + self.end(number))

    def facts(self) -> object:
        tally, line = self.line_tally(), self.line
        counts = (line.arrivals, line.completions, line.running, line.waiting)
        streams = [
            [
                (s.number, s.window, s.ended or s.room, s.owed, s.finished, waiting(s))
                for s in one.streams.values()
            ]
            for one in (self.down, self.up)
        ]
        windows = [(one.taken, one.sending.window) for one in (self.down, self.up)]
        ours = (
            self.context.requests,
            self.context.room.waiting_bytes,
            self.context.room.gathered,
            self.context.other.codes,
        )
        told = (tally.codes, tally.refused, tally.retried, tally.wait.counts, tally.upstream.counts)
        return counts, streams, windows, ours, told, self.down.closing, self.up.closing

    def line_tally(self):
        return self.context.tables.now.names["demo"].tally

    @property
    def written(self) -> tuple[bytes, bytes]:
        return self.down.transport.written, self.up.transport.written


def waiting(stream) -> list[tuple[object, ...]]:
    return [(one.payload, one.end, one.credit, one.trailers) for one in stream.queue or ()]


def at_once(data: bytes) -> list[bytes]:
    return [data]


def by_frames(data: bytes) -> list[bytes]:
    pieces, at = [], 0
    while at < len(data):
        end = at + 9 + int.from_bytes(data[at : at + 3], "big")
        pieces.append(data[at:end])
        at = end
    return pieces


Made = Callable[[Ends, int], bytes]


def data(*payloads: bytes, flags: int = END) -> Made:
    """A call, and these behind its head; the last of them with `flags`."""

    def made(ends: Ends, n: int) -> bytes:
        frames = [frame(DATA, 0, n, one) for one in payloads[:-1]]
        return ends.ask(n) + b"".join(frames) + frame(DATA, flags, n, payloads[-1])

    return made


CALLS: dict[str, Made] = {
    "as all are": data(ASKED),
    "two in one read": lambda e, n: (
        data(ASKED)(e, n) + e.ask(n + 2) + frame(DATA, END, n + 2, ASKED)
    ),
    "a deadline": lambda e, n: e.ask(n, INFER, ("grpc-timeout", "5S")) + frame(DATA, END, n, ASKED),
    "no end": data(ASKED, flags=0),
    "an end of its own": data(ASKED, b""),
    "cancelled at once": lambda e, n: data(ASKED)(e, n) + frame(RST, 0, n, CANCEL),
    "in two frames": data(ASKED[:9], ASKED[9:]),
    "padded": data(b"\x02" + ASKED + b"\0\0", flags=END | PADDED),
    "nothing": data(b""),
    "no name": data(message(b"")),
    "another model": data(named("other")),
    "the served name": data(named("inner")),
    "an alias": data(named("alias", b"\x1a\x02hi")),
    "two names that are one": data(named("demo", b"\x0a\x04demo")),
    "two names": data(named("demo", b"\x0a\x05other")),
    "two messages": data(ASKED + ASKED),
    "two messages of two models": data(ASKED + named("other")),
    "cut off": data(ASKED[:-1]),
    "a field cut off": data(named("demo", b"\x1a\x09hi")),
    "compressed, it says": data(b"\x01" + ASKED[1:]),
    "the longest": data(named("demo", b"\x1a" + bytes((MOST - 8,)) + bytes(MOST - 8))),
    "longer than the longest": data(named("demo", b"\x1a" + bytes((MOST - 7,)) + bytes(MOST - 7))),
    "as long as it says": lambda e, n: (
        e.ask(n, INFER, ("content-length", str(len(ASKED)))) + frame(DATA, END, n, ASKED)
    ),
    "longer than it says": lambda e, n: (
        e.ask(n, INFER, ("content-length", str(len(ASKED))))
        + frame(DATA, END, n, ASKED if n == 3 else named("demo", b"\x1a\x03hi!"))
    ),
    "data of another stream": lambda e, n: e.ask(n) + frame(DATA, END, n + 2, ASKED),
    "data of an earlier stream": lambda e, n: e.ask(n) + frame(DATA, END, 1, ASKED),
    "an even stream": lambda e, n: e.ask(n + 1) + frame(DATA, END, n + 1, ASKED),
    "a stream that was there": lambda e, n: data(ASKED)(e, n) + data(ASKED)(e, n),
    "a stream": lambda e, n: e.ask(n, STREAM) + frame(DATA, END, n, ASKED),
    "a frame too long": lambda e, n: e.ask(n) + frame(DATA, END, n, bytes(16_385)),
    "trailers": lambda e, n: (
        e.ask(n)
        + frame(DATA, 0, n, ASKED)
        + frame(HEADERS, WHOLE | END, n, e.asks.encode([("x", "y")]))
    ),
}


def unending(head: bytes) -> bytes:
    return head[:4] + bytes((WHOLE,)) + head[5:]


def told(*payloads: bytes, flags: int = 0) -> Made:
    def made(ends: Ends, n: int) -> bytes:
        frames = [frame(DATA, flags, n, one) for one in payloads]
        return ends.begin(n) + b"".join(frames) + ends.end(n)

    return made


ANSWERS: dict[str, Made] = {
    "as all are": told(ANSWERED),
    "two messages": told(ANSWERED, ANSWERED),
    "nothing": told(b""),
    "no message": told(),
    "padded": told(b"\x02" + ANSWERED + b"\0\0", flags=PADDED),
    "it failed": lambda e, n: e.begin(n) + frame(DATA, 0, n, ANSWERED) + e.end(n, "13"),
    "it is overloaded": lambda e, n: e.begin(n) + frame(DATA, 0, n, ANSWERED) + e.end(n, "14"),
    "trailers of its own": lambda e, n: (
        e.begin(n) + frame(DATA, 0, n, ANSWERED) + e.end(n, "0", ("x-id", "7"))
    ),
    "no trailers": lambda e, n: e.begin(n) + frame(DATA, END, n, ANSWERED),
    "one head too many": lambda e, n: (
        e.begin(n) + frame(DATA, 0, n, ANSWERED) + e.begin(n) + e.end(n)
    ),
    "a head, and a whole answer": lambda e, n: e.begin(n) + told(ANSWERED)(e, n),
    "trailers that do not end it": lambda e, n: (
        e.begin(n) + frame(DATA, 0, n, ANSWERED) + unending(e.end(n))
    ),
    "a second head ends it": lambda e, n: (
        e.begin(n) + frame(DATA, 0, n, ANSWERED) + frame(HEADERS, WHOLE | END, n, e.begin(n)[9:])
    ),
    "an interim head": lambda e, n: e.begin(n, status="103") + told(ANSWERED)(e, n),
    "nothing but an interim head": lambda e, n: (
        e.begin(n, status="103") + frame(DATA, 0, n, ANSWERED) + e.end(n)
    ),
    "trailers first": lambda e, n: e.end(n) + frame(DATA, 0, n, ANSWERED) + e.end(n),
    "reset behind it": lambda e, n: told(ANSWERED)(e, n) + frame(RST, 0, n, CANCEL),
    "of a stream that is over": lambda e, n: (
        e.begin(1) + frame(DATA, 0, 1, ANSWERED) + e.end(1) + told(ANSWERED)(e, n)
    ),
    "data of another stream": lambda e, n: e.begin(n) + frame(DATA, 0, 1, ANSWERED) + e.end(n),
    "trailers of another stream": lambda e, n: e.begin(n) + frame(DATA, 0, n, ANSWERED) + e.end(1),
    "large": told(bytes(5000)),
    "over the client's window": told(bytes(40)),
    "over it with the second": told(bytes(20), bytes(20)),
}


async def outcome(
    cut, act: Callable[[Ends], None], *, settings: Settings | None = None, **announced: int
) -> object:
    policy = Policy(slots=2, warm_up=WarmUp.NONE, max_body=MOST)
    names = tuple(
        Served(name=ModelName(name), served=served)
        for name, served in (("demo", "demo"), ("alias", "inner"))
    )

    def make(port: int):
        return model(port=port, policy=policy, models=names)

    async with stage(make, settings=settings) as s:
        ends = Ends(s, cut, **announced)
        ends.call(1)
        act(ends)
        found = repr(ends.facts()), ends.written
        for side in (ends.down, ends.up):
            side.connection_lost(None)
        return found


@pytest.mark.parametrize("case", CALLS)
async def test_a_call(case) -> None:
    def act(ends: Ends) -> None:
        # From the second time on its head is known.
        for number in (3, 7, 11):
            ends.read(ends.down, CALLS[case](ends, number))
            ends.answer(number)

    expected = await outcome(by_frames, act)
    assert await outcome(at_once, act) == expected


@pytest.mark.parametrize(
    ("case", "window", "ended"),
    [
        *((case, window, True) for case in ANSWERS for window in (2**16, 30)),
        ("as all are", 2**16, False),
        ("it failed", 2**16, False),
    ],
)
async def test_an_answer(case, window, ended) -> None:
    def act(ends: Ends) -> None:
        for _ in range(3):
            # So that what it says is known.
            said = by_frames(ANSWERS[case](ends, 1))
            ends.read(ends.up, b"".join(one for one in said if one[3] == HEADERS))
        ends.read(ends.down, ends.ask(3) + frame(DATA, END if ended else 0, 3, ASKED))
        ends.read(ends.up, ANSWERS[case](ends, 3))

    expected = await outcome(by_frames, act, window=window)
    assert await outcome(at_once, act, window=window) == expected


async def test_both_are_taken_at_once(monkeypatch) -> None:
    """Else the tests above compare frame by frame with frame by frame."""
    taken: dict[str, list[bool]] = {"take_call": [], "take_answer": []}

    def watch(name: str, take) -> None:
        def watched(*given) -> int:
            end = take(*given)
            taken[name].append(bool(end))
            return end

        side = "downstream" if name == "take_call" else "upstream"
        monkeypatch.setattr(f"gateway.grpc.{side}.{name}", watched)

    watch("take_call", take_call)
    watch("take_answer", take_answer)

    def act(ends: Ends) -> None:
        ends.call(3)
        ends.call(5)

    await outcome(at_once, act)
    # What a head leads to, and what follows an answer, must have been seen before.
    assert taken["take_call"] == [False, True, True]
    assert taken["take_answer"] == [False, False, True]


async def test_its_line_in_the_log_is_the_same(monkeypatch) -> None:
    lines: dict[str, list[tuple[object, ...]]] = {}

    def act(ends: Ends) -> None:
        ends.call(3)
        ends.call(5)
        ends.read(ends.down, ends.ask(7) + frame(DATA, END, 7, ASKED))
        ends.read(ends.up, told(bytes(5000))(ends, 7))

    for cut in (by_frames, at_once):
        noted = lines[cut.__name__] = []
        monkeypatch.setattr(
            "gateway.grpc.noting._line", lambda *line, noted=noted: noted.append(line)
        )
        await outcome(cut, act, settings=Settings(access_log=True))
    assert lines["at_once"] == lines["by_frames"]
    assert [line[-1] for line in lines["at_once"]] == [len(ANSWERED)] * 3 + [5000]


@pytest.mark.parametrize("upstream", [0.0, 0.00004, 0.00005, 0.0123, 0.09994, 0.09996, 0.1, 7.0])
@pytest.mark.parametrize("more", [(0.0,), (1.5,), (0.0, None, 2), (0.0, 2.0)])
def test_its_times_are_told_as_over_http(upstream, more) -> None:
    wait, *rest = more
    (field,) = hpack.Decoder().decode(timing_block(wait, upstream, *rest))
    line = timing_line(wait, upstream, *rest).decode().lower()
    assert ": ".join(field) == line

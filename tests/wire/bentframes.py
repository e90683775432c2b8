"""Conversations over HTTP/2 to try: right ones, the ways to bend them, and what must come back."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import hpack
from hypothesis import strategies as st

from tests.fakes.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    PUSH,
    RST,
    SETTINGS,
    WHOLE,
    WINDOW,
    Fields,
    Frame,
    frame,
    message,
    settings,
)
from tests.wire.grpcstage import INFER, READY, STREAM, named

__all__ = ["ANSWERS", "BENDS", "CUTS", "MOVES", "answer", "bent", "judge", "pieces", "spoken"]

_STATUS = [(":status", "200"), ("content-type", "application/grpc")]
_OK = [("grpc-status", "0")]
_HEALTH = "/grpc.health.v1.Health/Check"


def head(path: str, *extra: tuple[str, str], verb: str = "POST") -> Fields:
    """The head of a call."""
    return [
        (":method", verb),
        (":scheme", "http"),
        (":path", path),
        (":authority", "gw"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *extra,
    ]


class Speaker:
    """A client that says what it is told to, and keeps what its frames depend on."""

    def __init__(self) -> None:
        self.frames = [PREFACE + settings()]
        self.encoder = hpack.Encoder()
        self.calls = [1]
        """Streams begun; the first one may not be, yet."""

    def say(self, kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> None:
        self.frames.append(frame(kind, flags, stream, payload))

    def begin(self, fields: Fields, flags: int = WHOLE) -> int:
        number = len(self.frames) * 2 + 1
        self.calls.append(number)
        self.say(HEADERS, flags, number, self.encoder.encode(fields))
        return number

    def pour(self, number: int, data: bytes, flags: int = 0) -> None:
        while len(data) > 16_000:
            self.say(DATA, 0, number, data[:16_000])
            data = data[16_000:]
        self.say(DATA, flags, number, data)

    def call(
        self, path: str, data: bytes | None, *extra: tuple[str, str], flags: int = END
    ) -> None:
        number = self.begin(head(path, *extra))
        if data is not None:
            self.pour(number, data, flags)


def _infer(said: Speaker, _number: int, size: int) -> None:
    said.call(INFER, named("demo", b"\x3a\xff\xff\x7f"[: size % 5] and _tensor(size)))


def _tensor(size: int) -> bytes:
    """A field of `size` bytes that nobody looks at."""
    length = bytes((size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14))
    return b"\x3a" + length + bytes(size)


def _continued(said: Speaker, _number: int, size: int) -> None:
    number = len(said.frames) * 2 + 1
    said.calls.append(number)
    block = said.encoder.encode(head(INFER, ("x-long", "y" * (size % 3000))))
    said.say(HEADERS, 0, number, block[:9])
    said.say(CONTINUATION, 0, number, b"")
    said.say(CONTINUATION, WHOLE, number, block[9:])
    said.pour(number, named("demo"), END)


def _padded(said: Speaker, number: int, size: int) -> None:
    said.say(DATA, 8, number, bytes((size % 5,)) + named("demo") + bytes(size % 5))


def _setting(key: int, said: Speaker, _number: int, size: int) -> None:
    said.say(SETTINGS, 0, 0, key.to_bytes(2, "big") + size.to_bytes(4, "big"))


_NEXT: dict[str, Callable[[Speaker, int, int], object]] = {
    "infer": _infer,
    "large": lambda said, _, size: said.call(INFER, named("demo", _tensor(size + 30_000))),
    "half": lambda said, _, size: said.call(INFER, named("demo", _tensor(size))[:-3], flags=0),
    "head": lambda said, *_: said.call(INFER, None),
    "stream": lambda said, _, size: said.call(STREAM, named("demo", _tensor(size)), flags=0),
    "late": lambda said, *_: said.call(INFER, named("demo"), ("grpc-timeout", "50m")),
    "ready": lambda said, *_: said.call(READY, named("demo")),
    "health": lambda said, *_: said.call(_HEALTH, message(b"")),
    "nobody": lambda said, *_: said.call(INFER, named("nobody")),
    "squeezed": lambda said, *_: said.call(INFER, message(b"x", flag=1), ("grpc-encoding", "gzip")),
    "foreign": lambda said, *_: said.begin(head("/v2", verb="GET"), WHOLE | END),
    "continued": _continued,
    "more": lambda said, number, size: said.pour(number, named("demo", _tensor(size))),
    "other": lambda said, number, _: said.pour(number, named("other")),
    "padded": _padded,
    "empty": lambda said, number, _: said.say(DATA, 0, number),
    "end": lambda said, number, _: said.say(DATA, END, number),
    "trailers": lambda said, number, _: said.say(
        HEADERS, WHOLE | END, number, said.encoder.encode([("x-last", "1")])
    ),
    "reset": lambda said, number, _: said.say(RST, 0, number, bytes((0, 0, 0, 8))),
    "window": lambda said, number, size: said.say(WINDOW, 0, number, size.to_bytes(4, "big")),
    "windows": lambda said, _, size: said.say(WINDOW, 0, 0, size.to_bytes(4, "big")),
    "priority": lambda said, number, _: said.say(PRIORITY, 0, number, bytes(5)),
    "ping": lambda said, *_: said.say(PING, 0, 0, b"12345678"),
    "pong": lambda said, *_: said.say(PING, ACK, 0, b"ebbtide?"),
    "ack": lambda said, *_: said.say(SETTINGS, ACK),
    "small": lambda said, *_: _setting(4, said, 0, 3),
    **{f"set {key}": partial(_setting, key) for key in (1, 3, 4, 5)},
    "away": lambda said, *_: said.say(GOAWAY, 0, 0, bytes(8)),
}
"""What a client may do next; most of it is right where the stream is open."""

_OFTEN = ["infer", "infer", "stream", "large", "half", "more", "end", "reset"]
MOVES = st.lists(
    st.tuples(
        st.sampled_from([*_NEXT, *_OFTEN]),
        st.integers(0, 9),
        st.sampled_from([1, 10, 300, 16_384, 40_000, 2**31 - 1]),
    ),
    min_size=2,
    max_size=14,
)
"""What a client says, in order; of a move's numbers one chooses the stream, one is a size."""


def spoken(moves: list[tuple[str, int, int]]) -> list[bytes]:
    """A conversation's frames."""
    said = Speaker()
    for name, which, size in moves:
        bulky = size if name.startswith(("window", "set")) else size % 50_000
        _NEXT[name](said, said.calls[-1 - which % len(said.calls)], bulky)
    return said.frames


ANSWERS = ("whole", "refused", "long", "begun", "twice", "early", "reset", "looked", "away", "none")
"""What a replica may say to a call."""


def answer(kind: str, number: int, encoder: hpack.Encoder) -> list[bytes]:
    """The frames of an answer on a stream, whose blocks continue what `encoder` wrote before."""
    first = frame(HEADERS, WHOLE, number, encoder.encode(_STATUS))
    last = frame(HEADERS, WHOLE | END, number, encoder.encode([*_OK, ("x-s", str(number))]))
    data = frame(DATA, 0, number, message(b"answer"))
    interim = frame(HEADERS, WHOLE, number, encoder.encode([(":status", "100")]))
    alone = frame(HEADERS, WHOLE | END, number, encoder.encode([*_STATUS, ("grpc-status", "3")]))
    return {
        "whole": [first, data, last],
        "refused": [alone],
        "long": [first, *[frame(DATA, 0, number, bytes(16_000))] * 5, last],
        "begun": [first, data[:-3]],
        "twice": [first, first, data, last, last],
        "early": [interim, interim, data, first, frame(DATA, END, number, b"x")],
        "reset": [first, data, frame(RST, 0, number, bytes((0, 0, 0, 2)))],
        "looked": [frame(RST, 0, number, bytes((0, 0, 0, 7)))],
        "away": [first, frame(GOAWAY, 0, 0, number.to_bytes(4, "big") + bytes(4)), data, last],
        "none": [],
    }[kind]


_JUNK = st.one_of(
    st.binary(max_size=20),
    st.builds(
        frame,
        st.integers(0, 12),
        st.integers(0, 255),
        st.sampled_from([0, 1, 2, 3, 5, 7, 9, 2**31 - 1, 2**31 + 1]),
        st.one_of(st.binary(max_size=20), st.sampled_from([bytes(4), bytes(5), bytes(300)])),
    ),
    st.sampled_from(
        [
            frame(PUSH, WHOLE, 1, bytes(4)),
            frame(SETTINGS, 0, 0, bytes((0, 4, 0x80, 0, 0, 0))),
            frame(WINDOW, 0, 1, bytes(4)),
            frame(HEADERS, WHOLE | END, 3, b"\x82\x84\x86\x41\x02gw"),
            frame(HEADERS, WHOLE, 5, b"\xff\xff\xff\xff\xff\x0f"),
            frame(HEADERS, 0, 7, b""),
            (2**24 - 1).to_bytes(3, "big") + bytes(6),
        ]
    ),
)
_FRAME_BENDS = st.lists(
    st.tuples(st.sampled_from(["drop", "twice", "swap", "cut", "junk"]), st.integers(0, 40), _JUNK),
    max_size=3,
)
_BYTE_BENDS = st.lists(
    st.tuples(st.integers(20, 1500), st.integers(0, 4), st.binary(max_size=4)), max_size=2
)
BENDS = st.tuples(_FRAME_BENDS, st.one_of(st.just([]), _BYTE_BENDS))
"""Ways to bend a list of frames: whole ones first, then bytes."""
CUTS = st.lists(st.integers(1, 3000), max_size=4)


def bent(frames: list[bytes], bends: tuple[list, list]) -> bytes:
    """The frames with some dropped, doubled, swapped, cut, put in; then the same with bytes."""
    frames = list(frames)
    for how, at, junk in bends[0]:
        at %= max(len(frames), 1)
        part = frames[at : at + 1]
        if how == "swap":
            frames[at : at + 2] = frames[at : at + 2][::-1]
        else:
            frames[at : at + 1] = {
                "drop": [],
                "twice": part * 2,
                "cut": [one[: len(one) // 2] for one in part],
                "junk": [*part, junk],
            }[how]
    data = b"".join(frames)
    for at, cut, piece in bends[1]:
        data = data[:at] + piece + data[at + cut :]
    return data


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` in the order it goes out, cut in places."""
    marks = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    return [data[start:end] for start, end in pairwise(marks)]


def frames_of(data: bytes) -> list[Frame]:
    """The frames in `data`, but for one that is cut off by its end."""
    found, at = [], 0
    while len(data) - at >= 9:
        end = at + 9 + int.from_bytes(data[at : at + 3], "big")
        if end > len(data):
            break
        number = int.from_bytes(data[at + 5 : at + 9], "big")
        found.append(Frame(data[at + 3], data[at + 4], number, data[at + 9 : end]))
        at = end
    return found


def judge(heard: list[Frame]) -> None:
    """Hold what the gateway said on one connection to the rules that need nobody else's word."""
    decoder, ended, begun, block = hpack.Decoder(), set(), set(), b""
    opened = False
    for one in heard:
        assert len(one.payload) <= 16_384
        assert opened or one.kind == SETTINGS
        opened = True
        if one.kind in (DATA, HEADERS, CONTINUATION):
            assert one.stream not in ended, f"{one} behind the end of its stream"
        if one.kind == DATA:
            assert one.stream in begun, f"{one} before the head of its stream"
        elif one.kind in (HEADERS, CONTINUATION):
            block += one.payload
            if one.flags & WHOLE:
                names = [str(name) for name, _ in decoder.decode(block)]
                assert (names[0][0] == ":") == (one.stream not in begun), names
                begun.add(one.stream)
                block = b""
        if one.kind == RST or (one.kind in (DATA, HEADERS) and one.flags & END):
            ended.add(one.stream)
        assert one.kind != WINDOW or int.from_bytes(one.payload, "big") > 0

"""HTTP/2 frames (RFC 9113, 4 to 6): written, and held to the rules that need no state. Pure.

Every kind of frame has its rules on length, stream and flags here. What depends on what came before
(is the stream open, does a block go on) is for those who keep that state.

Rule 1: what ends the connection is a `BrokenError`, what ends one stream a `StreamError`; both
        carry the code to say so with.
Rule 2: flags that a kind does not have, and kinds that nobody knows, are passed over.
Rule 3: nobody may push, so a PUSH_PROMISE always breaks the connection; priorities are checked,
        and otherwise passed over (5.3.2).
"""

from collections.abc import Iterator, Mapping
from enum import IntEnum

from fleet.errors import EbbtideError

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "ENABLE_CONNECT_PROTOCOL",
    "ENABLE_PUSH",
    "END_HEADERS",
    "END_STREAM",
    "GOAWAY",
    "HEADERS",
    "HEADER_TABLE_SIZE",
    "INITIAL_WINDOW_SIZE",
    "MAX_CONCURRENT_STREAMS",
    "MAX_FRAME_SIZE",
    "MAX_HEADER_LIST_SIZE",
    "MAX_WINDOW",
    "PADDED",
    "PING",
    "PREFACE",
    "PRIORITY",
    "PRIORITY_FLAG",
    "PUSH_PROMISE",
    "RST_STREAM",
    "SETTINGS",
    "SMALLEST_FRAME_SIZE",
    "WINDOW_UPDATE",
    "BrokenError",
    "Code",
    "StreamError",
    "check",
    "check_priority",
    "fragment",
    "frame",
    "goaway",
    "headers",
    "ping",
    "read_goaway",
    "read_settings",
    "read_window_update",
    "reset",
    "settings",
    "unpadded",
    "window_update",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client's connection begins with."""

DATA = 0
HEADERS = 1
PRIORITY = 2
RST_STREAM = 3
SETTINGS = 4
PUSH_PROMISE = 5
PING = 6
GOAWAY = 7
WINDOW_UPDATE = 8
CONTINUATION = 9

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_FLAG = 0x20

HEADER_TABLE_SIZE = 1
ENABLE_PUSH = 2
MAX_CONCURRENT_STREAMS = 3
INITIAL_WINDOW_SIZE = 4
MAX_FRAME_SIZE = 5
MAX_HEADER_LIST_SIZE = 6
ENABLE_CONNECT_PROTOCOL = 8

MAX_WINDOW = 2**31 - 1
SMALLEST_FRAME_SIZE = 2**14
"""What everybody must take; the MAX_FRAME_SIZE until told otherwise."""
_LARGEST_FRAME_SIZE = 2**24 - 1
_MOST_DETAIL = 200


class Code(IntEnum):
    """Why a stream or connection ended (RFC 9113, 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class BrokenError(EbbtideError):
    """The connection ends, with a GOAWAY that says `code`."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code.name}: {detail}")
        self.code = code
        self.detail = detail


class StreamError(EbbtideError):
    """The stream ends, with a RST_STREAM that says `code`; its connection goes on."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code.name}: {detail}")
        self.code = code
        self.detail = detail


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    start = len(payload) << 48 | kind << 40 | flags << 32 | stream
    return start.to_bytes(9, "big") + payload


def headers(stream: int, block: bytes, *, end: bool, most: int) -> bytes:
    """HEADERS with `block`, and CONTINUATION frames for what is over `most` bytes of it."""
    flags = END_STREAM if end else 0
    if len(block) <= most:
        return frame(HEADERS, flags | END_HEADERS, stream, block)
    pieces = [frame(HEADERS, flags, stream, block[:most])]
    for at in range(most, len(block), most):
        last = END_HEADERS if at + most >= len(block) else 0
        pieces.append(frame(CONTINUATION, last, stream, block[at : at + most]))
    return b"".join(pieces)


def settings(values: Mapping[int, int]) -> bytes:
    """SETTINGS, number -> value."""
    payload = b"".join((key << 32 | value).to_bytes(6, "big") for key, value in values.items())
    return frame(SETTINGS, 0, 0, payload)


def goaway(last: int, code: int, detail: str = "") -> bytes:
    """GOAWAY: streams up to `last` may have been worked on; `detail` is for people."""
    text = detail.encode()[:_MOST_DETAIL]
    return frame(GOAWAY, 0, 0, (last << 32 | code).to_bytes(8, "big") + text)


def reset(stream: int, code: int) -> bytes:
    """RST_STREAM."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def window_update(stream: int, by: int) -> bytes:
    """WINDOW_UPDATE: `by` more bytes may come; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, by.to_bytes(4, "big"))


def ping(payload: bytes, *, ack: bool) -> bytes:
    """PING with its eight bytes, or the answer to one."""
    return frame(PING, ACK if ack else 0, 0, payload)


# Which frames belong to a stream, and which to the connection; WINDOW_UPDATE is for either.
_OF_STREAMS = frozenset({DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION})
_OF_CONNECTIONS = frozenset({SETTINGS, PING, GOAWAY})
_LENGTHS = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}


def check(kind: int, flags: int, stream: int, length: int) -> None:
    """Hold a frame's nine bytes to the rules of its kind.

    Not needed for DATA with a stream, the frame that there is most of. Raises `BrokenError`, and
    `StreamError` for a PRIORITY of a wrong length.
    """
    if (kind in _OF_STREAMS and not stream) or (kind in _OF_CONNECTIONS and stream):
        raise BrokenError(Code.PROTOCOL_ERROR, f"a frame of kind {kind} on stream {stream}")
    if kind == PUSH_PROMISE:
        raise BrokenError(Code.PROTOCOL_ERROR, "nobody may push here")
    if _LENGTHS.get(kind, length) != length:
        detail = f"a frame of kind {kind} with {length} bytes"
        # It changes nothing, so it harms no other stream: RFC 9113, 6.3.
        raise (StreamError if kind == PRIORITY else BrokenError)(Code.FRAME_SIZE_ERROR, detail)
    if kind == SETTINGS and (length % 6 or (flags & ACK and length)):
        raise BrokenError(Code.FRAME_SIZE_ERROR, f"SETTINGS with {length} bytes")
    if kind == GOAWAY and length < 8:
        raise BrokenError(Code.FRAME_SIZE_ERROR, f"GOAWAY with {length} bytes")


def unpadded(payload: bytes) -> bytes:
    """What a DATA frame with `PADDED` holds; all of the payload counts against the window.

    Raises `BrokenError`.
    """
    length = len(payload)
    if not length:
        raise BrokenError(Code.FRAME_SIZE_ERROR, "a padded frame without its length of padding")
    if payload[0] >= length:
        raise BrokenError(Code.PROTOCOL_ERROR, "padding as long as its frame")
    return payload[1 : length - payload[0]]


def fragment(flags: int, payload: bytes) -> bytes:
    """What a HEADERS frame holds of its block: without padding and priority.

    Raises `BrokenError`. A stream that depends on itself is no matter of the block, which must be
    read in any case: see `check_priority`.
    """
    if flags & PADDED:
        payload = unpadded(payload)
    if flags & PRIORITY_FLAG:
        if len(payload) < 5:
            raise BrokenError(Code.FRAME_SIZE_ERROR, "HEADERS without the priority it announces")
        payload = payload[5:]
    return payload


def check_priority(kind: int, flags: int, stream: int, payload: bytes) -> None:
    """Refuse a PRIORITY or HEADERS by which a stream depends on itself (RFC 7540, 5.3.1).

    After `fragment`, for HEADERS. Raises `StreamError`.
    """
    if kind == HEADERS:
        if not flags & PRIORITY_FLAG:
            return
        if flags & PADDED:
            payload = payload[1:]
    if int.from_bytes(payload[:4], "big") & MAX_WINDOW == stream:
        raise StreamError(Code.PROTOCOL_ERROR, "a stream that depends on itself")


def read_settings(payload: bytes, *, from_server: bool = False) -> list[tuple[int, int]]:
    """(number, value) in order, unknown numbers left out; a server may not announce pushing.

    Raises `BrokenError`.
    """
    return list(_settings(payload, most_push=0 if from_server else 1))


def _settings(payload: bytes, *, most_push: int) -> Iterator[tuple[int, int]]:
    if len(payload) % 6:
        raise BrokenError(Code.FRAME_SIZE_ERROR, f"SETTINGS with {len(payload)} bytes")
    for at in range(0, len(payload), 6):
        key = int.from_bytes(payload[at : at + 2], "big")
        value = int.from_bytes(payload[at + 2 : at + 6], "big")
        if key == INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
            raise BrokenError(Code.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE {value}")
        wrong_size = not SMALLEST_FRAME_SIZE <= value <= _LARGEST_FRAME_SIZE
        if key == MAX_FRAME_SIZE and wrong_size:
            raise BrokenError(Code.PROTOCOL_ERROR, f"MAX_FRAME_SIZE {value}")
        most = {ENABLE_PUSH: most_push, ENABLE_CONNECT_PROTOCOL: 1}.get(key, value)
        if value > most:
            raise BrokenError(Code.PROTOCOL_ERROR, f"setting {key} with value {value}")
        if HEADER_TABLE_SIZE <= key <= MAX_HEADER_LIST_SIZE or key == ENABLE_CONNECT_PROTOCOL:
            yield key, value


def read_window_update(stream: int, payload: bytes) -> int:
    """By how much a window grows; whether it then is over `MAX_WINDOW` is the keeper's to check.

    Raises `BrokenError`, or `StreamError` on a stream of its own, where it is 0.
    """
    by = int.from_bytes(payload, "big") & MAX_WINDOW
    if not by:
        error = StreamError if stream else BrokenError
        raise error(Code.PROTOCOL_ERROR, "a WINDOW_UPDATE of nothing")
    return by


def read_goaway(payload: bytes) -> tuple[int, int, str]:
    """The last stream that may have been worked on, the code, and what it says to people."""
    last = int.from_bytes(payload[:4], "big") & MAX_WINDOW
    text = payload[8 : 8 + _MOST_DETAIL].decode("ascii", "replace")
    return last, int.from_bytes(payload[4:8], "big"), text

"""The head of a message, ours to check after the parser's verdict. Pure.

The parser (httptools, no leniency) says whether the bytes are a head at all: it lets no bare CR or
LF, no folded line, no empty or spaced name pass, so splitting at CRLF gives the fields that it saw
(`tests/core/test_head.py` holds the two against each other).

Rule 1: exactly ``METHOD SP TARGET SP HTTP/1.0`` or ``1.1``: the parser lets more pass.
Rule 2: a body is framed by one Content-Length, or by a Transfer-Encoding that is exactly
        ``chunked`` on 1.1, or there is none.
Rule 3: hop-by-hop fields, those named in Connection, and ``Ebbtide-*`` go no further, either way.
Rule 4: a request's field with an underscore in its name goes no further either, unless a setting
        lets it: servers that read it as a hyphen would take it for another field. Nor do fields
        that name another method or path than the one that was decided on.
"""

import re
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import TypeVar

from fleet.reasons import Reason
from gateway.core.limits import MAX_FIELDS
from gateway.core.offers import (
    has_looped,
    read_accept,
    read_te,
    read_upgrade,
    read_via,
    take_up_offers,
)
from gateway.core.refused import RefusedError
from gateway.core.target import is_host

__all__ = [
    "STRICT",
    "Manner",
    "RequestHead",
    "ResponseHead",
    "read_request_head",
    "read_response_head",
]

_OURS = b"ebbtide-"
_MAX_LENGTH_DIGITS = 18
_COMMON = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"})
_METHOD = re.compile(rb"[A-Z][A-Z-]*")
# Some frameworks go by these instead of the request line.
_OVERRIDES = (
    *(b"x-http-method", b"x-http-method-override", b"x-method-override"),
    *(b"x-original-url", b"x-rewrite-url", b"x-original-uri"),
)
_FRAMING = frozenset({b"close", b"keep-alive"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How the settings want requests to be read."""

    via: bytes = b""
    """The name that this gateway goes by in Via; empty: it looks for no loop."""
    underscores: bool = False
    """Fields with an underscore in their name are passed on."""


STRICT = Manner()
"""The defaults, and no name."""


class _Head:
    """What requests and answers have in common."""

    __slots__ = (
        "chunked",
        "fields",
        "keep_alive",
        "length",
        "old",
        "options",
        "ours",
        "raw",
        "upgrades",
    )

    def __init__(self) -> None:
        self.old = False
        """HTTP/1.0."""
        self.length: int | None = None
        self.chunked = False
        self.options: list[bytes] = []
        """What the Connection field names, in lower case."""
        self.upgrades: list[bytes] = []
        """What the Upgrade field names."""
        self.fields: list[bytes] = []
        """The lines to forward, as they came, without CRLF."""
        self.ours: list[bytes] = []
        """The lines for the gateway alone: `Ebbtide-*`."""
        self.raw = b""
        """The bytes that it was read from, while it is remembered (`gateway.core.known`)."""
        self.keep_alive = True
        """Whether the sender would use the connection again."""


class RequestHead(_Head):
    """A request's head."""

    __slots__ = (
        "expects",
        "has_body",
        "host",
        "keyless",
        "led",
        "looped",
        "method",
        "model",
        "start",
        "streams",
        "switches",
        "target",
        "trailers",
        "via",
    )

    def __init__(self) -> None:
        super().__init__()
        self.method = b""
        self.target = b""
        self.host: bytes | None = None
        self.model: bytes | None = None
        """The value of `Ebbtide-Model`."""
        self.keyless: RequestHead | None = None
        """A note of `without_key`: the same without Authorization."""
        self.expects = False
        """The sender waits for 100 Continue before it sends the body."""
        self.led: tuple[object, object] | None = None
        """A note of `find_route`: in which table it led to which route and query."""
        self.has_body = False
        """Bytes of a body follow."""
        self.looped = False
        """Its Via names this gateway twice."""
        self.trailers = False
        """Its sender reads the trailers of an answer."""
        self.streams = False
        """It accepts an event stream."""
        self.via: list[bytes] = []
        """The hops that it names."""
        self.switches = False
        """Its offer of another protocol is passed on; a note of `find_route`."""
        self.start: tuple[bytes, bytes, object, bytes] | None = None
        """A note of `request_pieces`: for which request line, Host and hop it became which
        bytes."""

    def reframed(self, length: int) -> "RequestHead":
        """The same with a body of `length` bytes, whatever its framing was."""
        made = copy(self)
        made.chunked, made.length, made.start = False, length, None
        made.has_body = length > 0
        return made

    def unencoded(self) -> "RequestHead":
        """The same without an Accept-Encoding: its answer is to come as it is."""
        made = copy(self)
        made.start = None
        made.fields = [
            line for line in self.fields if line.partition(b":")[0].lower() != b"accept-encoding"
        ]
        return made


class ResponseHead(_Head):
    """An answer's head."""

    __slots__ = ("encoded", "media", "start", "status")

    def __init__(self) -> None:
        super().__init__()
        self.status = 0
        self.encoded = False
        """It has a Content-Encoding."""
        self.media = b""
        """Its Content-Type."""
        self.start = b""
        """A note of `answer_start`: status line and fields as they go to a client."""


_H = TypeVar("_H", bound=_Head)
_R = TypeVar("_R", RequestHead, ResponseHead)


def _malformed(detail: str) -> RefusedError:
    return RefusedError(Reason.MALFORMED, detail)


def _drop(_head: _Head, _value: bytes) -> None:
    """A field of this hop alone."""


def _length(head: _Head, value: bytes) -> None:
    if head.length is not None or not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        msg = "there must be one Content-Length, a number"
        raise _malformed(msg)
    head.length = int(value)


def _coding(head: _Head, value: bytes) -> None:
    if head.chunked or value.lower() != b"chunked":
        msg = "the Transfer-Encoding must be chunked, and nothing else"
        raise _malformed(msg)
    head.chunked = True


def _connection(head: _Head, value: bytes) -> None:
    head.options += [option.strip(b" \t").lower() for option in value.split(b",")]


def _host(head: RequestHead, value: bytes) -> None:
    if head.host is not None or not is_host(value):
        msg = "there must be one Host field: a host, and a port or none"
        raise _malformed(msg)
    head.host = value


def _expect(head: RequestHead, value: bytes) -> None:
    if value.lower() != b"100-continue":
        msg = "Expect can only be 100-continue"
        raise _malformed(msg)
    head.expects = True


def _model(head: RequestHead, value: bytes) -> None:
    if head.model is not None and head.model != value:
        raise RefusedError(Reason.MODEL_CONFLICT, "two Ebbtide-Model fields differ")
    head.model = value


def _media(head: ResponseHead, value: bytes) -> None:
    head.media = value
    head.fields.append(b"Content-Type: " + value)


def _encoded(head: ResponseHead, value: bytes) -> None:
    head.encoded = True
    head.fields.append(b"Content-Encoding: " + value)


_HOP: dict[bytes, Callable[[_Head, bytes], None]] = {
    b"connection": _connection,
    b"content-length": _length,
    b"keep-alive": _drop,
    b"proxy-authenticate": _drop,
    b"proxy-authorization": _drop,
    b"proxy-connection": _drop,
    b"transfer-encoding": _coding,
}
_REQUEST: dict[bytes, Callable[[RequestHead, bytes], None]] = {
    **_HOP,
    b"te": read_te,
    b"accept": read_accept,
    b"ebbtide-model": _model,
    b"expect": _expect,
    b"host": _host,
    b"http2-settings": _drop,
    b"upgrade": read_upgrade,
    b"via": read_via,
    **dict.fromkeys(_OVERRIDES, _drop),
}
_RESPONSE: dict[bytes, Callable[[ResponseHead, bytes], None]] = {
    **_HOP,
    b"te": _drop,
    b"content-encoding": _encoded,
    b"content-type": _media,
    b"upgrade": read_upgrade,
}


def _read_fields(
    head: _R, lines: list[bytes], rules: dict[bytes, Callable[[_R, bytes], None]]
) -> None:
    if len(lines) > MAX_FIELDS:
        raise RefusedError(Reason.HEAD_TOO_LARGE, f"at most {MAX_FIELDS} fields")
    keep = head.fields.append
    for line in lines:
        name, _, value = line.partition(b":")
        name = name.lower()
        rule = rules.get(name)
        if rule is not None:
            rule(head, value.strip(b" \t"))
        elif name[:8] != _OURS:
            keep(line)
        else:
            head.ours.append(line)
    if head.chunked and (head.old or head.length is not None):
        msg = "chunked stands alone, and on HTTP/1.1 only"
        raise _malformed(msg)
    if head.options:
        _drop_named(head)
    options = head.options
    head.keep_alive = b"keep-alive" in options if head.old else b"close" not in options


def _drop_named(head: _Head) -> None:
    """Take out the fields that Connection names."""
    named = set(head.options) - _FRAMING
    if named:
        head.fields = [line for line in head.fields if line.partition(b":")[0].lower() not in named]


def _is_method(name: bytes) -> bool:
    """Whether it may be one; CONNECT asks for a tunnel, which nobody gets here."""
    return _METHOD.fullmatch(name) is not None and name != b"CONNECT"


def _lines(raw: bytes) -> list[bytes]:
    return raw[:-4].split(b"\r\n")


def _open_request(raw: bytes) -> tuple[RequestHead, list[bytes]]:
    """A head with its request line read, and its fields, which are not."""
    lines = _lines(raw)
    if not lines[0]:
        # One empty line before a request is let pass: RFC 9112, 2.2.
        del lines[0]
    parts = lines[0].split(b" ") if lines else []
    if len(parts) != 3:
        msg = "the request line must be METHOD TARGET VERSION"
        raise _malformed(msg)
    head = RequestHead()
    head.method, head.target, version = parts
    # The parser skips a bare LF before the method.
    if head.method not in _COMMON and not _is_method(head.method):
        msg = "there is no such method"
        raise _malformed(msg)
    if version != b"HTTP/1.1":
        if version != b"HTTP/1.0":
            msg = "only HTTP/1.1 and HTTP/1.0 are spoken here"
            raise _malformed(msg)
        head.old = True
    del lines[0]
    return head, lines


def read_request_head(raw: bytes, manner: Manner = STRICT) -> RequestHead:
    """The head in `raw`, from the method to the empty line. Raises `RefusedError`."""
    head, lines = _open_request(raw)
    if not manner.underscores and b"_" in raw:
        lines = [line for line in lines if b"_" not in line.partition(b":")[0]]
    _read_fields(head, lines, _REQUEST)
    head.has_body = head.chunked or bool(head.length)
    if manner.via and head.via:
        head.looped = has_looped(head, manner.via)
    if head.upgrades:
        take_up_offers(head)
    # RFC 9110, 10.1.4: without Connection: TE it may come from farther away than the last hop.
    head.trailers = head.trailers and b"te" in head.options
    # An old sender would take 100 Continue for the answer: RFC 9110, 10.1.1.
    head.expects = head.expects and not head.old
    if head.host is None and not head.old:
        msg = "there must be one Host field"
        raise _malformed(msg)
    return head


def read_response_head(raw: bytes) -> ResponseHead:
    """The head in `raw`, from the version to the empty line.

    Raises `RefusedError`; what it says is about the model server, not about the caller.
    """
    lines = _lines(raw)
    parts = lines[0].split(b" ", 2)
    head = ResponseHead()
    if parts[0] != b"HTTP/1.1":
        if parts[0] != b"HTTP/1.0":
            msg = "the answer is not HTTP/1"
            raise _malformed(msg)
        head.old = True
    code = parts[1] if len(parts) > 1 else b""
    if len(code) != 3 or not code.isdigit() or code[0] not in b"12345":
        msg = "the answer has no status"
        raise _malformed(msg)
    head.status = int(code)
    del lines[0]
    _read_fields(head, lines, _RESPONSE)
    return head

"""The heads of calls and answers: what HTTP/2 asks of them, and what the relay wants of them. Pure.

Rule 1: what RFC 9113 calls malformed (8.2, 8.3) is a `StreamError`: names that are not lower-case
        tokens, values with NUL, CR, LF or space around them, pseudo-fields missing, twice, unknown
        or behind others, fields of one connection, `te` of anything but trailers.
Rule 2: what is well-formed and still no call that we take is a `RefusedError`, for an answer that
        says why.
Rule 3: `host`, `content-length`, `grpc-timeout`, proxy credentials and `ebbtide-*` go no further;
        everything else is sent on as it came, in its order.
Rule 4: what is read depends on the fields alone, so it may be remembered for the bytes of a block.
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from fleet.reasons import Reason
from gateway.core.forwarding import Edge
from gateway.core.limits import MAX_FIELDS, MAX_TARGET
from gateway.core.refused import RefusedError
from gateway.core.target import is_host
from gateway.grpc.core.frames import Code, StreamError
from gateway.grpc.core.hpack import Field, encode
from gateway.grpc.core.timeouts import read_timeout

if TYPE_CHECKING:
    from gateway.grpc.core.leads import Lead

__all__ = ["Answer", "Call", "Told", "block_of", "read_answer", "read_call"]

_OURS = b"ebbtide-"
_COLON = 0x3A
_GRPC = re.compile(rb"application/grpc(?:[+;].*)?")
_METHOD = re.compile(rb"/[A-Za-z0-9_.~-]+/[A-Za-z0-9_.~-]+")
_VERB = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"/[!-\"$-~]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_STATUS = re.compile(rb"[1-5][0-9][0-9]")

# All fields at once, each as NAME NUL VALUE LF: neither octet may stand in a name or a value, so as
# many LF as there are fields means that no field passes for two.
_PROPER = re.compile(
    rb"(?::?+[!#$%&'*+.^_`|~0-9a-z-]++\x00(?![\t ])[\t\x20-\x7e\x80-\xff]*+(?<![\t ])\n)*+"
)


def _malformed(detail: str) -> StreamError:
    return StreamError(Code.PROTOCOL_ERROR, detail)


class _Head:
    """What the heads of calls and answers have in common."""

    __slots__ = ("block", "content_type", "encoding", "fields", "length", "ours")

    def __init__(self) -> None:
        self.block = b""
        """What goes on, encoded."""
        self.fields: tuple[Field, ...] = ()
        """What goes on, but for the pseudo-fields."""
        self.ours: list[Field] = []
        """What is for the gateway alone: `ebbtide-*`."""
        self.content_type = b""
        self.encoding = b""
        """grpc-encoding; empty: there is none."""
        self.length: int | None = None
        """content-length: as many bytes of DATA must come (RFC 9113, 8.1.1)."""


class Told:
    """A note of `gateway.grpc.core.hops.told_block`: what goes on of a head, by which edge."""

    __slots__ = ("block", "edge")

    def __init__(self) -> None:
        self.edge: Edge | None = None
        self.block = b""


class Call(_Head):
    """The head of a request. Never changed once it is read."""

    __slots__ = (
        "authority",
        "grpc",
        "keyless",
        "led",
        "method",
        "model",
        "path",
        "scheme",
        "timeout",
        "told",
        "verb",
        "vias",
    )

    def __init__(self) -> None:
        super().__init__()
        self.verb = b""
        """:method; POST if it is gRPC."""
        self.scheme = b""
        self.path = b""
        self.authority = b""
        """:authority, else host; empty: neither."""
        self.method = ""
        """`/package.Service/Method`; empty if it is not gRPC."""
        self.grpc = False
        self.model: bytes | None = None
        """ebbtide-model."""
        self.keyless: Call | None = None
        """A note of `without_key`: the same without authorization."""
        self.led: Lead | None = None
        """A note of `gateway.grpc.core.leads.lead_of`."""
        self.told = Told()
        self.vias: list[bytes] = []
        """The values of via."""
        self.timeout: float | None = None
        """grpc-timeout, in seconds. Not in `block`: the rest is written when it goes on."""


class Answer(_Head):
    """The head or the trailers of an answer; or the trailers of a request."""

    __slots__ = ("grpc_status", "interim", "status")

    def __init__(self) -> None:
        super().__init__()
        self.status = b""
        """:status; empty in trailers."""
        self.interim = False
        """1xx: another head follows."""
        self.grpc_status: bytes | None = None


def _connection(_head: _Head, _value: bytes) -> None:
    msg = "a field of one connection alone"
    raise _malformed(msg)


def _via(call: Call, value: bytes) -> bool:
    call.vias.append(value)
    return True


def _te(_call: Call, value: bytes) -> bool:
    if value.lower() != b"trailers":
        msg = "te can only be trailers"
        raise _malformed(msg)
    return True


def _drop(_head: _Head, _value: bytes) -> None:
    """A field that goes no further."""


def _host(call: Call, value: bytes) -> None:
    if call.authority and call.authority != value:
        msg = "host and :authority differ"
        raise _malformed(msg)
    call.authority = value


def _length(head: _Head, value: bytes) -> None:
    if head.length is not None or _LENGTH.fullmatch(value) is None:
        msg = "there must be one content-length, a number"
        raise _malformed(msg)
    head.length = int(value)


def _length_on(answer: Answer, value: bytes) -> bool:
    _length(answer, value)
    return True


def _type(head: _Head, value: bytes) -> bool:
    if head.content_type:
        msg = "two content-type fields"
        raise _malformed(msg)
    head.content_type = value
    return True


def _encoding(head: _Head, value: bytes) -> bool:
    if head.encoding and head.encoding != value:
        raise RefusedError(Reason.MALFORMED, "two grpc-encoding fields differ")
    head.encoding = value
    return True


def _timeout(call: Call, value: bytes) -> None:
    if call.timeout is not None:
        raise RefusedError(Reason.MALFORMED, "there must be one grpc-timeout")
    try:
        call.timeout = read_timeout(value)
    except ValueError as error:
        raise RefusedError(Reason.MALFORMED, str(error)) from error


def _model(call: Call, value: bytes) -> None:
    if call.model is not None and call.model != value:
        raise RefusedError(Reason.MODEL_CONFLICT, "two ebbtide-model fields differ")
    call.model = value


def _grpc_status(answer: Answer, value: bytes) -> bool:
    if answer.grpc_status is not None and answer.grpc_status != value:
        msg = "two grpc-status fields differ"
        raise _malformed(msg)
    answer.grpc_status = value
    return True


# What a field means to the head; whether it goes on.
_HOP: dict[bytes, Callable[[_Head, bytes], bool | None]] = {
    b"connection": _connection,
    b"keep-alive": _connection,
    b"proxy-connection": _connection,
    b"transfer-encoding": _connection,
    b"upgrade": _connection,
    b"proxy-authenticate": _drop,
    b"proxy-authorization": _drop,
}
_REQUEST: dict[bytes, Callable[[Call, bytes], bool | None]] = {
    **_HOP,
    b"content-length": _length,
    b"content-type": _type,
    b"ebbtide-model": _model,
    b"grpc-encoding": _encoding,
    b"grpc-timeout": _timeout,
    b"host": _host,
    b"te": _te,
    b"via": _via,
}
_RESPONSE: dict[bytes, Callable[[Answer, bytes], bool | None]] = {
    **_HOP,
    b"content-length": _length_on,
    b"content-type": _type,
    b"grpc-encoding": _encoding,
    b"grpc-status": _grpc_status,
    b"te": _connection,
}


def _check(fields: Sequence[Field]) -> None:
    count = len(fields)
    if count > MAX_FIELDS:
        raise RefusedError(Reason.HEAD_TOO_LARGE, f"at most {MAX_FIELDS} fields")
    text = b"\n".join(map(b"\0".join, fields)) + b"\n" if count else b""
    if text.count(b"\n") != count or _PROPER.fullmatch(text) is None:
        msg = "a field whose name or value is none"
        raise _malformed(msg)


def _pseudo(fields: Sequence[Field], allowed: frozenset[bytes]) -> dict[bytes, bytes]:
    """The pseudo-fields that a head begins with."""
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        if name[0] != _COLON:
            break
        if name not in allowed or name in found:
            msg = "a pseudo-field twice, or one that there is not"
            raise _malformed(msg)
        found[name] = value
    return found


_H = TypeVar("_H", Call, Answer)


def _read_fields(
    head: _H, fields: Sequence[Field], rules: dict[bytes, Callable[[_H, bytes], bool | None]]
) -> None:
    kept = []
    for field in fields:
        name = field[0]
        rule = rules.get(name)
        if rule is not None:
            if rule(head, field[1]):
                kept.append(field)
        elif name[0] == _COLON:
            msg = "a pseudo-field behind other fields"
            raise _malformed(msg)
        elif name[:8] != _OURS:
            kept.append(field)
        else:
            head.ours.append(field)
    head.fields = tuple(kept)


_OF_CALLS = frozenset({b":method", b":scheme", b":path", b":authority"})
_OF_ANSWERS = frozenset({b":status"})
_OF_TRAILERS: frozenset[bytes] = frozenset()


def read_call(fields: Sequence[Field]) -> Call:
    """The head of a request, as a block was decoded. Raises `StreamError`, `RefusedError`."""
    _check(fields)
    pseudo = _pseudo(fields, _OF_CALLS)
    call = Call()
    _read_target(call, pseudo)
    _read_fields(call, fields[len(pseudo) :], _REQUEST)
    if not is_host(call.authority):
        msg = "there must be one :authority or host: a host, and a port or none"
        raise _malformed(msg)
    call.grpc = _GRPC.fullmatch(call.content_type) is not None
    if call.grpc:
        call.method = _full_method(call)
    call.block = block_of(call, call.fields)
    return call


def block_of(call: Call, fields: Sequence[Field]) -> bytes:
    """The head as it goes on with `fields`, encoded."""
    start = [(b":method", call.verb), (b":scheme", call.scheme), (b":path", call.path)]
    return encode((*start, (b":authority", call.authority), *fields))


def _read_target(call: Call, pseudo: dict[bytes, bytes]) -> None:
    call.verb = pseudo.get(b":method", b"")
    call.scheme = pseudo.get(b":scheme", b"")
    call.path = pseudo.get(b":path", b"")
    call.authority = pseudo.get(b":authority", b"")
    if call.verb == b"CONNECT" and not call.scheme and not call.path:
        raise RefusedError(Reason.NOT_ALLOWED, "no tunnels here")
    if _VERB.fullmatch(call.verb) is None:
        msg = "there must be a :method"
        raise _malformed(msg)
    if call.scheme not in (b"http", b"https"):
        msg = "the :scheme must be http or https"
        raise _malformed(msg)
    if len(call.path) > MAX_TARGET:
        raise RefusedError(Reason.TARGET_TOO_LONG, f"at most {MAX_TARGET} bytes")
    if _TARGET.fullmatch(call.path) is None:
        if call.path == b"*" and call.verb == b"OPTIONS":
            raise RefusedError(Reason.NOT_ALLOWED)
        msg = "the :path must be an absolute path"
        raise _malformed(msg)


def _full_method(call: Call) -> str:
    if call.verb != b"POST":
        raise RefusedError(Reason.NOT_ALLOWED, "a gRPC call is a POST")
    if _METHOD.fullmatch(call.path) is None:
        raise RefusedError(Reason.NOT_ALLOWED, "the path of a gRPC call is /SERVICE/METHOD")
    return call.path.decode("ascii")


def read_answer(fields: Sequence[Field], *, trailers: object) -> Answer:
    """The head of an answer; or, where `trailers` is true, those of an answer or a request.

    Raises `StreamError`, and `RefusedError` for too many fields.
    """
    _check(fields)
    pseudo = _pseudo(fields, _OF_TRAILERS if trailers else _OF_ANSWERS)
    answer = Answer()
    answer.status = pseudo.get(b":status", b"")
    if not trailers:
        if _STATUS.fullmatch(answer.status) is None or answer.status == b"101":
            msg = "there must be a :status, of three digits"
            raise _malformed(msg)
        answer.interim = answer.status[:1] == b"1"
    _read_fields(answer, fields[len(pseudo) :], _RESPONSE)
    answer.block = encode((*fields[: len(pseudo)], *answer.fields))
    return answer

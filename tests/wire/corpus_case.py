"""One doubtful request, and what must become of it."""

from dataclasses import dataclass
from enum import Enum

__all__ = ["BODY", "CANARY", "HIDDEN", "LINE", "SMUGGLED", "SPLIT", "Case", "Verdict", "post"]

SMUGGLED = b"/v2/models/demo/smuggled"
CANARY = (
    b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: gw\r\nX-Canary: sings\r\n"
    b"Connection: close\r\nContent-Length: 6\r\n\r\ncanary"
)
LINE = b"POST /v2/models/demo/infer HTTP/1.1\r\n"
_HOST = b"Host: gw\r\n"
HIDDEN = b"GET %b HTTP/1.1\r\nHost: gw\r\n\r\n" % SMUGGLED
# As chunked it is a body of 5 bytes with something behind it; by its length it is all body.
BODY = b"5\r\nhello\r\n0\r\n\r\n"
SPLIT = BODY + HIDDEN


class Verdict(Enum):
    """What must become of a case."""

    REFUSED = "refused"
    """Answered 4xx; nothing that is a whole request reaches the back."""
    PASSED = "passed"
    """Answered by the model, with the body that the case tells."""
    EITHER = "either"
    """Refused, or passed with one meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One connection's worth of bytes, before the canary."""

    name: str
    data: bytes
    verdict: Verdict = Verdict.REFUSED
    body: bytes | None = None
    """What the model must see as the body, where it passes."""


def post(fields: bytes, body: bytes, *, line: bytes = LINE) -> bytes:
    return line + _HOST + fields + b"\r\n" + body

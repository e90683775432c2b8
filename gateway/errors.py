"""The one table: refusal -> status, wording, Retry-After; and the body in the caller's protocol.

Rule 1: every reason a request can be refused for has a row (`tests/house/test_errors.py`).
Rule 2: an answer holds the reason word, what was wrong with the request, and nothing about the
        inside: no log lines, no addresses, no lists of names.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fleet.reasons import Reason
from fleet.runtimes import ErrorShape

__all__ = ["ERRORS", "ErrorRow", "error_body", "error_head", "error_seconds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRow:
    """How one reason is answered."""

    status: int
    text: str
    retry_after: float | None = None
    """Seconds, where a later try helps and the refusal does not say when."""


ERRORS: Mapping[Reason, ErrorRow] = MappingProxyType(
    {
        Reason.KEY_MISSING: ErrorRow(status=401, text="an API key is needed"),
        Reason.KEY_WRONG: ErrorRow(status=401, text="there is no such API key"),
        Reason.UNKNOWN_MODEL: ErrorRow(status=404, text="no such model"),
        Reason.NOT_ALLOWED: ErrorRow(status=404, text="this method and path may not be called"),
        Reason.NO_MODEL: ErrorRow(
            status=404, text="the request names no model, by path, field, header or host"
        ),
        Reason.MODEL_CONFLICT: ErrorRow(status=400, text="the request names different models"),
        Reason.MALFORMED: ErrorRow(status=400, text="the request is malformed"),
        Reason.REQUEST_LOOP: ErrorRow(status=508, text="the request comes from this gateway"),
        Reason.TARGET_TOO_LONG: ErrorRow(status=414, text="the request target is too long"),
        Reason.HEAD_TOO_LARGE: ErrorRow(status=431, text="the request head is too large"),
        Reason.BODY_TOO_LARGE: ErrorRow(status=413, text="the request body is too large"),
        Reason.UNKNOWN_ENCODING: ErrorRow(
            status=415, text="a compressed message whose grpc-encoding is unknown here"
        ),
        Reason.HEADER_TIMEOUT: ErrorRow(status=408, text="the request head took too long"),
        Reason.BODY_TIMEOUT: ErrorRow(status=408, text="the request body took too long"),
        Reason.BODY_TOO_SLOW: ErrorRow(status=408, text="the request body came too slowly"),
        Reason.TOO_MANY_CONNECTIONS: ErrorRow(
            status=503, text="too many connections", retry_after=1
        ),
        Reason.ADDRESS_CONNECTIONS_FULL: ErrorRow(
            status=429, text="too many connections from this address", retry_after=1
        ),
        Reason.QUEUE_FULL: ErrorRow(
            status=503, text="too many requests wait for this model", retry_after=1
        ),
        Reason.QUEUE_BYTES_FULL: ErrorRow(
            status=503, text="too many bytes wait for this model", retry_after=1
        ),
        Reason.GATEWAY_FULL: ErrorRow(
            status=503, text="too many requests wait for all models together", retry_after=1
        ),
        Reason.GATEWAY_BYTES_FULL: ErrorRow(
            status=503, text="too many bytes wait for all models together", retry_after=1
        ),
        Reason.HELD_BODIES_FULL: ErrorRow(
            status=503, text="too many bytes of request bodies are held", retry_after=1
        ),
        Reason.TOO_MANY_WAKES: ErrorRow(
            status=429, text="this caller has woken as many models in the last hour as it may"
        ),
        Reason.WAIT_TIMEOUT: ErrorRow(
            status=504, text="the model did not get to this request in time", retry_after=5
        ),
        Reason.REQUEST_TIMEOUT: ErrorRow(
            status=504, text="the model did not answer this request in time"
        ),
        Reason.START_FAILED: ErrorRow(
            status=503, text="the model cannot be started", retry_after=60
        ),
        Reason.NO_FREE_GPU: ErrorRow(
            status=503, text="no GPU became free for the model", retry_after=10
        ),
        Reason.ASLEEP: ErrorRow(status=503, text="the model is asleep, and this does not wake it"),
        Reason.SECOND_WRITER: ErrorRow(
            status=503, text="the model is asleep, and another controller scales it"
        ),
        Reason.SHUTTING_DOWN: ErrorRow(
            status=503, text="the gateway is shutting down", retry_after=5
        ),
        Reason.REPLICA_LOST: ErrorRow(status=502, text="the model server broke off", retry_after=1),
        Reason.SEQUENCE_LOST: ErrorRow(
            status=409, text="the replica that knew the sequence is gone; begin it anew"
        ),
        Reason.UPSTREAM_INVALID: ErrorRow(
            status=502, text="the model server did not answer in proper HTTP"
        ),
        Reason.NOT_GRPC: ErrorRow(
            status=415, text="HTTP/2 carries gRPC calls alone here; use HTTP/1.1 for anything else"
        ),
        Reason.MODEL_REMOVED: ErrorRow(status=404, text="the model was removed"),
        # Nobody reads these; they are counted.
        Reason.CLIENT_LEFT: ErrorRow(status=499, text="the client left"),
        Reason.HANDSHAKE_FAILED: ErrorRow(status=400, text="the TLS handshake failed"),
    }
)

_MEDIA = {
    ErrorShape.V2: b"application/json",
    ErrorShape.OPENAI: b"application/json",
    ErrorShape.PROBLEM: b"application/problem+json",
}


def error_body(reason: Reason, detail: str, shape: ErrorShape) -> bytes:
    """The body of the answer to a request refused for `reason`."""
    row = ERRORS[reason]
    text = f"{row.text}: {detail}" if detail else row.text
    body: dict[str, object]
    match shape:
        case ErrorShape.V2:
            body = {"error": text}
        case ErrorShape.OPENAI:
            kind = "invalid_request_error" if row.status < 500 else "server_error"
            error = {"message": text, "type": kind, "param": None, "code": reason.value}
            body = {"error": error}
        case ErrorShape.PROBLEM:
            body = {"type": "about:blank", "title": row.text, "status": row.status}
            body |= {"detail": text, "reason": reason.value}
    return json.dumps(body).encode()


def error_head(reason: Reason, retry_after: float | None, shape: ErrorShape) -> list[bytes]:
    """The header lines that go with it."""
    lines = [b"Content-Type: " + _MEDIA[shape], b"Ebbtide-Reason: " + reason.value.encode()]
    if ERRORS[reason].status == 401:
        lines.append(b'WWW-Authenticate: Bearer realm="ebbtide"')
    seconds = error_seconds(reason, retry_after)
    if seconds is not None:
        lines.append(b"Retry-After: %d" % seconds)
    return lines


def error_seconds(reason: Reason, retry_after: float | None) -> int | None:
    """After how many seconds a later try may help; None where none will."""
    seconds = ERRORS[reason].retry_after if retry_after is None else retry_after
    return None if seconds is None else max(1, math.ceil(seconds))

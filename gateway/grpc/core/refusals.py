"""A refusal as gRPC tells it: the status of each reason, and an answer of trailers alone. Pure.

Rule 1: every reason that the one table of errors has a row for has a status here too; it follows
        from the row's HTTP status but for the few that gRPC has a better word for.
Rule 2: where a later try helps, clients are told so in both ways that they know: RetryInfo among
        the details, and `grpc-retry-pushback-ms`. Where none does and the status would make them
        try, the latter says so.
Rule 3: the message holds what `gateway.errors` would say, and nothing about the inside.
"""

import math
from base64 import b64encode
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from urllib.parse import quote_from_bytes

from fleet.reasons import Reason
from gateway.errors import ERRORS
from gateway.grpc.core.hpack import Field
from gateway.grpc.core.inflating import ACCEPTED
from gateway.grpc.core.writing import number_field, string_field

__all__ = ["STATUSES", "Status", "refusal"]

_DOMAIN = b"ebbtide.dev"
_TYPES = b"type.googleapis.com/google.rpc."
_KEPT = "".join(chr(octet) for octet in range(0x20, 0x7F) if octet != ord("%"))


class Status(IntEnum):
    """The statuses of gRPC that a refusal can have."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_BY_HTTP: Mapping[int, Status] = {
    400: Status.INVALID_ARGUMENT,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.NOT_FOUND,
    405: Status.UNIMPLEMENTED,
    408: Status.DEADLINE_EXCEEDED,
    409: Status.ABORTED,
    413: Status.RESOURCE_EXHAUSTED,
    414: Status.INVALID_ARGUMENT,
    415: Status.UNIMPLEMENTED,
    417: Status.INVALID_ARGUMENT,
    426: Status.UNIMPLEMENTED,
    429: Status.RESOURCE_EXHAUSTED,
    431: Status.RESOURCE_EXHAUSTED,
    499: Status.CANCELLED,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.DEADLINE_EXCEEDED,
    508: Status.INTERNAL,
}
_BETTER = {
    Reason.NOT_ALLOWED: Status.UNIMPLEMENTED,
    Reason.UPSTREAM_INVALID: Status.INTERNAL,
}

STATUSES: Mapping[Reason, Status] = MappingProxyType(
    {
        reason: _BETTER.get(reason, _BY_HTTP.get(row.status, Status.UNKNOWN))
        for reason, row in ERRORS.items()
    }
)
"""The status that a call refused for this reason ends with."""


def _any(kind: bytes, message: bytes) -> bytes:
    """One of the details, as google.protobuf.Any."""
    return string_field(3, string_field(1, _TYPES + kind) + string_field(2, message))


def _details(reason: Reason, status: Status, text: bytes, delay_ms: int | None) -> bytes:
    """google.rpc.Status with ErrorInfo, and with RetryInfo where a later try helps."""
    info = string_field(1, reason.name.encode()) + string_field(2, _DOMAIN)
    details = _any(b"ErrorInfo", info)
    if delay_ms is not None:
        seconds, rest = divmod(delay_ms, 1000)
        delay = number_field(1, seconds) + number_field(2, rest * 1_000_000)
        details += _any(b"RetryInfo", string_field(1, delay))
    return number_field(1, status) + string_field(2, text) + details


def refusal(reason: Reason, detail: str = "", retry_after: float | None = None) -> list[Field]:
    """The only head of the answer to a call refused for `reason`; it ends the stream.

    `retry_after`: seconds, where the refusal says when; else the table of errors does.
    """
    row, status = ERRORS[reason], STATUSES[reason]
    text = (f"{row.text}: {detail}" if detail else row.text).strip().encode()
    seconds = row.retry_after if retry_after is None else retry_after
    delay_ms = None if seconds is None else max(1, math.ceil(seconds * 1000))
    details = b64encode(_details(reason, status, text, delay_ms)).rstrip(b"=")
    fields: list[Field] = [
        (b":status", b"200"),
        (b"content-type", b"application/grpc"),
        (b"grpc-status", b"%d" % status),
        (b"grpc-message", quote_from_bytes(text, safe=_KEPT).encode()),
        (b"grpc-status-details-bin", details),
        (b"ebbtide-reason", reason.value.encode()),
    ]
    if delay_ms is not None:
        fields.append((b"grpc-retry-pushback-ms", b"%d" % delay_ms))
    elif status is Status.UNAVAILABLE:
        fields.append((b"grpc-retry-pushback-ms", b"-1"))
    if reason is Reason.UNKNOWN_ENCODING:
        fields.append((b"grpc-accept-encoding", ACCEPTED))
    return fields

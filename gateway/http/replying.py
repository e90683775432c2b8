"""The bytes of the gateway's own answers, errors among them."""

from fleet.reasons import Reason
from fleet.runtimes import ErrorShape
from gateway.core.answers import status_line, timing_line
from gateway.core.head import RequestHead
from gateway.core.table import Entry
from gateway.errors import ERRORS, error_body, error_head
from gateway.http.local import Reply

__all__ = ["NO_TIME", "refusal", "reply_bytes", "shape_for"]

NO_TIME = timing_line(0.0, 0.0)
"""The Server-Timing field of an answer that nobody had to wait for."""


def reply_bytes(reply: Reply, timing: bytes, connection: bytes, *, bodiless: object) -> bytes:
    """The whole answer. `connection` is a field or empty; `bodiless`: the request was a HEAD."""
    lines = [status_line(reply.status), *reply.lines, timing]
    lines.append(b"Content-Length: %d" % len(reply.body))
    if connection:
        lines.append(connection)
    return b"\r\n".join([*lines, b"", b"" if bodiless else reply.body])


def refusal(
    reason: Reason,
    detail: str,
    retry_after: float | None,
    *,
    entry: Entry | None,
    head: RequestHead | None,
) -> Reply:
    """The answer to a refused request, in the shape that its sender reads."""
    shape = shape_for(entry, head)
    return Reply(
        status=ERRORS[reason].status,
        lines=tuple(error_head(reason, retry_after, shape)),
        body=error_body(reason, detail, shape),
    )


def shape_for(entry: Entry | None, head: RequestHead | None) -> ErrorShape:
    """How errors look to whoever sent this."""
    if entry is not None:
        return entry.profile.shape
    target = b"" if head is None else head.target
    if target.startswith(b"/v2") or b"/v2/" in target:
        return ErrorShape.V2
    return ErrorShape.OPENAI if b"/v1/" in target else ErrorShape.PROBLEM

"""The bytes of a request as they go to a replica. Pure."""

from gateway.core.chunks import LAST_CHUNK, chunk
from gateway.core.head import RequestHead

__all__ = ["request_pieces"]

_JOINED = 64 * 2**10


def request_pieces(
    line: bytes, host: bytes, head: RequestHead, body: list[bytes], *, complete: object
) -> list[bytes]:
    """Head and body so far, framed anew, in as few pieces as is cheap.

    `line` and `host` are the request line and the Host field, without CRLF; `complete`: the body
    has ended.
    """
    start = _start(line, host, head)
    if head.chunked:
        body = [chunk(piece) for piece in body]
        if complete:
            body.append(LAST_CHUNK)
    if len(body) == 1 and len(body[0]) < _JOINED:
        return [start + body[0]]
    if sum(map(len, body)) < _JOINED:
        return [start + b"".join(body)]
    return [start, *body]


def _start(line: bytes, host: bytes, head: RequestHead) -> bytes:
    """The head as it is sent. Remembered in it: a head seen before mostly goes the same way."""
    note = head.start
    if note is not None and note[0] == line and note[1] == host:
        return note[2]
    lines = [line, host, *head.fields]
    if head.chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif head.length is not None:
        lines.append(b"Content-Length: %d" % head.length)
    start = b"\r\n".join([*lines, b"", b""])
    head.start = (line, host, start)
    return start

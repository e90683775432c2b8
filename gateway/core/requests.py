"""The bytes of a request as they go to a replica. Pure."""

from gateway.core.chunks import chunk
from gateway.core.forwarding import PLAIN_EDGE, Edge, hop_lines
from gateway.core.head import RequestHead

__all__ = ["request_pieces"]

_JOINED = 64 * 2**10


def request_pieces(
    line: bytes,
    host: bytes,
    head: RequestHead,
    body: list[bytes],
    *,
    last: bytes | None,
    edge: Edge = PLAIN_EDGE,
) -> list[bytes]:
    """Head and body so far, framed anew, in as few pieces as is cheap.

    `line` and `host` are the request line and the Host field, without CRLF; `last`: the
    last chunk, where the body has ended; `edge`: by which hop it came in.
    """
    start = _start(line, host, head, edge)
    if head.chunked:
        body = [chunk(piece) for piece in body]
        if last is not None:
            body.append(last)
    if len(body) == 1 and len(body[0]) < _JOINED:
        return [start + body[0]]
    if sum(map(len, body)) < _JOINED:
        return [start + b"".join(body)]
    return [start, *body]


def _start(line: bytes, host: bytes, head: RequestHead, edge: Edge) -> bytes:
    """The head as it is sent. Remembered in it: a head seen before mostly goes the same way."""
    note = head.start
    if note is not None and note[0] == line and note[1] == host and note[2] is edge:
        return note[3]
    lines = [line, host, *hop_lines(head, edge)]
    if head.switches:
        lines += (b"Connection: Upgrade", b"Upgrade: " + b", ".join(head.upgrades))
    elif head.trailers:
        lines += (b"Connection: TE", b"TE: trailers")
    if head.chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif head.length is not None:
        lines.append(b"Content-Length: %d" % head.length)
    start = b"\r\n".join([*lines, b"", b""])
    head.start = (line, host, edge, start)
    return start

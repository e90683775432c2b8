"""Server-sent events, as far as the gateway writes any. Pure."""

import re

__all__ = ["EVENT_STREAM", "comment", "event"]

_BREAK = re.compile(r"\r\n|\r|\n")
EVENT_STREAM = b"text/event-stream"


def comment(words: str) -> bytes:
    """A line that every reader of an event stream passes over."""
    return f": {words}\n\n".encode()


def event(name: bytes, data: bytes, retry: float | None = None) -> bytes | None:
    """One event called `name` (empty: an ordinary one); None when `data` is no text.

    `retry`: seconds after which the reader may come back.
    """
    try:
        lines = _BREAK.split(data.decode())
    except UnicodeDecodeError:
        return None
    parts = [b"event: " + name] if name else []
    if retry is not None:
        parts.append(b"retry: %d" % (retry * 1000))
    parts += [b"data: " + line.encode() for line in lines]
    return b"\n".join([*parts, b"", b""])

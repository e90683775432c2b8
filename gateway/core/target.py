"""The request target: one meaning, or refused. Pure.

Rule 1: what is decided on is what is forwarded: `Target.path` is the decoded path, `wire_path` of
        it is what goes to the replica, and nothing of the sender's own spelling is left.
Rule 2: whatever two readers could read two ways is refused: dot segments and empty segments, raw or
        encoded; encoded slashes, backslashes, percent signs, question marks and hashes; controls;
        bytes that are no UTF-8; bad percent escapes; fragments.
Rule 3: only the origin form, or the absolute form whose authority is the Host field's.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from fleet.reasons import Reason
from gateway.core.limits import MAX_TARGET
from gateway.core.refused import RefusedError

__all__ = ["Target", "decode_path", "is_host", "origin_form", "split_query", "wire_path"]

# RFC 3986: pchar and "/"; the query may also hold what senders leave unescaped there.
_PATH = re.compile(rb"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*")
_QUERY = re.compile(rb"(?:\?(?:[!\"$&-~]|%[0-9A-Fa-f]{2})*)?")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_TWO_WAYS = re.compile(rb"%(?:2[Ff35]|5[Cc]|3[Ff]|[01][0-9A-Fa-f]|7[Ff])")
_SAFE = "/:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A request target taken apart."""

    path: str
    """Decoded; begins with a slash."""
    query: bytes
    """As sent, with its question mark; empty when there is none."""


def _malformed(detail: str) -> RefusedError:
    return RefusedError(Reason.MALFORMED, detail)


def is_host(host: bytes) -> bool:
    """Whether `host` can stand in a Host field: a name or address, and a port or none."""
    return _HOST.fullmatch(host) is not None


def origin_form(raw: bytes, host: bytes | None, scheme: bytes = b"http") -> bytes:
    """`raw` as an origin form; `scheme` is what the connection speaks. Raises `RefusedError`."""
    if len(raw) > MAX_TARGET:
        raise RefusedError(Reason.TARGET_TOO_LONG, f"at most {MAX_TARGET} bytes")
    if raw.startswith(b"/"):
        return raw
    named, separator, rest = raw.partition(b"://")
    authority, slash, path = rest.partition(b"/")
    if not separator or named.lower() != scheme or not slash:
        msg = "the request target must be a path"
        raise _malformed(msg)
    if host is None or authority.lower() != host.lower():
        msg = "the request target and the Host field name different hosts"
        raise _malformed(msg)
    return b"/" + path


def split_query(origin: bytes) -> tuple[bytes, bytes]:
    """Path and query (with its question mark) of an origin form. Raises `RefusedError`."""
    cut = origin.find(b"?")
    if cut < 0:
        return origin, b""
    query = origin[cut:]
    if _QUERY.fullmatch(query) is None:
        msg = "the query has characters that must be percent-encoded"
        raise _malformed(msg)
    return origin[:cut], query


def decode_path(raw: bytes) -> str:
    """The one path that `raw`, without its query, stands for. Raises `RefusedError`."""
    if _PATH.fullmatch(raw) is None:
        msg = "the path has characters that must be percent-encoded, or a bad escape"
        raise _malformed(msg)
    if _TWO_WAYS.search(raw) is not None:
        msg = "the path has an escaped character that may not stand in a path here"
        raise _malformed(msg)
    try:
        path = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        msg = "the path is not UTF-8"
        raise _malformed(msg) from error
    segments = path[1:].split("/")
    # The last one may be empty: a trailing slash has one meaning.
    if "" in segments[:-1] or any(one.partition(";")[0] in (".", "..") for one in segments):
        msg = "the path has empty or dot segments"
        raise _malformed(msg)
    return path


def wire_path(path: str) -> bytes:
    """`path` as it is sent to a replica."""
    return quote(path, safe=_SAFE).encode()

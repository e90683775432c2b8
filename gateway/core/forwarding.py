"""What a request says of the hops it took: Via, X-Forwarded-*, Forwarded. Pure.

Rule 1: only a trusted peer may speak for others. What anyone else sent under these names is taken
        out where the gateway writes such fields, and is none of its business where it does not.
Rule 2: a trusted peer's list is continued (`X-Forwarded-For`, `Forwarded`); what it said of the
        first hop's scheme and host stands.
Rule 3: an `Edge` is made per connection, never per request, and shared where it can be, since the
        request's bytes are remembered for it by identity (`gateway.core.requests`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from gateway.core.head import RequestHead

__all__ = ["PLAIN_EDGE", "Edge", "Style", "hop_lines", "speaks_for_others", "told_lines"]


class Style(Enum):
    """Which fields tell the replica who asked."""

    OFF = "off"
    X_FORWARDED = "x-forwarded"
    FORWARDED = "forwarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What is known of the hop by which a connection's requests come in."""

    style: Style = Style.OFF
    via: bytes = b""
    """The name that the gateway goes by in Via; empty: it writes none."""
    trusted: bool = False
    """The peer may speak for others."""
    address: str = ""
    """The peer's; only where `style` is not OFF."""
    scheme: bytes = b"http"


PLAIN_EDGE = Edge()
"""Adds nothing."""


def hop_lines(head: RequestHead, edge: Edge) -> list[bytes]:
    """The fields of `head` as they go on, with those of this hop."""
    lines = head.fields
    if edge.style is not Style.OFF:
        lines = told_lines(lines, head.host or b"", edge)
    if edge.via:
        lines = [*lines, b"Via: %b %b" % (b"1.0" if head.old else b"1.1", edge.via)]
    return lines


def told_lines(fields: Iterable[bytes], host: bytes, edge: Edge) -> list[bytes]:
    """The lines of `fields` with who asked `host`, in the style that is wanted."""
    lines: list[bytes] = []
    said: dict[bytes, list[bytes]] = {}
    for line in fields:
        name, _, value = line.partition(b":")
        name = name.lower()
        if not speaks_for_others(name):
            lines.append(line)
        elif edge.trusted:
            said.setdefault(name, []).append(value.strip(b" \t"))
    if edge.style is Style.X_FORWARDED:
        _continue(said, b"x-forwarded-for", edge.address.encode())
        said.setdefault(b"x-forwarded-proto", [edge.scheme])
        if host:
            said.setdefault(b"x-forwarded-host", [host])
    else:
        _continue(said, b"forwarded", _element(edge, host))
    lines += [_NAMES.get(name, name) + b": " + b", ".join(said[name]) for name in said]
    return lines


_NAMES = {
    b"x-forwarded-for": b"X-Forwarded-For",
    b"x-forwarded-proto": b"X-Forwarded-Proto",
    b"x-forwarded-host": b"X-Forwarded-Host",
    b"forwarded": b"Forwarded",
}


def speaks_for_others(name: bytes) -> bool:
    """Whether a field of this name, in lower case, says who asked."""
    return name.startswith(b"x-forwarded-") or name in (b"forwarded", b"x-real-ip")


def _continue(said: dict[bytes, list[bytes]], name: bytes, hop: bytes) -> None:
    said[name] = [*said.get(name, ()), hop]


def _element(edge: Edge, host: bytes) -> bytes:
    """This hop in the words of RFC 7239."""
    address = edge.address.encode()
    node = b'"[%b]"' % address if b":" in address else address
    parts = [b"for=" + node]
    if host:
        parts.append(b'host="%b"' % host)
    return b";".join([*parts, b"proto=" + edge.scheme])

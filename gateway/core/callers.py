"""Whose a request is, and what it may. Pure; plain values in, so HTTP and gRPC ask the same.

A caller is its API key's name, else its client certificate's subject, else its address; behind a
trusted peer the address that this names last of those it does not trust itself.

Rule 1: it is decided once per connection where it can be: where no keys are asked for, and the peer
        is not one that speaks for others.
Rule 2: of IPv6 the first 64 bits count: whoever has one address there has them all.
Rule 3: precedence is believed from trusted keys and peers only, and ignored from anyone else.
Rule 4: a kind of name cannot pass for another: each begins with its kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address

from fleet.reasons import Reason
from gateway.core.keys import EVERY_MODEL, Keys
from gateway.core.peers import Peers
from gateway.core.refused import RefusedError

__all__ = [
    "MOST_PRECEDENCE",
    "Admitted",
    "Origin",
    "Said",
    "admit",
    "bearer",
    "forwarded_for",
    "net_of",
]

MOST_PRECEDENCE = 100
"""Precedence lies between this and its negative."""

_BEARER = b"bearer "
_LONGEST_PRECEDENCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a connection says of its requests."""

    address: str
    """The peer's, without a port."""
    subject: str = ""
    """The subject of its client certificate; empty without one."""
    trusted: bool = False
    """The peer may speak for others."""

    @property
    def caller(self) -> str:
        """Whose its requests are, where they do not say so themselves."""
        return f"cert:{self.subject}" if self.subject else f"addr:{net_of(self.address)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one request says of itself."""

    secret: bytes | None = None
    """Its API key; None: it has none."""
    precedence: bytes | None = None
    """The value of `Ebbtide-Precedence`."""
    forwarded: Sequence[bytes] = ()
    """The values of `X-Forwarded-For`, else of `Forwarded`, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Whose a request is, and what it may."""

    caller: str
    precedence: int = 0
    models: tuple[str, ...] | None = None
    """Patterns of the models that are there for it (`Tables.seen`); None: all."""


def admit(said: Said, origin: Origin, *, keys: Keys | None, peers: Peers) -> Admitted:
    """Whose the request is. Raises `RefusedError` where keys are asked for and it has none."""
    if keys is None:
        caller, trusted, models = _unkeyed(said, origin, peers), origin.trusted, None
    else:
        if said.secret is None:
            raise RefusedError(Reason.KEY_MISSING)
        key = keys.find(said.secret)
        if key is None:
            raise RefusedError(Reason.KEY_WRONG)
        caller, trusted = f"key:{key.name}", key.trusted or origin.trusted
        models = None if key.models == EVERY_MODEL else key.models
    precedence = _precedence(said.precedence) if trusted and said.precedence else 0
    return Admitted(caller=caller, precedence=precedence, models=models)


def bearer(authorization: bytes) -> bytes | None:
    """The key in the value of an Authorization field; None when it is of another kind."""
    if authorization[: len(_BEARER)].lower() != _BEARER:
        return None
    return authorization[len(_BEARER) :].strip(b" ")


def net_of(address: str) -> str:
    """The address, or the network, that one caller is taken to have."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(IPv6Network((found, 64), strict=False))
    return str(found)


def forwarded_for(values: Sequence[bytes], peers: Peers) -> str:
    """The last address that is not a trusted peer's own; empty when there is none.

    What stands before a word that is no address was said by whoever that word hides.
    """
    elements = b",".join(values).decode("latin-1").split(",")
    for element in reversed(elements):
        address = _address(element)
        if element.strip() and not peers.contains(address):
            return address
    return ""


def _unkeyed(said: Said, origin: Origin, peers: Peers) -> str:
    if origin.trusted:
        address = forwarded_for(said.forwarded, peers)
        if address:
            return f"addr:{net_of(address)}"
    return origin.caller


def _address(element: str) -> str:
    """The address of one hop, in the words of either field; empty when it is none."""
    for part in element.split(";"):
        name, equals, value = part.strip().partition("=")
        if not equals or name.lower() == "for":
            return _bare((value if equals else name).strip('" '))
    return ""


def _bare(node: str) -> str:
    """Without brackets and port."""
    if node.startswith("["):
        node = node[1:].partition("]")[0]
    elif node.count(":") == 1:
        node = node.partition(":")[0]
    try:
        return str(ip_address(node))
    except ValueError:
        return ""


def _precedence(value: bytes) -> int:
    digits = value[1:] if value[:1] == b"-" else value
    number = int(value) if digits.isdigit() and len(value) <= _LONGEST_PRECEDENCE else None
    if number is None or abs(number) > MOST_PRECEDENCE:
        msg = f"Ebbtide-Precedence must be a whole number, at most {MOST_PRECEDENCE} either way"
        raise RefusedError(Reason.MALFORMED, msg)
    return number

"""Whom the admin port answers. Pure.

Rule 1: with tokens, whoever says one is answered, whatever name the port was called by: a web page
        from elsewhere has none to say.
Rule 2: without, the callers are those of this machine. A web page from elsewhere can make its own
        host name point here (DNS rebinding) and would then read the answers; it cannot make a
        browser send an IP address or `localhost` as the host, so these pass, and names given.
Rule 3: without, a port that other machines reach answers nothing that tells of models and money.
Rule 4: what a kubelet and Prometheus ask is open in a cluster: they ask by address, or by any name.
        On one machine it is open only once there are tokens.
"""

import ipaddress
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from fleet.reasons import Reason
from gateway.core.tokens import Tokens, said_token

__all__ = ["OPEN_PATHS", "Admission", "Asked", "Denial", "Reach", "deny", "host_is_allowed"]

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
_UNAUTHORIZED, _FORBIDDEN = 401, 403


class Reach(Enum):
    """From where the port can be reached, as its process sees it."""

    MACHINE = "machine"
    """`ebbtide up`: whoever chose its address chose who asks."""
    LOOPBACK = "loopback"
    """A process of a cluster, on an address of this machine alone."""
    NETWORK = "network"
    """A process of a cluster, on an address that other machines reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What it goes by."""

    reach: Reach = Reach.MACHINE
    names: Collection[str] = frozenset({"localhost"})
    """Names that the port goes by, in lower case, beside any IP address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one request says: its path, and the values of two of its fields."""

    path: str
    hosts: Sequence[str]
    authorizations: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Why it is not answered."""

    status: int
    reason: Reason
    message: str


def deny(asked: Asked, admission: Admission, tokens: Tokens | None) -> Denial | None:
    """Why `asked` is not answered; None when it is. `tokens`: None when there are none to say."""
    guarded = tokens is not None or admission.reach is not Reach.MACHINE
    if guarded and asked.path in OPEN_PATHS:
        return None
    if tokens is not None:
        return _unproved(asked, tokens)
    if admission.reach is Reach.NETWORK:
        return Denial(
            status=_FORBIDDEN,
            reason=Reason.NOT_ALLOWED,
            message=f"other machines reach this port, and no token is set: only"
            f" {', '.join(sorted(OPEN_PATHS))} are told; EBBTIDE_ADMIN_TOKEN_FILE names a file with"
            " one, --admin-host 127.0.0.1 keeps other machines out",
        )
    if len(asked.hosts) == 1 and host_is_allowed(asked.hosts[0], admission.names):
        return None
    allowed = ", ".join(sorted(admission.names))
    return Denial(
        status=_FORBIDDEN,
        reason=Reason.NOT_ALLOWED,
        message=f"the Host must be an IP address or one of: {allowed}",
    )


def host_is_allowed(host: str, names: Collection[str]) -> bool:
    """Whether a Host header (with or without a port) names an address or one of `names`."""
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _unproved(asked: Asked, tokens: Tokens) -> Denial | None:
    said = [said_token(value) for value in asked.authorizations]
    if len(said) != 1 or said[0] is None:
        return Denial(
            status=_UNAUTHORIZED,
            reason=Reason.KEY_MISSING,
            message="expected the admin token: as Authorization: Bearer TOKEN,"
            " or as the password of any user",
        )
    if tokens.hold(said[0]):
        return None
    return Denial(
        status=_UNAUTHORIZED, reason=Reason.KEY_WRONG, message="this is not the admin token"
    )

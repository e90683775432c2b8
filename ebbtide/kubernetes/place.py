"""Where a process runs, as whom it speaks to the API server, and who it is among the others."""

import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from fleet.kubernetes.credentials import ACCOUNT
from fleet.leases.identity import Identity, identity, own_namespace
from fleet.settings import Settings

__all__ = ["Place", "identity_of", "own_namespace_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a process runs, and as whom it speaks to the API server."""

    pod: bool
    """Whether it is one, by its service account."""
    kubeconfig: str | None
    """As kubectl takes it; None: as the pod's service account."""
    context: str | None


def own_namespace_of(place: Place, settings: Settings, environ: Mapping[str, str]) -> str:
    """Where ebbtide's Leases are."""
    return own_namespace(settings.namespace, environ, _account(place))


def identity_of(
    place: Place, settings: Settings, environ: Mapping[str, str], *, admin_port: int
) -> Identity:
    """Who this process is: no other, before or after it, is the same."""
    return identity(
        own_namespace_of(place, settings, environ),
        environ,
        _account(place),
        host=environ.get("HOSTNAME") or socket.gethostname(),
        admin_port=admin_port,
        process=secrets.token_hex(4),
    )


def _account(place: Place) -> str | None:
    """The namespace of the pod's service account; None outside a pod."""
    if not place.pod:
        return None
    try:
        return (ACCOUNT / "namespace").read_text().strip()
    except OSError:
        return ""

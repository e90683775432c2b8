"""Who a gateway is among the others, from what its process was started with. Pure.

Rule 1: in a pod, what the pod's own description says (`POD_NAMESPACE`, `POD_NAME`, `POD_UID`, by
        the downward API; `POD_CONTAINER`); where it says less, the service account's namespace and
        the host's name.
Rule 2: outside, `HOST:ADMIN-PORT`: two processes of one host cannot have the same.
Rule 3: ebbtide's own namespace: the setting, else the pod's, else `ebbtide`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fleet.names import GatewayName

__all__ = ["Identity", "identity", "own_namespace"]

_DEFAULT = "ebbtide"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a gateway is, and where its Lease lies."""

    name: GatewayName
    process: str
    """Of this process alone: one that is started anew has another."""
    namespace: str
    """Ebbtide's own."""
    pod_uid: str = ""
    """Of the pod it runs in: when that is gone, the cluster deletes the Lease. Empty outside."""
    container: str = ""
    """The pod's container that it runs in, if that is known."""

    @property
    def holder(self) -> str:
        """What its Lease says."""
        return f"{self.name}_{self.process}"


def own_namespace(setting: str, environ: Mapping[str, str], account: str | None) -> str:
    """Where ebbtide's Leases are. `account`: that of the service account; None outside a pod."""
    return setting or environ.get("POD_NAMESPACE") or account or _DEFAULT


def identity(
    namespace: str,
    environ: Mapping[str, str],
    account: str | None,
    *,
    host: str,
    admin_port: int,
    process: str,
) -> Identity:
    """Who this process is. `namespace`: ebbtide's own; `account`: as for `own_namespace`.

    `host`: what this machine, or pod, is called; `admin_port`: that it listens on, by now.
    """
    if account is None:
        name = GatewayName(f"{host}:{admin_port}")
        return Identity(name=name, process=process, namespace=namespace)
    where, pod = environ.get("POD_NAMESPACE") or account, environ.get("POD_NAME") or host
    return Identity(
        name=GatewayName(f"{where}/{pod}"),
        process=process,
        namespace=namespace,
        # An owner of another namespace would be none, and the Lease deleted at once.
        pod_uid=environ.get("POD_UID", "") if where == namespace else "",
        container=environ.get("POD_CONTAINER", ""),
    )

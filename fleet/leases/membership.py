"""Which gateways count as members, from their Leases. Pure.

Rule 1: a gateway makes its Lease before it reads the cluster for the first time. So whoever is
        missing from a list of Leases that was made after a drain was marked sees that mark from the
        beginning (`docs/adr/0020-members-leases-and-terms.md`).
Rule 2: a Lease without a holder is nobody's: its gateway has left in order.
Rule 3: a gateway in a pod of ebbtide's own namespace is called ``namespace/pod``. It is a member
        until that pod is gone, or says that its process has ended (`fleet.leases.lives`), whether
        its Lease is renewed or not.
Rule 4: any other is called ``host:admin-port``. The next process of that name takes its place at
        once: it takes over the Lease. Without one it is gone `GRACE` seconds after it has expired.
Rule 5: time in which this process could not read the Leases proves nothing: then nobody could renew
        either, as far as it knows. It counts only from when they could be read again.
Rule 6: a Lease that says no name is somebody whom nobody can hear, until it expires as in rule 4.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fleet.kubernetes.objects import Object, key_of, metadata
from fleet.leases.record import Record, read_record
from fleet.names import GatewayName

__all__ = ["GRACE", "LABEL", "NAMED", "Sighting", "gone", "lease_name", "observe", "pod_of"]

GRACE = 15.0
"""Seconds after the end of its Lease at which a gateway outside a pod is gone."""
LABEL: Final = {"ebbtide.dev/member": "gateway"}
"""What the Leases of gateways carry."""
NAMED: Final = "ebbtide.dev/gateway"
"""The annotation with the gateway's name."""
_LONGEST_POD = 200
"""Characters of a pod's name; a controller's have 63 at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A member's Lease, and when this process first saw its last renewal, on its own clock."""

    name: GatewayName
    record: Record
    seen_at: float

    def fresh(self, now: float) -> bool:
        """Whether its Lease has not expired at `now`."""
        return now < self.seen_at + self.record.lasts


def lease_name(gateway: GatewayName, namespace: str) -> str:
    """What a gateway's Lease in ebbtide's own `namespace` is called.

    After its pod, so that an admission policy can hold a pod's token to it.
    """
    pod = pod_of(gateway, namespace) or ""
    if 0 < len(pod) <= _LONGEST_POD:
        return f"ebbtide-gateway-pod-{pod}"
    return f"ebbtide-gateway-{hashlib.sha256(gateway.encode()).hexdigest()[:16]}"


def pod_of(gateway: GatewayName, namespace: str) -> str | None:
    """The pod of ebbtide's own `namespace` that a gateway runs in; None for one outside."""
    where, slash, pod = gateway.partition("/")
    return pod if slash and pod and where == namespace else None


def observe(
    before: Mapping[GatewayName, Sighting], leases: Iterable[Object], now: float
) -> dict[GatewayName, Sighting]:
    """The members' Leases as listed; `now`: when the list was here."""
    found: dict[GatewayName, Sighting] = {}
    for raw in leases:
        name, record = _name(raw), read_record(raw)
        if not record.holder:
            continue
        known = before.get(name)
        same = known is not None and known.record.stamp == record.stamp
        seen_at = known.seen_at if known is not None and same else now
        found[name] = Sighting(name=name, record=record, seen_at=seen_at)
    return found


def gone(
    sighting: Sighting, namespace: str, *, ended: Collection[str], since: float, now: float
) -> bool:
    """Whether the gateway is a member no more.

    `ended`: the pods whose gateways are no more. `since`: from when on the Leases could be read all
    the time.
    """
    pod = pod_of(sighting.name, namespace)
    if pod is not None:
        return pod in ended
    return now >= max(sighting.seen_at + sighting.record.lasts, since) + GRACE


def _name(raw: Object) -> GatewayName:
    annotations = metadata(raw).get("annotations")
    said = annotations.get(NAMED) if isinstance(annotations, dict) else None
    if isinstance(said, str) and said:
        return GatewayName(said)
    return GatewayName(f"lease {key_of(raw)[1]}")

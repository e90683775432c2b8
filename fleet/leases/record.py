"""A Lease object of the API (coordination.k8s.io/v1), read and made. Pure.

Rule 1: times of day in it are for people. What counts is that they change: each reader measures on
        its own clock how long ago it saw that.
Rule 2: nothing in it is believed: a duration that is missing or absurd is the usual one, a count
        that is none is 0. A Lease without a holder is free.
"""

from dataclasses import dataclass

from fleet.kubernetes.objects import Object, metadata, version_of

__all__ = ["LASTS", "Record", "lease_path", "made", "read_record", "taken"]

LASTS = 15.0
"""Seconds that a Lease lasts beyond its last renewal."""
_LONGEST_S = 300.0
_MOST_TURNS = 2**31 - 1
_API = "/apis/coordination.k8s.io/v1/namespaces"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A Lease as one read showed it."""

    holder: str = ""
    """The process that has it; empty: nobody."""
    renewed: str = ""
    """Its time of renewal, as written."""
    lasts: float = LASTS
    turns: int = 0
    """How often it has changed hands."""
    version: str = ""
    raw: Object | None = None
    """The object itself: what is written back keeps what others have put there."""

    @property
    def stamp(self) -> tuple[str, str, int]:
        """What every renewal changes."""
        return self.holder, self.renewed, self.turns


def lease_path(namespace: str, name: str = "") -> str:
    """Where a Lease is asked for; without a name: where they are listed and made."""
    path = f"{_API}/{namespace}/leases"
    return f"{path}/{name}" if name else path


def read_record(raw: Object) -> Record:
    """The Lease, whatever `raw` holds."""
    spec = raw.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    return Record(
        holder=_text(spec.get("holderIdentity")),
        renewed=_text(spec.get("renewTime")),
        lasts=_lasts(spec.get("leaseDurationSeconds")),
        turns=_turns(spec.get("leaseTransitions")),
        version=version_of(raw),
        raw=raw,
    )


def taken(record: Record, *, holder: str, at: str, lasts: float = LASTS, turns: int) -> Object:
    """`record` with this holder from `at` on, as it is written back; `at` is RFC 3339.

    An empty `holder` gives it up. The version is the one that was read: what has changed since is
    a conflict.
    """
    raw = record.raw or {}
    before = raw.get("spec")
    spec: Object = dict(before) if isinstance(before, dict) else {}
    if holder != record.holder:
        spec["acquireTime"] = at
    spec["holderIdentity"] = holder
    spec["renewTime"] = at
    spec["leaseDurationSeconds"] = int(lasts)
    spec["leaseTransitions"] = turns
    return {**raw, "metadata": {**metadata(raw), "resourceVersion": record.version}, "spec": spec}


def made(name: str, namespace: str, **more: Object) -> Record:
    """A Lease that is not there yet, and nobody's; `more` goes into its metadata."""
    raw: Object = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace, **more},
    }
    return Record(raw=raw)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _lasts(value: object) -> float:
    return float(value) if type(value) is int and 1 <= value <= _LONGEST_S else LASTS


def _turns(value: object) -> int:
    return value if type(value) is int and 0 <= value <= _MOST_TURNS else 0

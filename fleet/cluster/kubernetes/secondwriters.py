"""Who else scales a Deployment. Pure: fed with Deployments as they are seen, and with `now`.

The API server notes in `managedFields` who has set `spec.replicas`; ebbtide's own writes, whichever
process makes them, are by the field manager `MANAGER`, and it stays named until somebody else
changes the number. Who changes it to 0 by the scale subresource takes our name away and leaves
none.

Rule 1: an HPA or a KEDA ScaledObject that targets the Deployment counts as long as it is there.
Rule 2: another manager counts that has changed the number after a write of ours twice within an
        hour. Who created the Deployment has not changed it after us, and one scale by hand is one.
Rule 3: it is forgotten after an hour in which it changed nothing.
Rule 4: after a start nothing is known of what was before: it takes two more changes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from fleet.cluster.kubernetes.fields import entries, keyed, text, whole
from fleet.cluster.kubernetes.naming import revision_name
from fleet.kubernetes.objects import Key, Object, key_of
from fleet.names import RevisionName

__all__ = ["HOUR", "MANAGER", "SIGNED", "SecondWriters", "target_of"]

MANAGER = "ebbtide"
"""The field manager that all writes of ebbtide are made by."""
SIGNED: Final[Object] = {"manager": MANAGER, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
"""What `managedFields` say after a write of ours, as far as it is read."""
HOUR = 3600.0
_UNNAMED = "a client that the API server does not name"
_TWICE = 2


@dataclass(slots=True)
class _Track:
    """What is known of one Deployment."""

    ours: bool = False
    """The number that it had when last seen was ours."""
    last: tuple[str, str, int | None] | None = None
    """(manager, timestamp, replicas) of whoever else had set it, and to what."""
    changes: dict[str, list[float]] = field(default_factory=dict)
    """When each other manager changed it after us, within the last hour."""
    writer: str = ""
    """The manager that counts."""
    until: float = 0.0


class SecondWriters:
    """All Deployments' second writers, as far as they show."""

    def __init__(self) -> None:
        self._tracks: dict[RevisionName, _Track] = {}
        self._targeted: dict[RevisionName, dict[str, None]] = {}

    def see(self, name: RevisionName, raw: Object, *, now: float) -> None:
        """The Deployment as it is now."""
        track = self._tracks.setdefault(name, _Track())
        # Not every entry has a time: those of the scale subresource have none.
        replicas = whole(raw, "spec", "replicas")
        owners = [
            (text(each, "manager"), text(each, "time"), replicas)
            for each in entries(raw, "metadata", "managedFields")
            if "f:replicas" in keyed(each, "fieldsV1", "f:spec")
        ]
        if any(manager == MANAGER for manager, _, _ in owners):
            track.ours, track.last = True, None
            return
        unnamed = (_UNNAMED, "", replicas)
        other = max(owners, key=lambda owner: (owner[1], owner[0]), default=unnamed)
        if other == track.last:
            return
        counts = track.ours or (track.last is not None and other[0] == track.writer)
        track.ours, track.last = False, other
        if counts:
            _changed(track, other[0], now)

    def gone(self, name: RevisionName) -> None:
        """The Deployment is no more."""
        self._tracks.pop(name, None)

    def target(self, targets: Mapping[Key, tuple[RevisionName, str]]) -> Iterable[RevisionName]:
        """What the autoscalers of the cluster target now; returns whose answer that changes."""
        found: dict[RevisionName, dict[str, None]] = {}
        for key in sorted(targets):
            name, words = targets[key]
            found.setdefault(name, {})[words] = None
        before, self._targeted = self._targeted, found
        names = before.keys() | found.keys()
        return [name for name in names if before.get(name) != found.get(name)]

    def of(self, name: RevisionName, *, now: float) -> str:
        """Who else scales it, in words; empty: nobody."""
        if name in self._targeted:
            return f"{', '.join(self._targeted[name])} targets it"
        track = self._tracks.get(name)
        if track is None or not track.writer or now >= track.until:
            return ""
        return f"{track.writer} has changed spec.replicas after ebbtide twice within an hour"

    def due(self, name: RevisionName, *, now: float) -> float | None:
        """When it is forgotten; None where nothing is to be."""
        track = self._tracks.get(name)
        if track is None or not track.writer or now >= track.until:
            return None
        return track.until


def _changed(track: _Track, manager: str, now: float) -> None:
    recent = [at for at in track.changes.get(manager, ()) if now - at < HOUR]
    # A manager may call itself whatever it likes, each time anew.
    track.changes = {manager: [*recent, now][-_TWICE:]} | {
        other: times
        for other, times in track.changes.items()
        if other != manager and now - times[-1] < HOUR
    }
    lasting = track.writer == manager and now < track.until
    if lasting or len(track.changes[manager]) >= _TWICE:
        track.writer, track.until = manager, now + HOUR


def target_of(raw: Object, kind: str) -> tuple[RevisionName, str] | None:
    """The Deployment that an HPA or ScaledObject scales, and what that is called."""
    namespace, name = key_of(raw)
    target = keyed(raw, "spec", "scaleTargetRef")
    group = text(target, "apiVersion").partition("/")[0]
    if text(target, "kind") not in ("", "Deployment") or group not in ("", "apps"):
        return None
    deployment = text(target, "name")
    return (revision_name(namespace, deployment), f"{kind} {name}") if deployment else None

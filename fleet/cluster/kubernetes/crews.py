"""The replicas of each revision, read anew only where something has changed. Pure.

Rule 1: an Event is believed about a pod of its own namespace, by name and uid. Whoever may write
        Events in one namespace has no say about the pods of another.
Rule 2: of very many about one pod the newest of each reason are kept: who writes them by the
        thousand must not keep a process busy with them.
Rule 3: that the cluster refuses to make pods is for the Deployment to say, but for its ReplicaSets
        while it is paused: its own condition then stays as it was when it was paused.
"""

from collections.abc import Callable
from dataclasses import replace

from fleet.cluster.kubernetes.assembly import Crew, crew
from fleet.cluster.kubernetes.deployments import Deployed
from fleet.cluster.kubernetes.fields import text
from fleet.cluster.kubernetes.holding import ended
from fleet.cluster.kubernetes.ownership import template_of
from fleet.cluster.kubernetes.places import Places
from fleet.cluster.kubernetes.podindex import PodIndex
from fleet.cluster.kubernetes.replicas import Around, Reading, read_replica
from fleet.cluster.kubernetes.times import Moments, Taken, wall_seconds
from fleet.cluster.kubernetes.why import Events, Explain, newest
from fleet.kubernetes.objects import Key, Object, uid_of
from fleet.model import Revision
from fleet.names import RevisionName

__all__ = ["Crews"]

_NO_EVENTS: Events = {}
_MOST_EVENTS = 64
_Pod = tuple[str, str, str]
"""A pod's namespace, name and uid."""


class Crews:
    """What was read of every pod, and of the Events about it."""

    def __init__(
        self, index: PodIndex, places: Places, *, offset: Callable[[], float], explain: Explain
    ) -> None:
        self._index = index
        self._places = places
        self._offset = offset
        self._explain = explain
        self._events: dict[_Pod, dict[Key, Object]] = {}
        self._newest: dict[_Pod, Events] = {}
        self._read: dict[Key, tuple[Object, Around, Reading]] = {}
        self._taken: dict[Key, tuple[str, Taken]] = {}
        self._refused: dict[RevisionName, Taken] = {}

    def put_event(self, key: Key, raw: Object) -> None:
        """An Event as it is now; its own object never changes."""
        pod = _subject(key, raw)
        events = self._events.setdefault(pod, {})
        if len(events) >= _MOST_EVENTS:
            kept = {id(event) for event in newest(list(events.values())).values()}
            for old in [name for name, event in events.items() if id(event) not in kept]:
                del events[old]
        events[key] = raw
        self._told(pod)

    def drop_event(self, key: Key, raw: Object) -> None:
        """An Event that is gone, as it was last."""
        pod = _subject(key, raw)
        self._events.get(pod, {}).pop(key, None)
        if not self._events.get(pod):
            self._events.pop(pod, None)
        self._told(pod)

    def drop_pod(self, key: Key) -> None:
        """A pod that is gone."""
        self._read.pop(key, None)
        self._taken.pop(key, None)

    def forget(self, name: RevisionName) -> None:
        """The Deployment is no more, or another one of that name."""
        self._refused.pop(name, None)

    def of(self, revision: Revision, deployed: Deployed | None, *, now: float) -> Crew:
        """The replicas of a revision; `deployed` is None once its Deployment is gone."""
        live: list[tuple[float, Reading]] = []
        over: list[Reading] = []
        for key in self._index.owned(revision.name):
            pod = self._index.pods[key]
            reading = self._reading(key, pod, revision, deployed, now=now)
            if ended(pod) and not text(pod, "metadata", "deletionTimestamp"):
                over.append(reading)
            else:
                age = wall_seconds(text(pod, "metadata", "creationTimestamp")) or 0.0
                live.append((age, reading))
        if deployed is not None and deployed.paused:
            deployed = replace(deployed, refusal=self._index.refusal(revision.name))
        moments = Moments(now=now, offset=self._offset(), before=self._refused.get(revision.name))
        made = crew(live, over, deployed, moments, now=now)
        if deployed is not None:
            self._refused[revision.name] = moments.taken
        return made

    def _reading(
        self, key: Key, pod: Object, revision: Revision, deployed: Deployed | None, *, now: float
    ) -> Reading:
        uid = uid_of(pod)
        around = Around(
            template=template_of(
                self._index.ref(key), self._index.sets, deployed, newest=revision.template
            ),
            port=revision.ports.http,
            runtime=revision.runtime,
            explain=self._explain,
            events=self._events_of((*key, uid)),
            node=self._places.nodes.get(text(pod, "spec", "nodeName")),
        )
        known = self._read.get(key)
        if known is not None and known[0] is pod and known[1] == around:
            reading = known[2]
            if reading.due is None or now < reading.due:
                return reading
        before = self._taken.get(key)
        moments = Moments(
            now=now,
            offset=self._offset(),
            before=before[1] if before is not None and before[0] == uid else None,
        )
        reading = read_replica(pod, around, moments, now=now)
        self._read[key] = (pod, around, reading)
        self._taken[key] = (uid, moments.taken)
        return reading

    def _events_of(self, pod: _Pod) -> Events:
        events = self._events.get(pod)
        if not events:
            return _NO_EVENTS
        found = self._newest.get(pod)
        if found is None:
            found = self._newest[pod] = newest(list(events.values()))
        return found

    def _told(self, pod: _Pod) -> None:
        self._newest.pop(pod, None)
        key = self._index.by_uid(pod[2])
        owner = None if key is None else self._index.owner(key)
        if owner is not None:
            self._index.revisions.add(owner)


def _subject(key: Key, event: Object) -> _Pod:
    return (
        key[0],
        text(event, "involvedObject", "name"),
        text(event, "involvedObject", "uid"),
    )

"""The cluster behind an API server, as a `Cluster`: what is watched becomes snapshots, and the few
writes there are go to the API server with the version they were decided on.

Rule 1: there is no snapshot before all that is needed was listed: half of a cluster would look like
        a cluster where half of it was deleted.
Rule 2: changes that come together make one snapshot; a write returns after the one that has it.
Rule 3: while the API server cannot be reached the last snapshot stays, and writes raise. Once it
        can be there is another one, be it of the same: whoever waits to write may try.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence

from fleet.clock import Clock
from fleet.cluster.kubernetes.costs import cost_changes
from fleet.cluster.kubernetes.drainmark import DRAINING, OVER, write_mark
from fleet.cluster.kubernetes.naming import namespace_of, pod_of
from fleet.cluster.kubernetes.notes import Notes, Teller
from fleet.cluster.kubernetes.objects import DELETION_COST, Kind
from fleet.cluster.kubernetes.secondwriters import MANAGER, SIGNED
from fleet.cluster.kubernetes.snapshot import Reader
from fleet.cluster.kubernetes.swapping import Swapping
from fleet.cluster.kubernetes.watching import Watching
from fleet.collector import collecting_later
from fleet.errors import ConflictError, EbbtideError, GoneError
from fleet.kubernetes.api import APPLY, Api
from fleet.kubernetes.objects import Key, Object, metadata, version_of
from fleet.model import Drain, Fleet, Phase
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from fleet.subscribers import Subscribers
from fleet.tasks import endless
from fleet.telemetry import log

__all__ = ["KubernetesCluster"]

_log = log(__name__)
_MANAGER: Mapping[str, str] = {"fieldManager": MANAGER}
# A count is applied: after a merge to 0 the API server names nobody for `spec.replicas` any more,
# and nobody could tell our writes from others'. `force` takes the field over from whoever had it;
# what was decided on an older version is refused all the same.
_APPLIED: Mapping[str, str] = {**_MANAGER, "force": "true"}


class KubernetesCluster:
    """One cluster, or some namespaces of it. `run` it in a task."""

    def __init__(
        self,
        api: Api,
        reader: Reader,
        *,
        clock: Clock,
        luck: random.Random,
        namespaces: Sequence[str] = (),
        teller: Teller,
    ) -> None:
        self._api = api
        self._reader = reader
        self._clock = clock
        self.watching = Watching(api, namespaces=namespaces, clock=clock, luck=luck)
        self._notes = Notes(api, clock, teller=teller, find=self._deployment)
        self._fleet = Fleet()
        self._subscribers = Subscribers[Fleet]()
        self._swapping = Swapping(self._swap)
        self._changed = set(Kind)
        self._anew = False
        """There is to be another snapshot, whatever it says."""
        self._first = asyncio.Event()

    # The port.

    def fleet(self) -> Fleet:
        return self._fleet

    def subscribe(self, listener: Callable[[Fleet], None]) -> Callable[[], None]:
        return self._subscribers.add(listener)

    async def scale(
        self, revision: RevisionName, replicas: int, *, expect: str, reason: Reason
    ) -> str:
        key, known = self._decided_on(revision, expect)
        await self._order(revision, replicas)
        answer = await self._api.patch(
            f"{_path(key)}/scale",
            body=_scale(key, replicas, expect),
            query=_APPLIED,
            content_type=APPLY,
        )
        version = version_of(answer)
        scaled = {
            **known,
            "metadata": {**metadata(known), "resourceVersion": version, "managedFields": [SIGNED]},
            "spec": {**known.get("spec", {}), "replicas": replicas},
        }
        self.watching.fold(Kind.DEPLOYMENT, scaled, base=expect)
        await self._swapping.seen()
        _log(
            "scale_written",
            level=logging.DEBUG,
            revision=revision,
            to=replicas,
            reason=reason.value,
        )
        return version

    async def mark(self, revision: RevisionName, drain: Drain | None, *, expect: str) -> str:
        key, _ = self._decided_on(revision, expect)
        text = OVER
        if drain is not None:
            pods, owner = _pods(drain.replicas), self._reader.owner
            text = write_mark(drain.number, pods, term=drain.term, owner=owner)
        answer = await self._api.patch(
            _path(key),
            body={"metadata": {"resourceVersion": expect, "annotations": {DRAINING: text}}},
            query=_MANAGER,
        )
        self.watching.fold(Kind.DEPLOYMENT, answer)
        await self._swapping.seen()
        await self._rank(revision, drain)
        return version_of(answer)

    async def note(self, revision: RevisionName, reason: str, message: str) -> None:
        self._notes.add(revision, reason, message)

    # Beyond the port.

    async def run(self) -> None:
        """Endless: watch, make snapshots, and write Events."""
        async with asyncio.TaskGroup() as group:
            endless(group, self.watching.run(), name="watching")
            endless(group, self._swapping.run(), name="snapshots")
            endless(group, self._notes.run(), name="events")
            await self._begin()

    async def known(self) -> None:
        """Returns once there is a first snapshot."""
        await self._first.wait()

    @property
    def cut_since(self) -> float | None:
        """Since when the snapshot may be out of date (`Clock.now`); None: it is not."""
        return self.watching.cut_since

    def lacking(self) -> Mapping[str, EbbtideError]:
        """What cannot be watched now, by its name in the API, and why."""
        return {kind.value: error for kind, error in self.watching.lacking().items()}

    # Snapshots.

    async def _begin(self) -> None:
        await self.watching.known()
        self.watching.subscribe(self._note_change)
        self.watching.on_resumed(self._note_resumed)
        self._swapping.changed()

    def _note_change(self, kind: Kind) -> None:
        self._changed.add(kind)
        self._swapping.changed()

    def _note_resumed(self) -> None:
        self._anew = True
        self._swapping.changed()

    def _swap(self) -> float | None:
        with collecting_later():
            return self._swapped()

    def _swapped(self) -> float | None:
        now = self._clock.now()
        for kind in self._changed:
            self._reader.take(kind, self.watching.of(kind), now=now)
        self._changed.clear()
        anew, self._anew = self._anew, False
        found = self._reader.read(now=now, anew=anew)
        if found is not self._fleet:
            self._fleet = found
            self._subscribers.tell(found)
        self._first.set()
        return None if self._reader.due is None else self._reader.due - now

    # Writes.

    def _deployment(self, key: Key) -> Object | None:
        return self.watching.find(Kind.DEPLOYMENT, key)

    def _decided_on(self, revision: RevisionName, expect: str) -> tuple[Key, Object]:
        """The Deployment to write to, if it is still what the decision was about."""
        namespace, _, name = revision.partition("/")
        known = self._deployment((namespace, name))
        if known is None or revision not in self._fleet.revisions:
            msg = f"{revision}: no such Deployment"
            raise GoneError(msg)
        if version_of(known) != expect:
            msg = f"{revision}: decided on version {expect}, but it is {version_of(known)} now"
            raise ConflictError(msg)
        return (namespace, name), known

    async def _order(self, revision: RevisionName, replicas: int) -> None:
        """Before some of a revision's pods go: those must go first that are to go."""
        found = self._fleet.revisions[revision]
        lower = 0 < replicas < found.replicas
        if lower and found.drain is not None and await self._rank(revision, found.drain):
            msg = f"{revision}: who goes first was not written yet"
            raise ConflictError(msg)

    async def _rank(self, revision: RevisionName, drain: Drain | None) -> bool:
        """Give the drained pods, and only them, the lowest cost; whether any had another."""
        namespace = namespace_of(revision)
        living = _pods(
            replica.name
            for replica in self._fleet.of(revision)
            if replica.phase is not Phase.DRAINING
        )
        costs = {pod: self._cost((namespace, pod)) for pod in living}
        drained = _pods(drain.replicas) if drain else frozenset()
        changes = cost_changes(costs, drained)
        await asyncio.gather(*(self._price((namespace, *it)) for it in changes.items()))
        return bool(changes)

    def _cost(self, key: Key) -> str | None:
        pod = self.watching.find(Kind.POD, key)
        annotations = metadata(pod or {}).get("annotations") or {}
        found: str | None = annotations.get(DELETION_COST)
        return found

    async def _price(self, pod: tuple[str, str, str | None]) -> None:
        namespace, name, cost = pod
        body = {"metadata": {"annotations": {DELETION_COST: cost}}}
        try:
            answer = await self._api.patch(
                f"/api/v1/namespaces/{namespace}/pods/{name}", body=body, query=_MANAGER
            )
        except GoneError:
            return
        self.watching.fold(Kind.POD, answer)


def _pods(replicas: Iterable[ReplicaName]) -> frozenset[str]:
    """The pods that replicas are in; one that the cluster refuses to make is in none."""
    return frozenset(pod for replica in replicas if (pod := pod_of(replica)))


def _scale(deployment: Key, replicas: int, version: str) -> Object:
    namespace, name = deployment
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"namespace": namespace, "name": name, "resourceVersion": version},
        "spec": {"replicas": replicas},
    }


def _path(deployment: Key) -> str:
    namespace, name = deployment
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"

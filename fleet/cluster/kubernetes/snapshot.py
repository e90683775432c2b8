"""The objects of a cluster into a `Fleet`: first all of it, then what a change touches. Pure.

`Reader.take` is told the objects of one kind as they are now; objects that have not changed must be
the same `dict` as before, and must not be changed in place. `Reader.read` gives the fleet: the very
same one while nothing in it has changed.

Rule 1: whatever the objects hold, nothing is raised.
Rule 2: the order in which objects come in does not matter.
Rule 3: what changes by the clock alone says when: `Reader.due`.
Rule 4: a Deployment that is being deleted registers nothing any more. The replicas of one that is
        gone stay for as long as its pods do.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar, assert_never

from fleet.cluster.kubernetes.assembly import Crew, finished, placement_problems
from fleet.cluster.kubernetes.crews import Crews
from fleet.cluster.kubernetes.deployments import Deployed, read_deployed
from fleet.cluster.kubernetes.objects import Kind, Objects, trim
from fleet.cluster.kubernetes.othermarks import OtherMarks
from fleet.cluster.kubernetes.places import Places
from fleet.cluster.kubernetes.podindex import PodIndex
from fleet.cluster.kubernetes.pools import gpu_pools, uncounted
from fleet.cluster.kubernetes.secondwriters import SecondWriters, target_of
from fleet.cluster.kubernetes.times import Moments
from fleet.cluster.kubernetes.why import Explain
from fleet.gpubudget import GpuBudget
from fleet.kubernetes.objects import Key, Object, key_of
from fleet.model import Fleet, GpuPool, Problem, Replica, Revision, RuntimeName
from fleet.names import RevisionName
from fleet.registry import settle
from fleet.runtimes.explaining import last_line

__all__ = ["Reader", "read_fleet"]

_SCALERS: Mapping[Kind, str] = {
    Kind.AUTOSCALER: "HorizontalPodAutoscaler",
    Kind.SCALED_OBJECT: "ScaledObject",
}


def _last_line(_: RuntimeName, lines: Iterable[str]) -> str:
    return last_line(tuple(lines))


def read_fleet(
    objects: Objects,
    *,
    now: float,
    offset: float = 0.0,
    budget: GpuBudget | None = None,
    explain: Explain = _last_line,
    owner: str = "",
) -> Fleet:
    """The fleet that `objects`, trimmed or whole, show at `now`; see `Reader`."""
    reader = Reader(offset=lambda: offset, budget=budget, explain=explain, owner=owner)
    for kind in Kind:
        if kind is Kind.NODE and objects.nodes is None:
            reader.take(kind, None, now=now)
            continue
        kept = {key_of(raw): trim(kind, raw) for raw in objects.of(kind)}
        found = {key: raw for key, raw in kept.items() if raw is not None}
        reader.take(kind, found, now=now)
    return reader.read(now=now)


class Reader:
    """Reads one cluster.

    `offset`: how many seconds the wall clock is ahead, now, of the clock that `now` is by: it may
    be set while this runs. `explain`: the cause of a failed start in the lines that a container
    left. `owner`: one's own ebbtide, as drain marks name it; empty: there is no other.
    """

    def __init__(
        self,
        *,
        offset: Callable[[], float],
        budget: GpuBudget | None = None,
        explain: Explain = _last_line,
        owner: str = "",
    ) -> None:
        self.owner = owner
        self._offset = offset
        self._budget = GpuBudget() if budget is None else budget
        self._index = PodIndex()
        self._places = Places(self._index)
        self._crews = Crews(self._index, self._places, offset=offset, explain=explain)
        self._writers = SecondWriters()
        self._marks = OtherMarks(owner)
        self._kept: dict[Kind, dict[Key, Object]] = {kind: {} for kind in Kind}
        self._names: dict[Key, RevisionName] = {}
        self._deployed: dict[RevisionName, Deployed] = {}
        self._accepted: dict[RevisionName, None] = {}
        self._last: dict[RevisionName, Revision] = {}
        self._claims_changed = False
        self._contested: tuple[Problem, ...] = ()
        self._problems: dict[RevisionName, tuple[Problem, ...]] = {}
        self._due: dict[RevisionName, float] = {}
        self._revisions: dict[RevisionName, Revision] = {}
        self._replicas: dict[RevisionName, tuple[Replica, ...]] = {}
        self._fleet = Fleet()

    @property
    def due(self) -> float | None:
        """When the fleet changes though no object does: `read` then, at the latest."""
        dues = [*self._due.values(), self._places.due]
        return min((due for due in dues if due is not None), default=None)

    def take(self, kind: Kind, objects: Mapping[Key, Object] | None, *, now: float) -> None:
        """All trimmed objects of a kind by namespace and name; None: they may not be read."""
        if kind is Kind.NODE:
            self._places.tell(known=objects is not None)
        after, before = dict(objects or {}), self._kept[kind]
        self._kept[kind] = after
        for key in [key for key in before if key not in after]:
            self._drop(kind, key, before[key])
        for key, raw in after.items():
            if before.get(key) is not raw:
                self._put(kind, key, raw, now=now)
        if kind in _SCALERS:
            self._retarget()

    def read(self, *, now: float, anew: bool = False) -> Fleet:
        """The fleet as it is at `now`; `anew`: another one, though it may say the same."""
        changed, self._places.moved = self._places.moved, False
        if changed:
            self._index.revisions.update(self._deployed)
        if self._claims_changed:
            changed |= self._settle()
        names = {*self._index.revisions, *(n for n, due in self._due.items() if due <= now)}
        nodes = {*self._index.nodes, *self._places.late(now)}
        self._index.revisions.clear()
        self._index.nodes.clear()
        for name in sorted(names):
            changed |= self._assemble(name, now=now)
        moments = Moments(now=now, offset=self._offset())
        for node in sorted(nodes):
            changed |= self._places.share(node, self._accepted, moments)
        if changed or anew or self._fleet.number == 0:
            self._publish()
        return self._fleet

    # Objects.

    def _put(self, kind: Kind, key: Key, raw: Object, *, now: float) -> None:
        match kind:
            case Kind.DEPLOYMENT:
                self._deploy(key, raw, now=now)
            case Kind.REPLICA_SET:
                self._index.put_set(key, raw)
            case Kind.POD:
                self._index.put_pod(key, raw)
            case Kind.NODE:
                self._places.put(key, raw)
            case Kind.EVENT:
                self._crews.put_event(key, raw)
            case Kind.AUTOSCALER | Kind.SCALED_OBJECT:
                pass
            case _:
                assert_never(kind)

    def _drop(self, kind: Kind, key: Key, raw: Object) -> None:
        match kind:
            case Kind.DEPLOYMENT:
                self._undeploy(key)
            case Kind.REPLICA_SET:
                self._index.drop_set(key)
            case Kind.POD:
                self._index.drop_pod(key)
                self._crews.drop_pod(key)
            case Kind.NODE:
                self._places.drop(key)
            case Kind.EVENT:
                self._crews.drop_event(key, raw)
            case Kind.AUTOSCALER | Kind.SCALED_OBJECT:
                pass
            case _:
                assert_never(kind)

    def _deploy(self, key: Key, raw: Object, *, now: float) -> None:
        deployed = read_deployed(raw)
        name = self._names[key] = deployed.name
        before = self._deployed.get(name)
        if before is not None and before.uid != deployed.uid:
            # Deleted and made anew between two readings: another one, of the same name.
            self._forget(name)
        self._deployed[name] = deployed
        self._places.classes.swap(None if before is None else before.placement, deployed.placement)
        self._claims_changed |= before is None or before.claims != deployed.claims
        self._writers.see(name, raw, now=now)
        self._marks.see(name, deployed.mark, now=now)
        self._index.revisions.add(name)

    def _undeploy(self, key: Key) -> None:
        name = self._names.pop(key)
        before = self._deployed.pop(name, None)
        self._places.classes.swap(None if before is None else before.placement, None)
        self._claims_changed |= before is not None and before.claims != ()
        self._forget(name)
        self._index.revisions.add(name)

    def _forget(self, name: RevisionName) -> None:
        self._writers.gone(name)
        self._marks.gone(name)
        self._crews.forget(name)

    def _retarget(self) -> None:
        found: dict[Key, tuple[RevisionName, str]] = {}
        for kind, word in _SCALERS.items():
            for key, raw in self._kept[kind].items():
                target = target_of(raw, word)
                if target is not None:
                    found[key[0], f"{word} {key[1]}"] = target
        self._index.revisions.update(self._writers.target(found))

    def _settle(self) -> bool:
        """Give out the names anew; whether others are told something else than before."""
        self._claims_changed = False
        settled = settle(
            [
                found.registration.revision
                for found in self._deployed.values()
                if found.registration.revision is not None and not found.going
            ],
            in_cluster=True,
        )
        before = self._accepted
        self._accepted = dict.fromkeys(revision.name for revision in settled.accepted)
        for name in before.keys() ^ self._accepted.keys():
            self._index.touch(name)
        told, self._contested = self._contested, settled.problems
        return told != self._contested

    # The fleet.

    def _assemble(self, name: RevisionName, *, now: float) -> bool:
        """Read a revision and its replicas anew; whether they are other than before."""
        deployed = self._deployed.get(name)
        revision = self._standing(name, deployed)
        made = Crew() if revision is None else self._crews.of(revision, deployed, now=now)
        revised = None
        problems = () if deployed is None else deployed.registration.problems
        if revision is not None and deployed is not None and name in self._accepted:
            fit = self._places.classes.fit(deployed.placement)
            revised = finished(
                revision,
                deployed,
                fit,
                replicas=made.replicas,
                mark=self._marks.known(name, deployed.mark, now=now),
                second_writer=self._writers.of(name, now=now) or self._marks.of(name, now=now),
            )
            elastic = self._budget.of(revised.gpu_class).elastic
            problems += placement_problems(revised, fit, elastic=elastic)
        dues = [made.due, self._writers.due(name, now=now), self._marks.due(name, now=now)]
        _keep(self._due, name, min((due for due in dues if due is not None), default=None))
        changed = _keep(self._problems, name, problems or None)
        changed |= _keep(self._replicas, name, made.replicas or None)
        _keep(self._last, name, revision if revised is not None or made.replicas else None)
        return _keep(self._revisions, name, revised) or changed

    def _standing(self, name: RevisionName, deployed: Deployed | None) -> Revision | None:
        """The revision whose replicas the pods are: registered, or gone with its pods still there.

        None where they are nobody's: a Deployment that is refused has no replicas.
        """
        if deployed is None:
            return self._last.get(name)
        found = deployed.registration.revision
        if found is not None and (deployed.going or name in self._accepted):
            return found
        return None

    def _publish(self) -> None:
        order = [name for name in self._accepted if name in self._revisions]
        self._fleet = Fleet(
            number=self._fleet.number + 1,
            revisions=MappingProxyType({name: self._revisions[name] for name in order}),
            replicas=MappingProxyType(dict(sorted(self._replicas.items()))),
            gpus=self._pools(),
            nodes=self._places.rows,
            problems=self._all_problems(),
        )

    def _pools(self) -> tuple[GpuPool, ...]:
        asking = [found for found in self._revisions.values() if found.gpus]
        held: dict[str, int] = {}
        if not self._places.classes.known:
            for found in asking:
                replicas = self._replicas.get(found.name, ())
                holds = sum(replica.gpus for replica in replicas)
                held[found.gpu_class] = held.get(found.gpu_class, 0) + holds
        classes = {found.gpu_class for found in asking}
        return gpu_pools(self._places.shares, self._budget, classes=classes, held=held)

    def _all_problems(self) -> tuple[Problem, ...]:
        own = [problem for _, found in sorted(self._problems.items()) for problem in found]
        if not self._places.classes.known:
            own += uncounted(
                self._budget, (found.gpu_class for found in self._revisions.values() if found.gpus)
            )
        return (*own, *self._contested)


_V = TypeVar("_V")


def _keep(kept: dict[RevisionName, _V], name: RevisionName, value: _V | None) -> bool:
    """Put `value` there, or take away what is there; whether that changes anything."""
    before = kept.get(name)
    if value is None:
        kept.pop(name, None)
    elif before is None or before != value:
        kept[name] = value
    else:
        return False
    return before is not value

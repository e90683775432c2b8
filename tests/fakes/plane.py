"""A scripted Kubernetes: one truth, several processes that see it late, and a scheduler in between.

Deployments and pods are watched apart, each with a delay of its own; writes take their time, and
are refused when they were decided on an older version. A process sees its own write at once. The
scheduler takes pods in the order of their creation, and reports those that find no node.
"""

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from random import Random
from types import MappingProxyType

from fleet.errors import ConflictError, GoneError
from fleet.model import Fleet, GpuNode, GpuPool, Phase, Replica, Revision
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from fleet.subscribers import Subscribers

_TOGETHER_S = 0.003
"""Changes that come together make one snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Seconds, each up to twice as long."""

    watch: float = 0.01
    write: float = 0.01
    controller: float = 0.01
    scheduler: float = 0.005
    start: float = 0.5
    """From a node until the pod has an address."""
    stop: float = 1.0
    buy: float | None = None
    """From an unschedulable pod until a cluster autoscaler orders a node for it; None: never."""
    boot: float = 30.0


@dataclass(slots=True)
class Pod:
    name: ReplicaName
    revision: RevisionName
    template: str
    gpus: int
    created: float
    node: str | None = None
    since: float = 0.0
    address: str | None = None
    unschedulable: bool = False
    deleted: bool = False
    version: int = 0

    def replica(self) -> Replica:
        phase = Phase.DRAINING if self.deleted else Phase.LOADING if self.node else Phase.PENDING
        reason = Reason.NO_FREE_GPU if self.unschedulable and phase is Phase.PENDING else None
        return Replica(
            name=self.name,
            phase=phase,
            since=self.since,
            template=self.template,
            address=self.address,
            gpus=self.gpus if self.node else 0,
            node=self.node,
            started=self.since if self.node else None,
            reason=reason,
        )


@dataclass(slots=True)
class Seen:
    """What one process knows."""

    revisions: dict[RevisionName, Revision] = field(default_factory=dict)
    pods: dict[ReplicaName, Pod] = field(default_factory=dict)
    nodes: dict[str, int] = field(default_factory=dict)


class Plane:
    """The truth. `nodes`: GPUs by name of the node."""

    def __init__(self, nodes, *, delays: Delays | None = None, seed=0, budget=None) -> None:
        self.loop = asyncio.get_running_loop()
        self.delays = delays or Delays()
        self.dice = Random(seed)
        self.nodes = dict(nodes)
        self.elastic: int | None = budget
        """The most GPUs that may be asked for; None: no more than there are."""
        self.revisions: dict[RevisionName, Revision] = {}
        self.pods: dict[ReplicaName, Pod] = {}
        self.writes: list[tuple[float, str, RevisionName, int]] = []
        """When it was accepted, who wrote, what."""
        self.conflicts = 0
        self.most_unschedulable = 0
        self.bought: list[str] = []
        self.up = True
        self._names = itertools.count(1)
        self._versions = itertools.count(2)
        self._views: list[View] = []

    def view(self, name: str, **delays: float) -> "View":
        """What the process `name` sees of it, with delays of its own."""
        made = View(self, name, replace(self.delays, **delays))
        self._views.append(made)
        return made

    def later(self, seconds: float, call, *args) -> None:
        self.loop.call_later(self.dice.uniform(seconds, 2 * seconds), call, *args)

    # What users do.

    def put(self, revision: Revision) -> None:
        """Add a Deployment or change it."""
        self.revisions[revision.name] = replace(revision, version=str(next(self._versions)))
        self._changed(revision.name)

    def add_node(self, name: str, gpus: int) -> None:
        self.nodes[name] = gpus
        for view in self._views:
            view.later(view.node_seen, name, gpus)
        self._schedule_soon()

    def lose_node(self, name: str) -> None:
        """It is gone, with all its pods; others take their places."""
        del self.nodes[name]
        for view in self._views:
            view.later(view.node_gone, name)
        for pod in [pod for pod in self.pods.values() if pod.node == name]:
            self._gone(pod.name)

    def roll_out(self, name: RevisionName, template: str) -> None:
        """Change the pod template: one pod more, then one of the old ones less."""
        self.put(replace(self.revisions[name], template=template))

    @property
    def gpus(self) -> int:
        return sum(self.nodes.values())

    @property
    def held(self) -> int:
        return sum(pod.gpus for pod in self.pods.values() if pod.node)

    @property
    def unschedulable(self) -> list[Pod]:
        """The pods that the scheduler has reported so, and has not placed since."""
        return [
            pod
            for pod in self.pods.values()
            if pod.unschedulable and pod.node is None and not pod.deleted
        ]

    # Writes.

    def write(self, who: str, name: RevisionName, expect: str, **changes) -> Revision:
        found = self.revisions.get(name)
        if found is None:
            raise GoneError(name)
        if found.version != expect:
            self.conflicts += 1
            raise ConflictError(name)
        if "replicas" in changes:
            self.writes.append((self.loop.time(), who, name, changes["replicas"]))
        self.revisions[name] = replace(found, version=str(next(self._versions)), **changes)
        self._changed(name)
        return self.revisions[name]

    # Controllers.

    def _changed(self, name: RevisionName) -> None:
        for view in self._views:
            view.later(view.deployment_seen, self.revisions[name])
        self.later(self.delays.controller, self._reconcile, name)

    def _reconcile(self, name: RevisionName) -> None:
        revision = self.revisions[name]
        live = [p for p in self.pods.values() if p.revision == name and not p.deleted]
        fresh = [pod for pod in live if pod.template == revision.template]
        old = [pod for pod in live if pod.template != revision.template]
        # As a Deployment with maxSurge 1 and maxUnavailable 0 is rolled out.
        most = revision.replicas + (1 if old and revision.replicas else 0)
        spare = sum(pod.address is not None for pod in live) > revision.replicas
        if old and (spare or any(pod.address for pod in fresh)):
            self._delete(old[0])
            return
        drained = revision.drain.replicas if revision.drain else frozenset()
        live.sort(key=lambda p: (p.name in drained, p.node is None, p.created), reverse=True)
        for pod in live[: max(0, len(live) - most)]:
            self._delete(pod)
        for _ in range(min(revision.replicas - len(fresh), most - len(live))):
            pod = Pod(
                name=ReplicaName(f"{name}-{next(self._names)}"),
                revision=name,
                template=revision.template,
                gpus=revision.gpus,
                created=self.loop.time(),
                since=self.loop.time(),
            )
            self.pods[pod.name] = pod
            self._tell(pod)
        self._schedule_soon()

    def _delete(self, pod: Pod) -> None:
        pod.deleted, pod.since = True, self.loop.time()
        self._tell(pod)
        self.later(self.delays.stop if pod.node else 0.0, self._gone, pod.name)

    def _gone(self, name: ReplicaName) -> None:
        pod = self.pods.pop(name, None)
        if pod is None:
            # Its node was lost, and it with that.
            return
        for view in self._views:
            view.later(view.pod_gone, name)
        if pod.revision in self.revisions:
            self._reconcile(pod.revision)
        self._schedule_soon()

    def _schedule_soon(self) -> None:
        self.later(self.delays.scheduler, self._schedule)

    def _schedule(self) -> None:
        for pod in sorted(self.pods.values(), key=lambda pod: (pod.created, pod.name)):
            if pod.node is None and not pod.deleted:
                self._place(pod)
        self.most_unschedulable = max(self.most_unschedulable, len(self.unschedulable))

    def _place(self, pod: Pod) -> None:
        allowed = self.revisions[pod.revision].nodes
        free = dict(self.nodes)
        for other in self.pods.values():
            if other.node:
                free[other.node] -= other.gpus
        assert min(free.values(), default=0) >= 0, "two pods on one GPU"
        fits = [
            node for node in free if free[node] >= pod.gpus and (allowed is None or node in allowed)
        ]
        if not fits:
            self._refuse(pod)
            return
        # The scheduler spreads pods.
        pod.node = max(fits, key=lambda node: (free[node], node))
        pod.since = self.loop.time()
        self._tell(pod)
        self.later(self.delays.start, self._opened, pod)

    def _refuse(self, pod: Pod) -> None:
        if pod.unschedulable:
            return
        pod.unschedulable = True
        self._tell(pod)
        if self.delays.buy is not None:
            self.loop.call_later(self.delays.buy, self._buy, pod)

    def _buy(self, pod: Pod) -> None:
        coming = [name for name in self.bought if name not in self.nodes]
        if pod not in self.unschedulable or len(coming) >= len(self.unschedulable):
            return
        name = f"bought-{len(self.bought) + 1}"
        self.bought.append(name)
        self.loop.call_later(self.delays.boot, self.add_node, name, pod.gpus)

    def _opened(self, pod: Pod) -> None:
        if pod.name in self.pods and not pod.deleted:
            number = int(pod.name.rpartition("-")[2])
            pod.address = f"127.1.{number // 256}.{number % 256}"
            self._tell(pod)
            self._reconcile(pod.revision)

    def _tell(self, pod: Pod) -> None:
        pod.version += 1
        for view in self._views:
            view.later(view.pod_seen, replace(pod))


class View:
    """A `Cluster` as one process sees it."""

    def __init__(self, plane: Plane, name: str, delays: Delays) -> None:
        self.plane, self.name, self.delays = plane, name, delays
        self._seen = Seen(revisions=dict(plane.revisions), nodes=dict(plane.nodes))
        self._seen.pods = {name: replace(pod) for name, pod in plane.pods.items()}
        self._next = {"deployments": 0.0, "pods": 0.0}
        self._soon: asyncio.TimerHandle | None = None
        self._subscribers = Subscribers[Fleet]()
        self._numbers = itertools.count(1)
        self._fleet = self._read()

    # The port.

    def fleet(self) -> Fleet:
        return self._fleet

    def subscribe(self, listener):
        return self._subscribers.add(listener)

    async def scale(self, revision, replicas, *, expect, reason) -> str:
        return await self._write(revision, expect, replicas=replicas)

    async def mark(self, revision, drain, *, expect) -> str:
        return await self._write(revision, expect, drain=drain)

    async def note(self, revision, reason, message) -> None:
        return None

    async def _write(self, name, expect, **changes) -> str:
        half = self.delays.write / 2
        await asyncio.sleep(self.plane.dice.uniform(half, 2 * half))
        written = self.plane.write(self.name, name, expect, **changes)
        await asyncio.sleep(self.plane.dice.uniform(half, 2 * half))
        self.deployment_seen(written)
        self._swap()
        return written.version

    # The watches: each in its own order.

    def later(self, call, *args) -> None:
        stream = "deployments" if call == self.deployment_seen else "pods"
        now, watch = self.plane.loop.time(), self.delays.watch
        # Timers of one moment come in any order.
        at = max(self._next[stream] + 1e-6, now + self.plane.dice.uniform(watch, 2 * watch))
        self._next[stream] = at
        self.plane.loop.call_at(at, call, *args)

    def deployment_seen(self, revision: Revision) -> None:
        known = self._seen.revisions.get(revision.name)
        if known is None or int(known.version) < int(revision.version):
            self._seen.revisions[revision.name] = revision
            self._changed()

    def pod_seen(self, pod: Pod) -> None:
        self._seen.pods[pod.name] = pod
        self._changed()

    def pod_gone(self, name: ReplicaName) -> None:
        self._seen.pods.pop(name, None)
        self._changed()

    def node_seen(self, name: str, gpus: int) -> None:
        self._seen.nodes[name] = gpus
        self._changed()

    def node_gone(self, name: str) -> None:
        self._seen.nodes.pop(name, None)
        self._changed()

    def _changed(self) -> None:
        if self._soon is None:
            self._soon = self.plane.loop.call_later(_TOGETHER_S, self._swap)

    def _swap(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
            self._fleet = self._read()
            self._subscribers.tell(self._fleet)

    def _read(self) -> Fleet:
        seen = self._seen
        replicas: dict[RevisionName, list[Replica]] = {name: [] for name in seen.revisions}
        free = dict(seen.nodes)
        for pod in sorted(seen.pods.values(), key=lambda pod: (pod.created, pod.name)):
            replicas.setdefault(pod.revision, []).append(pod.replica())
            if pod.node in free:
                free[pod.node] -= pod.gpus
        total, most = sum(seen.nodes.values()), self.plane.elastic
        return Fleet(
            number=next(self._numbers),
            revisions=MappingProxyType(
                {name: _finished(rev, replicas[name]) for name, rev in seen.revisions.items()}
            ),
            replicas=MappingProxyType({n: tuple(each) for n, each in replicas.items() if each}),
            gpus=(
                GpuPool(
                    name="gpu",
                    total=total,
                    free=sum(free.values()),
                    elastic=0 if most is None else max(0, most - total),
                    grows=most is not None,
                ),
            ),
            nodes=tuple(
                GpuNode(name=name, gpu_class="gpu", total=gpus, free=free[name])
                for name, gpus in seen.nodes.items()
            ),
        )


def _finished(revision: Revision, replicas: list[Replica]) -> Revision:
    live = [replica for replica in replicas if replica.phase is not Phase.DRAINING]
    fresh = all(replica.template == revision.template for replica in live)
    settled, enacted = fresh and len(live) == revision.replicas, len(live) <= revision.replicas
    if settled and enacted:
        return revision
    return replace(revision, settled=settled, enacted=enacted)

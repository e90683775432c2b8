"""How the models and GPUs stand, as the admin API tells it. Values made from an `AdminView`.

The fields are the API's own, so that what is written here is what a caller reads. Seconds are
floats; what is not known is None, never 0.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from fleet.model import Fleet, Phase, Replica, Revision
from fleet.names import ModelName, ReplicaName
from gateway.admin.ports import AdminView, LineView

__all__ = [
    "Gpus",
    "Holder",
    "ModelState",
    "NodeGpus",
    "Replicas",
    "answering",
    "gpus",
    "holders",
    "model_state",
    "model_states",
    "revision_called",
    "standing",
]

_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """How many replicas are wanted, and how many stand where. Pending ones are not counted."""

    desired: int
    ready: int
    starting: int
    """They have their GPU and are not yet Ready."""
    draining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """One registered model now, with its counts since this process began."""

    model: str
    revision: str
    phase: str
    reason: str | None
    message: str
    """What goes with the reason, in the words of the cluster or the server; mostly empty."""
    replicas: Replicas
    waiting: int
    running: int
    requests: int
    """Answers begun, whatever their status."""
    errors: int
    """Those of them with a status of 500 and more."""
    cold_starts: int
    last_cold_start_s: float | None
    idle_s: float | None
    gpus: int
    """GPUs that its replicas hold now."""
    second_writer: str | None
    """Who else scales it, so that ebbtide does not; None: nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGpus:
    """The GPUs of one class on one node."""

    node: str
    total: int
    free: int
    usable: bool
    """Whether new pods may come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """The GPUs of one class."""

    gpu_class: str
    total: int
    free: int
    elastic: int
    """How many more may be asked for."""
    nodes: tuple[NodeGpus, ...]
    """Where they are; empty on one machine, and where nodes may not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A replica and the GPUs it holds."""

    replica: str
    model: str | None
    """None when its Deployment is gone and only the stopping replica is left."""
    revision: str
    phase: str
    gpu_class: str | None
    gpus: int
    gpu_ids: tuple[str, ...]
    node: str | None


def revision_called(fleet: Fleet, model: str) -> Revision | None:
    """The revision that serves the model of this name, an alias included."""
    for revision in fleet.revisions.values():
        if any(served.name == model for served in revision.models):
            return revision
    return None


def model_states(view: AdminView) -> tuple[ModelState, ...]:
    """Every registered model, by name."""
    revisions = view.fleet().revisions.values()
    return tuple(model_state(view, r) for r in sorted(revisions, key=lambda r: r.model))


def model_state(view: AdminView, revision: Revision) -> ModelState:
    """One registered model."""
    fleet, line = view.fleet(), view.line(revision.name)
    replicas = fleet.of(revision.name)
    sample = None if line is None else line.sample(view.now())
    phase = _phase(line, replicas)
    tally = view.tally(revision.name)
    codes = {} if tally is None else tally.codes
    reason, message = _why(phase, line, replicas)
    return ModelState(
        model=revision.model,
        revision=revision.name,
        phase=phase.value,
        reason=reason,
        message=message,
        replicas=_counted(revision, replicas, answering(line, view.now())),
        waiting=0 if sample is None else sample.waiting,
        running=0 if sample is None else sample.running,
        requests=sum(codes.values()),
        errors=sum(count for code, count in codes.items() if code >= _SERVER_ERROR),
        cold_starts=0 if line is None else line.cold_starts,
        last_cold_start_s=None if line is None else line.last_cold_start_s,
        idle_s=None if sample is None else sample.idle_for,
        gpus=sum(replica.gpus for replica in replicas),
        second_writer=revision.second_writer or None,
    )


def gpus(fleet: Fleet) -> tuple[Gpus, ...]:
    """The GPUs by class."""
    nodes: dict[str, list[NodeGpus]] = {}
    for each in fleet.nodes:
        told = NodeGpus(node=each.name, total=each.total, free=each.free, usable=each.usable)
        nodes.setdefault(each.gpu_class, []).append(told)
    return tuple(
        Gpus(
            gpu_class=pool.name,
            total=pool.total,
            free=pool.free,
            elastic=pool.elastic,
            nodes=tuple(nodes.get(pool.name, ())),
        )
        for pool in fleet.gpus
    )


def holders(view: AdminView) -> Iterator[Holder]:
    """Who holds GPUs now, a replica each."""
    fleet = view.fleet()
    for name, replicas in fleet.replicas.items():
        revision = fleet.revisions.get(name)
        ready = answering(view.line(name), view.now())
        for replica in replicas:
            if replica.gpus:
                yield Holder(
                    replica=replica.name,
                    model=_model(revision),
                    revision=name,
                    phase=standing(replica, revision, ready).value,
                    gpu_class=None if revision is None else revision.gpu_class,
                    gpus=replica.gpus,
                    gpu_ids=replica.gpu_ids,
                    node=replica.node,
                )


def answering(line: LineView | None, now: float) -> frozenset[ReplicaName]:
    """The replicas whose model answers."""
    if line is None:
        return frozenset()
    found = line.sample(now).replicas
    return frozenset(replica.name for replica in found if replica.ready_for is not None)


def standing(replica: Replica, revision: Revision | None, ready: frozenset[ReplicaName]) -> Phase:
    """A replica's phase; the snapshot itself never says READY, and knows no drain mark."""
    if replica.phase is not Phase.LOADING:
        return replica.phase
    if revision is not None and revision.drain and replica.name in revision.drain.replicas:
        return Phase.DRAINING
    return Phase.READY if replica.name in ready else Phase.LOADING


def _model(revision: Revision | None) -> ModelName | None:
    return None if revision is None else revision.model


def _counted(
    revision: Revision, replicas: tuple[Replica, ...], ready: frozenset[ReplicaName]
) -> Replicas:
    phases = Counter(standing(replica, revision, ready) for replica in replicas)
    return Replicas(
        desired=revision.replicas,
        ready=phases[Phase.READY],
        starting=phases[Phase.LOADING],
        draining=phases[Phase.DRAINING],
    )


def _phase(line: LineView | None, replicas: tuple[Replica, ...]) -> Phase:
    if line is not None:
        return line.phase()
    return replicas[0].phase if replicas else Phase.ASLEEP


def _why(
    phase: Phase, line: LineView | None, replicas: tuple[Replica, ...]
) -> tuple[str | None, str]:
    for replica in replicas:
        if replica.phase is phase and replica.reason is not None:
            return replica.reason.value, replica.message
    if phase is Phase.FAILED and line is not None and line.last_failure is not None:
        return line.last_failure.reason.value, line.last_failure.message
    return None, ""

"""One Deployment, its pods and what is known around them, into a revision and its replicas. Pure.

Rule 1: pods that have ended for good are no replicas any more, since others take their place; but
        while one is missing, those that have just ended say why (`SHOWN`).
Rule 2: replicas that the cluster refuses to make pods for (a quota, a webhook) are PENDING, and
        after `PATIENT` seconds FAILED with its words: a quota may be full only until the pod of an
        evicted model is gone. The seconds count from when the replica was missing: the cluster's
        word may be as old as a refusal of another one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fleet.cluster.kubernetes.classes import Fit
from fleet.cluster.kubernetes.deployments import SOURCE, Deployed, Refusal
from fleet.cluster.kubernetes.drainmark import Mark
from fleet.cluster.kubernetes.naming import (
    namespace_of,
    pod_of,
    refused_name,
    replica_name,
)
from fleet.cluster.kubernetes.replicas import Reading
from fleet.cluster.kubernetes.times import Moments
from fleet.model import Drain, Phase, Problem, Replica, Revision
from fleet.names import ReplicaName
from fleet.podtemplate import GPU
from fleet.reasons import Reason

__all__ = ["PATIENT", "SHOWN", "Crew", "crew", "finished", "placement_problems"]

SHOWN = 10.0
PATIENT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """The replicas of one revision, and when they read otherwise though nothing was changed."""

    replicas: tuple[Replica, ...] = ()
    """Eldest first."""
    due: float | None = None


def crew(
    live: Iterable[tuple[float, Reading]],
    over: Iterable[Reading],
    deployed: Deployed | None,
    moments: Moments,
    *,
    now: float,
) -> Crew:
    """The replicas among pods: the `live` ones with their age, and those that are `over`.

    `moments` are those of the Deployment; it is None once it is gone.
    """
    readings = [reading for _, reading in sorted(live, key=_by_age)]
    replicas = [reading.replica for reading in readings]
    dues = [reading.due for reading in readings if reading.due is not None]
    if deployed is not None and deployed.registration.revision is not None:
        there = sum(replica.phase is not Phase.DRAINING for replica in replicas)
        missing = deployed.registration.revision.replicas - there
        shown = _just_over(over, missing, now=now)
        replicas += shown
        dues += [replica.since + SHOWN for replica in shown]
        if deployed.refusal is not None:
            refused = _refused(deployed, deployed.refusal, missing, moments, now=now)
            replicas += refused.replicas
            dues += [] if refused.due is None else [refused.due]
    return Crew(replicas=tuple(replicas), due=min(dues, default=None))


def _by_age(pair: tuple[float, Reading]) -> tuple[float, ReplicaName]:
    return pair[0], pair[1].replica.name


def _just_over(over: Iterable[Reading], missing: int, *, now: float) -> Sequence[Replica]:
    just = [
        each.replica
        for each in over
        if each.replica.reason is not None and now - each.replica.since < SHOWN
    ]
    just.sort(key=lambda replica: (replica.since, replica.name))
    return just[-missing:] if missing > 0 else ()


def _refused(
    deployed: Deployed, refusal: Refusal, missing: int, moments: Moments, *, now: float
) -> Crew:
    told = moments.of("refused", refusal.since)
    told = now if told is None else told
    revision = deployed.registration.revision
    replicas: list[Replica] = []
    dues: list[float] = []
    for number in range(missing):
        since = max(told, moments.seen(f"missing {number}"))
        verdict = since + PATIENT
        failed = now >= verdict
        replicas.append(
            Replica(
                name=refused_name(deployed.name, refusal.since, number=number),
                phase=Phase.FAILED if failed else Phase.PENDING,
                since=verdict if failed else since,
                template="" if revision is None else revision.template,
                reason=Reason.FAILED_CREATE,
                message=refusal.message,
            )
        )
        dues += [] if failed else [verdict]
    return Crew(replicas=tuple(replicas), due=min(dues, default=None))


def finished(
    revision: Revision,
    deployed: Deployed,
    fit: Fit,
    *,
    replicas: Sequence[Replica],
    mark: Mark | None,
    second_writer: str,
) -> Revision:
    """The revision with what is known around it. `mark`: as it counts here."""
    live = [each for each in replicas if each.phase is not Phase.DRAINING and pod_of(each.name)]
    return replace(
        revision,
        gpu_class=fit.gpu_class if revision.gpus else revision.gpu_class,
        nodes=fit.nodes if revision.gpus else None,
        placement=deployed.placed,
        drain=None if mark is None else _drain(revision, mark, replicas),
        second_writer=second_writer,
        settled=_is_settled(revision, deployed, live),
        enacted=deployed.observed and max(deployed.counted, len(live)) <= revision.replicas,
    )


def _is_settled(revision: Revision, deployed: Deployed, live: Sequence[Replica]) -> bool:
    # While it is paused new pods are of the old template: nothing is rolled out.
    rolled_out = deployed.paused or deployed.updated == deployed.counted
    return (
        deployed.observed
        and rolled_out
        and deployed.counted == len(live)
        and all(each.template == revision.template for each in live)
    )


def _drain(revision: Revision, mark: Mark, replicas: Iterable[Replica]) -> Drain:
    """A mark names pods: a replica in one of them drains, whichever run of it that is."""
    here = {pod_of(replica.name): replica.name for replica in replicas}
    namespace = namespace_of(revision.name)
    return Drain(
        number=mark.number,
        replicas=frozenset(here.get(pod, replica_name(namespace, pod)) for pod in mark.pods),
        term=mark.term,
        foreign=bool(mark.owner),
    )


def placement_problems(revision: Revision, fit: Fit, *, elastic: bool) -> tuple[Problem, ...]:
    """What is doubtful about where its pods may be placed."""
    if not revision.gpus:
        return ()
    if len(fit.classes) > 1:
        words = (
            f"it may be placed on GPUs of several classes ({', '.join(fit.classes)}) and is "
            f"counted as {fit.classes[0]}; a nodeSelector {GPU}.product says which"
        )
    elif fit.nodes == frozenset() and not elastic:
        words = (
            "no node with such GPUs is one that its node selector, affinity and tolerations take"
        )
    else:
        return ()
    slip = Problem(
        source=SOURCE,
        deployment=revision.name,
        key=GPU,
        value=str(revision.gpus),
        allowed=words,
        warning=True,
    )
    return (slip,)

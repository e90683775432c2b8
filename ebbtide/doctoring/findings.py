"""What the facts about a cluster mean: one finding for each thing to know. Pure.

Rule 1: everything that was looked at has a finding, also where all is well: silence could mean
        that nobody looked.
Rule 2: a finding that is not well says what to do.
Rule 3: an error is what keeps a model from being called, woken or put to sleep; the rest warns.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from ebbtide.doctoring.facts import Access, Facts, Finding, Level, Monitors, Redis, Section, Wake
from ebbtide.doctoring.rollouts import mesh, outlasted, rollout, room
from fleet.cluster.kubernetes.objects import Kind
from fleet.kubernetes.permissions import Component, Permission
from fleet.model import Fleet, GpuNode, Problem, Revision

__all__ = ["exit_code", "find"]

_MONITORS = frozenset(kind.value for kind in Monitors)
_LOST = {
    "namespaces": "whether a mesh takes in all pods of one is not told below",
    Kind.SCALED_OBJECT.value: "what KEDA scales is told below by the HPA that it makes, else not",
}
"""What is read only if it may be, and what is not known without."""
_NEEDED = frozenset({Kind.DEPLOYMENT.value, Kind.REPLICA_SET.value, Kind.POD.value})
"""Without these nothing is known of any model."""
_NO_NODES = (
    "the chart leaves them out with `namespaces`: EBBTIDE_GPU_BUDGET (settings.gpu_budget) says how"
    " many GPUs there are"
)
_LEFT_OUT = {
    Kind.NODE.value: _NO_NODES,
    Kind.SCALED_OBJECT.value: "the chart leaves them out with `rbac.keda: false`: what KEDA"
    " scales is known by the HPA that it makes",
}
"""What an installation for some namespaces may go without."""


def find(facts: Facts) -> tuple[Finding, ...]:
    """All findings, by section, the worst of each section last."""
    found = (
        *_cluster(facts),
        *_home(facts),
        *_permissions(facts),
        *_unasked(facts),
        *_gpus(facts),
        *_monitors(facts),
        *_redis(facts.redis),
        *_deployments(facts),
    )
    order = list(Section), list(Level)
    return tuple(
        sorted(found, key=lambda one: (order[0].index(one.section), order[1].index(one.level)))
    )


def exit_code(found: Sequence[Finding]) -> int:
    """1 when there is an error, else 0."""
    return int(any(one.level is Level.ERROR for one in found))


def _cluster(facts: Facts) -> Iterator[Finding]:
    where = ", ".join(facts.namespaces) or "all namespaces"
    yield Finding(
        section=Section.CLUSTER,
        level=Level.FINE,
        what=f"{facts.server} answers, Kubernetes {facts.version}; looking at {where}",
    )
    for what, why in facts.unread.items():
        if what in _MONITORS:
            continue
        level, advice = _unread(what)
        yield Finding(
            section=Section.CLUSTER,
            level=level,
            what=f"{what} could not be read: {why}",
            advice=advice,
            about=what,
        )


def _unread(what: str) -> tuple[Level, str]:
    """How much it matters that something could not be read, and what is not known without."""
    if what in _LOST:
        return Level.NOTE, _LOST[what]
    untold = "what depends on it is not told below"
    if what in _NEEDED:
        return Level.ERROR, f"{untold}; --namespace NAME looks only where it may be read"
    return Level.WARNING, untold


def _home(facts: Facts) -> Iterator[Finding]:
    if facts.homeless:
        yield Finding(
            section=Section.CLUSTER,
            level=Level.WARNING,
            what=f"there is no namespace {facts.own}: gateways whose own it is never begin, and no"
            " autoscaler leads",
            advice="EBBTIDE_NAMESPACE names another; `helm install --create-namespace` makes it",
            about=facts.own,
        )


def _permissions(facts: Facts) -> Iterator[Finding]:
    """A finding for each account, and one for each thing it lacks."""
    by_subject: dict[str, list[Access]] = defaultdict(list)
    for one in facts.access:
        by_subject[_subject(one)].append(one)
    for who, asked in by_subject.items():
        lacking = [one for one in asked if one.allowed is False]
        unknown = [one for one in asked if one.allowed is None]
        for verbs, one in _grouped(lacking):
            level, advice = _lack(one.permission, facts)
            yield Finding(
                section=Section.PERMISSIONS,
                level=level,
                what=f"{who} may not {verbs} {_place(one)}: {one.permission.use}",
                advice=advice,
                about=_resource(one.permission),
            )
        if unknown:
            yield Finding(
                section=Section.PERMISSIONS,
                level=Level.WARNING,
                what=f"{len(unknown)} permissions of {who} could not be asked for:"
                f" {unknown[0].why}",
                advice="try again as somebody who may create selfsubjectaccessreviews, and when the"
                " API server answers",
            )
        if not lacking and not unknown:
            yield Finding(
                section=Section.PERMISSIONS,
                level=Level.FINE,
                what=f"{who} may do all {len(asked)} things that are asked of the API server",
            )


def _lack(permission: Permission, facts: Facts) -> tuple[Level, str]:
    """How much it matters that a permission is lacking, and what to do."""
    if permission.resource in _LEFT_OUT and facts.namespaces:
        return Level.NOTE, _LEFT_OUT[permission.resource]
    level = Level.ERROR if permission.needed else Level.WARNING
    return level, "the chart's roles have it: `helm upgrade`, or add it to yours"


def _unasked(facts: Facts) -> Iterator[Finding]:
    """Of which accounts it is not known what they may do."""
    asked = {one.permission.component for one in facts.access}
    for component in Component:
        if facts.access and component not in asked:
            yield Finding(
                section=Section.PERMISSIONS,
                level=Level.NOTE,
                what=f"what the {component.value}'s account may do is not asked: whoever asks is"
                " another one of the chart's, and may not ask for it",
                advice="`ebbtide doctor` in a pod of it, or as who may create subjectaccessreviews",
            )
    if any(not one.subject.name for one in facts.access):
        yield Finding(
            section=Section.PERMISSIONS,
            level=Level.NOTE,
            what=f"no service account of ebbtide's is known in {facts.own}, so it is asked what you"
            " may do",
            advice="EBBTIDE_NAMESPACE names the namespace of its release; it takes rights to list"
            " serviceaccounts there, and to create subjectaccessreviews",
        )


def _subject(access: Access) -> str:
    component = access.permission.component.value
    name = access.subject.name
    return f"the {component}'s account {name}" if name else f"you, in place of the {component},"


def _grouped(lacking: Sequence[Access]) -> Iterator[tuple[str, Access]]:
    """The verbs that are lacking for one use of one resource, together."""
    found: dict[tuple[str, str, str], list[Access]] = defaultdict(list)
    for one in lacking:
        key = (_resource(one.permission), one.namespace, one.permission.use)
        found[key].append(one)
    for group in found.values():
        yield " or ".join(one.permission.verb for one in group), group[0]


def _place(access: Access) -> str:
    where = f" in {access.namespace}" if access.namespace else ""
    return f"{_resource(access.permission)}{where}"


def _resource(permission: Permission) -> str:
    group = f".{permission.group}" if permission.group else ""
    return f"{permission.resource}{group}"


def _gpus(facts: Facts) -> Iterator[Finding]:
    fleet = facts.fleet
    unread = Kind.NODE.value in facts.unread
    seen = not (facts.namespaces or unread)
    # There is a pool of whatever is asked for, also where there is no such GPU.
    if seen and not any(one.total or one.elastic or one.grows for one in fleet.gpus):
        yield _no_gpus(fleet)
        return
    by_class: dict[str, list[GpuNode]] = defaultdict(list)
    for node in fleet.nodes:
        by_class[node.gpu_class].append(node)
    for pool in fleet.gpus:
        nodes = by_class.get(pool.name, [])
        told = ", ".join(f"{one.name} {one.free} of {one.total}" for one in nodes)
        more = f", up to {pool.elastic} more can be asked for" if pool.elastic else ""
        yield Finding(
            section=Section.GPUS,
            level=Level.FINE,
            what=f"{pool.name}: {pool.free} of {pool.total} free{more}"
            + (f" ({told})" if told else ""),
            about=pool.name,
        )
    if not fleet.gpus:
        yield Finding(
            section=Section.GPUS,
            level=Level.NOTE,
            what=f"not counted: nodes {'could not be read' if unread else 'are not looked at'}",
            advice=_NO_NODES,
        )


def _no_gpus(fleet: Fleet) -> Finding:
    asking = sorted(name for name, one in fleet.revisions.items() if one.gpus)
    return Finding(
        section=Section.GPUS,
        level=Level.ERROR if asking else Level.NOTE,
        what="no node offers GPUs"
        + (f", and {', '.join(asking[:3])} ask for some" if asking else ""),
        advice="is NVIDIA's device plugin running? It gives nodes the resource nvidia.com/gpu."
        " Where a cluster autoscaler adds such nodes once they are wanted:"
        " EBBTIDE_GPU_BUDGET=elastic:MAX",
    )


def _monitors(facts: Facts) -> Iterator[Finding]:
    for kind in Monitors:
        found = [one.where for one in facts.monitors if one.kind is kind]
        if found:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            yield Finding(
                section=Section.MONITORS,
                level=Level.FINE,
                what=f"{kind.value}: {', '.join(found[:3])}{more}",
            )
        elif kind.value in facts.unread:
            yield Finding(
                section=Section.MONITORS,
                level=Level.NOTE,
                what=f"{kind.value}: not looked for: {facts.unread[kind.value]}",
            )
        else:
            yield Finding(
                section=Section.MONITORS,
                level=Level.NOTE,
                what=f"{kind.value}: none found by its usual labels; ebbtide works without",
            )


def _redis(redis: Redis) -> Iterator[Finding]:
    if not redis.where:
        yield Finding(
            section=Section.REDIS,
            level=Level.NOTE,
            what="not looked at: none is named",
            advice="--redis URL, or EBBTIDE_REDIS_URL as gateways and autoscaler have it",
        )
        return
    if redis.trouble:
        yield Finding(
            section=Section.REDIS,
            level=Level.ERROR,
            what=f"{redis.where} does not answer: {redis.trouble}",
            advice="until it does, gateways do not hear of each other; warm models go on, and"
            " sleeping ones still wake",
        )
        return
    for command, why in redis.denied.items():
        yield Finding(
            section=Section.REDIS,
            level=Level.ERROR,
            what=f"{redis.where} refuses {command}: {why}",
            advice="its ACL must allow it on EBBTIDE_REDIS_PREFIX: docs/redis.md",
            about=command,
        )
    if not redis.denied:
        yield Finding(
            section=Section.REDIS,
            level=Level.FINE,
            what=f"{redis.where} answers, Redis {redis.version}, and allows all that is needed",
        )


def _deployments(facts: Facts) -> Iterator[Finding]:
    fleet = facts.fleet
    for name, revision in sorted(fleet.revisions.items()):
        models = ", ".join(model.name for model in revision.models)
        gpus = f", {revision.gpus} GPU {revision.gpu_class}" if revision.gpus else ""
        yield Finding(
            section=Section.DEPLOYMENTS,
            level=Level.FINE,
            what=f"registered as {models}: {revision.runtime.value}{gpus}",
            about=name,
        )
        yield from _second_writer(revision)
        yield from room(revision, fleet)
        yield from _wake(revision, facts.wakes.get(name))
        yield from outlasted(revision, facts.gateway_grace)
        deployment = facts.deployments.get(name)
        if deployment is not None:
            yield from rollout(revision, deployment, fleet)
            space = facts.spaces.get(name.partition("/")[0], {})
            yield from mesh(revision, deployment, space)
    for problem in fleet.problems:
        yield _problem(problem)
    if Kind.DEPLOYMENT.value in facts.unread:
        yield Finding(
            section=Section.DEPLOYMENTS,
            level=Level.NOTE,
            what="not looked at: deployments could not be read",
            advice="who may list deployments, replicasets and pods is told of them",
        )
    elif not fleet.revisions and not fleet.problems:
        yield Finding(
            section=Section.DEPLOYMENTS,
            level=Level.NOTE,
            what="no Deployment has the annotation ebbtide.dev/model",
        )


def _second_writer(revision: Revision) -> Iterator[Finding]:
    if revision.second_writer:
        yield Finding(
            section=Section.DEPLOYMENTS,
            level=Level.WARNING,
            what=f"somebody else scales it: {revision.second_writer}; ebbtide routes to it and"
            " never scales it",
            advice="take the other one away, or say ebbtide.dev/mode: off",
            about=revision.name,
        )


def _wake(revision: Revision, wake: Wake | None) -> Iterator[Finding]:
    if wake is None or (wake.replicas == 1 and not wake.refused):
        return
    if wake.refused:
        what = f"a wake of it would be refused: {wake.refused}"
    else:
        what = f"a wake of it, to 1 replica, would come out as {wake.replicas}: something between"
        what += " changes what is written to deployments/scale"
    yield Finding(
        section=Section.DEPLOYMENTS,
        level=Level.ERROR,
        what=what,
        advice="which admission policy or webhook it is: kubectl get"
        " mutatingwebhookconfigurations,validatingwebhookconfigurations,"
        "validatingadmissionpolicies; leave deployments/scale of its namespace out of it",
        about=revision.name,
    )


def _problem(problem: Problem) -> Finding:
    what = f"{problem.key}: {problem.value!r}" if problem.value else problem.key
    if not problem.deployment and problem.source:
        what = f"{problem.source}: {what}"
    return Finding(
        # What is about no Deployment is about the GPUs that may be counted on.
        section=Section.DEPLOYMENTS if problem.deployment else Section.GPUS,
        level=Level.WARNING if problem.warning else Level.ERROR,
        what=f"{what}: {problem.allowed}",
        about=problem.deployment,
    )

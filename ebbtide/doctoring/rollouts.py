"""What a Deployment's own settings mean for a model that ebbtide wakes and lets sleep. Pure.

Rule: a field that is not there has the value that Kubernetes gives it.
"""

from collections.abc import Iterator, Mapping
from math import ceil

from ebbtide.doctoring.facts import Finding, Level, Section
from fleet.kubernetes.objects import Object
from fleet.model import Fleet, Revision

__all__ = ["gateway_grace", "mesh", "outlasted", "rollout", "room"]

_GRACE_S = 30
"""What Kubernetes gives where `terminationGracePeriodSeconds` is not set."""
_SURGE = "25%"
_SHUTDOWN_GRACE = "EBBTIDE_SHUTDOWN_GRACE"
_AMBIENT = "istio.io/dataplane-mode"
_ISTIO = ("istio-injection", "istio.io/rev", "sidecar.istio.io/inject", _AMBIENT)
_LINKERD = "linkerd.io/inject"
_ADVICE = {
    "ambient": "it need not know; where its namespace is STRICT, the gateways' namespace must be in"
    " the mesh too: docs/in-front.md",
    "Istio": "label the pod template sidecar.istio.io/inject: false, or annotate it"
    " traffic.sidecar.istio.io/excludeInboundPorts with the model's ports, or let them take plain"
    " text by a PeerAuthentication: docs/in-front.md",
    "Linkerd": "annotate the pod template config.linkerd.io/skip-inbound-ports with the model's"
    " ports, or linkerd.io/inject: disabled",
}
_REFUSALS = ("sidecar.istio.io/inject", _AMBIENT, _LINKERD)
_PORTS = (
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "config.linkerd.io/skip-inbound-ports",
)
_OFF = frozenset({"", "disabled", "false", "none"})


def rollout(revision: Revision, deployment: Object, fleet: Fleet) -> Iterator[Finding]:
    """How its pods end, and how a new edition of them begins."""
    spec = _at(deployment, "spec")
    grace = _number(_at(spec, "template", "spec").get("terminationGracePeriodSeconds"), _GRACE_S)
    longest = revision.policy.request_timeout
    if grace < longest:
        yield _found(
            revision,
            Level.WARNING,
            f"terminationGracePeriodSeconds is {grace:g}, and a request may take {longest:g} s:"
            " one that runs is cut off when its pod is deleted by a rollout or a node drain",
            f"terminationGracePeriodSeconds: {ceil(longest)}, or a shorter"
            " ebbtide.dev/request-timeout",
        )
    surge = _surge(spec, revision)
    pool = fleet.pool(revision.gpu_class)
    # Where nobody knows of any GPU, none is known to be lacking either.
    full = pool.total > 0 and pool.free < revision.gpus and not pool.elastic
    if revision.gpus and surge and full:
        yield _found(
            revision,
            Level.WARNING,
            f"a rollout starts {surge} more, and no GPU of class {revision.gpu_class} is free:"
            " the new pod waits, and so does the rollout",
            "strategy.rollingUpdate: maxSurge 0, maxUnavailable 1",
        )


def gateway_grace(deployment: Object) -> float | None:
    """Seconds that a Deployment of gateways says by its environment; None: none."""
    containers = _at(deployment, "spec", "template", "spec").get("containers")
    for container in containers if isinstance(containers, list) else ():
        variables = container.get("env") if isinstance(container, dict) else None
        for each in variables if isinstance(variables, list) else ():
            if isinstance(each, dict) and each.get("name") == _SHUTDOWN_GRACE:
                return _number(each.get("value"), -1) if each.get("value") else None
    return None


def outlasted(revision: Revision, grace: float | None) -> Iterator[Finding]:
    """Whether a request may take longer than a gateway that stops goes on, `grace` seconds."""
    longest = revision.policy.request_timeout
    if grace is None or not 0 <= grace < longest:
        return
    yield _found(
        revision,
        Level.WARNING,
        f"a gateway that stops goes on for {grace:g} s, and a request may take {longest:g} s: one"
        " that runs is cut off when its gateway is replaced",
        f"gateway.requestTimeoutSeconds: {ceil(longest)} in the chart's values, or a shorter"
        " ebbtide.dev/request-timeout",
    )


def room(revision: Revision, fleet: Fleet) -> Iterator[Finding]:
    """Whether one of its pods fits on any node, were it empty."""
    pool = fleet.pool(revision.gpu_class)
    known = any(one.total for one in fleet.gpus)
    if pool.elastic or pool.grows or not known:
        return
    allowed = [
        node.total
        for node in fleet.nodes
        if node.gpu_class == revision.gpu_class
        and (revision.nodes is None or node.name in revision.nodes)
    ]
    most = max(allowed, default=0) if fleet.nodes else pool.total
    if revision.gpus > most:
        yield _found(
            revision,
            Level.WARNING,
            f"a pod of it asks for {revision.gpus} GPU {revision.gpu_class}, and no node that it"
            f" may be placed on has more than {most}: requests to it are refused",
            "fewer GPUs, other nodes by nodeSelector, affinity and tolerations, or for a cluster"
            " autoscaler that adds nodes EBBTIDE_GPU_BUDGET=elastic:MAX",
        )


def mesh(revision: Revision, deployment: Object, space: Object) -> Iterator[Finding]:
    """Whether a service mesh stands between the gateway and its pods."""
    template = _at(deployment, "spec", "template", "metadata")
    if _left_out({**_words(template, "labels"), **_words(template, "annotations")}):
        return
    for place, words in (
        ("its pods have", template),
        ("its namespace has", _at(space, "metadata")),
    ):
        found = _meshed({**_words(words, "labels"), **_words(words, "annotations")})
        if found is None:
            continue
        name, key, value = found
        ambient = key == _AMBIENT
        yield _found(
            revision,
            Level.NOTE if ambient else Level.WARNING,
            f"{place} {key}={value}: {name} takes in its traffic, and ebbtide calls each pod by its"
            " address",
            _ADVICE["ambient" if ambient else name],
        )
        return


def _left_out(words: Mapping[str, str]) -> bool:
    """Whether pods say so themselves; their namespace's word then does not count."""
    refused = any(words.get(key, "on").lower() in _OFF for key in _REFUSALS)
    return refused or any(words.get(key) for key in _PORTS)


def _meshed(words: Mapping[str, str]) -> tuple[str, str, str] | None:
    for key, value in sorted(words.items()):
        if value.lower() in _OFF:
            continue
        if key in _ISTIO:
            return "Istio", key, value
        if key == _LINKERD:
            return "Linkerd", key, value
    return None


def _surge(spec: Object, revision: Revision) -> int:
    """How many more pods a rollout starts at once."""
    strategy = _at(spec, "strategy")
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return 0
    given = _at(strategy, "rollingUpdate").get("maxSurge", _SURGE)
    text = str(given)
    if not text.endswith("%"):
        return int(_number(given, 1))
    share = _number(text[:-1], 25)
    return ceil(max(1, revision.replicas) * share / 100)


def _found(revision: Revision, level: Level, what: str, advice: str) -> Finding:
    return Finding(
        section=Section.DEPLOYMENTS, level=level, what=what, advice=advice, about=revision.name
    )


def _at(value: object, *path: str) -> Object:
    """The mapping there; an empty one where there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _words(metadata: Object, field: str) -> dict[str, str]:
    found = _at(metadata, field)
    return {str(key): str(value) for key, value in found.items()}


def _number(value: object, default: float) -> float:
    try:
        return float(str(value))
    except ValueError:
        return default

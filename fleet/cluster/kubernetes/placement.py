"""Which nodes a pod template may be placed on, as far as labels and taints say. Pure.

Read are `nodeName`, `nodeSelector`, required node affinity and tolerations. What else the scheduler
weighs (memory, volumes, other pods, topology) is its own to say: a pod that it cannot place is
PENDING with its words.

Rule 1: a taint whose key is the resource that the pod asks for counts as tolerated: clusters that
        set it add the toleration to such pods themselves, and a model taken for unplaceable would
        never be woken.
Rule 2: what an affinity says that cannot be understood matches no node, as in Kubernetes.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fleet.cluster.kubernetes.fields import at, entries, keyed, text, texts
from fleet.cluster.kubernetes.nodes import PRODUCT, Node, Taint

__all__ = ["Placement", "admits", "digest", "named_product", "read_placement"]


@dataclass(frozen=True, slots=True)
class _Toleration:
    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Taint) -> bool:
        if self.effect not in ("", taint.effect):
            return False
        if self.operator == "Exists":
            return self.key in ("", taint.key)
        return self.operator in ("", "Equal") and (self.key, self.value) == (taint.key, taint.value)


@dataclass(frozen=True, slots=True)
class _Expression:
    key: str
    operator: str
    values: tuple[str, ...]


# Labels and fields that all have to match.
_Term: TypeAlias = tuple[tuple[_Expression, ...], tuple[_Expression, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What a pod template says about its node; equal for templates that say the same."""

    resource: str
    """The GPUs that it asks for; empty for none."""
    node_name: str = ""
    selector: tuple[tuple[str, str], ...] = ()
    terms: tuple[_Term, ...] | None = None
    """One of them has to match; None: no required affinity."""
    tolerations: frozenset[_Toleration] = frozenset()


def read_placement(pod_spec: object, resource: str) -> Placement:
    """What the `spec` of a pod template says."""
    required = at(
        pod_spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"
    )
    return Placement(
        resource=resource,
        node_name=text(pod_spec, "nodeName"),
        selector=tuple(
            sorted((key, str(value)) for key, value in keyed(pod_spec, "nodeSelector").items())
        ),
        terms=None if required is None else _terms(required),
        tolerations=frozenset(
            _Toleration(
                text(each, "key"),
                text(each, "operator"),
                text(each, "value"),
                text(each, "effect"),
            )
            for each in entries(pod_spec, "tolerations")
        ),
    )


def digest(placement: Placement) -> str:
    """A short name for a placement: the same for those that are equal."""
    said = (
        placement.resource,
        placement.node_name,
        placement.selector,
        placement.terms,
        sorted(map(repr, placement.tolerations)),
    )
    return hashlib.sha256(repr(said).encode(errors="replace")).hexdigest()[:12]


def _terms(required: object) -> tuple[_Term, ...]:
    return tuple(
        (_expressions(term, "matchExpressions"), _expressions(term, "matchFields"))
        for term in entries(required, "nodeSelectorTerms")
    )


def _expressions(term: object, key: str) -> tuple[_Expression, ...]:
    return tuple(
        _Expression(text(each, "key"), text(each, "operator"), texts(each, "values"))
        for each in entries(term, key)
    )


def admits(node: Node, placement: Placement) -> bool:
    """Whether pods of the template may be placed on the node, were there room."""
    if placement.node_name and placement.node_name != node.name:
        return False
    if any(node.labels.get(key) != value for key, value in placement.selector):
        return False
    terms = placement.terms
    if terms is not None and not any(_matches(node, term) for term in terms):
        return False
    return all(
        taint.key == placement.resource
        or any(toleration.tolerates(taint) for toleration in placement.tolerations)
        for taint in node.taints
    )


def named_product(placement: Placement) -> str:
    """The one product that the template asks for by label; empty where it names none, or several.

    For a class of which there is no node yet.
    """
    named = {value for key, value in placement.selector if key == PRODUCT}
    for labels, _ in placement.terms or ():
        for each in labels:
            if each.key == PRODUCT and each.operator == "In":
                named.update(each.values)
    return named.pop() if len(named) == 1 else ""


def _matches(node: Node, term: _Term) -> bool:
    labels, fields = term
    if not labels and not fields:
        return False
    own: Mapping[str, object] = {"metadata.name": node.name}
    return all(_holds(node.labels, each) for each in labels) and all(
        _holds(own, each) for each in fields
    )


def _holds(labels: Mapping[str, object], expression: _Expression) -> bool:
    holds = _OPERATORS.get(expression.operator)
    value = labels.get(expression.key)
    return holds is not None and holds(value if isinstance(value, str) else None, expression.values)


def _number(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None


def _compared(value: str | None, values: tuple[str, ...], *, greater: bool) -> bool:
    if value is None or len(values) != 1:
        return False
    one, other = _number(value), _number(values[0])
    if one is None or other is None:
        return False
    return one > other if greater else one < other


_OPERATORS: Mapping[str, Callable[[str | None, tuple[str, ...]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
    "Gt": lambda value, values: _compared(value, values, greater=True),
    "Lt": lambda value, values: _compared(value, values, greater=False),
}

"""On which nodes a pod template may be placed, and which class of GPUs that makes."""

import string
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given

from fleet.cluster.kubernetes.classes import Classes
from fleet.cluster.kubernetes.nodes import Node, read_node
from fleet.cluster.kubernetes.placement import admits, digest, named_product, read_placement
from tests.core.anyjson import JSON
from tests.fakes.kubeobjects import node

GPU = "nvidia.com/gpu"


def seen(name: str = "n1", **wanted: Any) -> Node:
    return read_node(node(name, **wanted))


def admitted(pod: dict[str, Any], **wanted: Any) -> bool:
    return admits(seen(**wanted), read_placement(pod, GPU))


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    required = {"nodeSelectorTerms": list(terms)}
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"affinity": {"nodeAffinity": {key: required}}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def test_without_wishes_any_node_will_do() -> None:
    assert admitted({})


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"zone": "a"}, True),
        ({"zone": "b"}, False),
        ({"zone": "a", "disk": "ssd"}, False),
        ({"nvidia.com/gpu.product": "A100"}, True),
    ],
)
def test_a_selector_needs_every_label(selector: dict[str, str], expected: bool) -> None:
    assert admitted({"nodeSelector": selector}, labels={"zone": "a"}) is expected


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ("5", "7"), True),
        ("In", ("7",), False),
        ("In", (), False),
        ("NotIn", ("7",), True),
        ("NotIn", ("5",), False),
        ("Exists", (), True),
        ("DoesNotExist", (), False),
        ("Gt", ("4",), True),
        ("Gt", ("5",), False),
        ("Lt", ("6",), True),
        ("Lt", ("5",), False),
        ("Gt", ("-6",), True),
        ("Gt", ("x",), False),
        ("Gt", ("1", "2"), False),
        ("Like", ("5",), False),
    ],
)
def test_an_expression(operator: str, values: tuple[str, ...], expected: bool) -> None:
    pod = affinity(expression("size", operator, *values))
    assert admitted(pod, labels={"size": "5"}) is expected


@pytest.mark.parametrize(
    ("operator", "expected"),
    [("In", False), ("NotIn", True), ("Exists", False), ("DoesNotExist", True), ("Gt", False)],
)
def test_an_expression_about_a_label_that_is_not_there(operator: str, expected: bool) -> None:
    assert admitted(affinity(expression("size", operator, "5"))) is expected


def test_one_term_is_enough_and_all_of_it_is_needed() -> None:
    yes, no = expression("zone", "In", "a"), expression("zone", "In", "b")
    both = {"matchExpressions": yes["matchExpressions"] + no["matchExpressions"]}
    labels = {"zone": "a"}
    assert admitted(affinity(no, yes), labels=labels)
    assert not admitted(affinity(no, both), labels=labels)
    assert not admitted(affinity({}), labels=labels)
    assert not admitted(affinity(), labels=labels)


def test_a_field_is_the_nodes_name() -> None:
    fields = {"matchFields": expression("metadata.name", "In", "n1")["matchExpressions"]}
    assert admitted(affinity(fields))
    assert not admits(seen("n2"), read_placement(affinity(fields), GPU))
    assert not admits(seen("n2"), read_placement({"nodeName": "n1"}, GPU))


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        (None, False),
        ({"operator": "Exists"}, True),
        ({"key": "team", "operator": "Exists"}, True),
        ({"key": "team", "operator": "Equal", "value": "a"}, True),
        ({"key": "team", "value": "a"}, True),
        ({"key": "team", "value": "b"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "team", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "team", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_a_taint_keeps_out_who_does_not_tolerate_it(toleration: Any, expected: bool) -> None:
    taints = {"taints": [{"key": "team", "value": "a", "effect": "NoSchedule"}]}
    pod = {"tolerations": [] if toleration is None else [toleration]}
    assert admitted(pod, spec=taints) is expected


def test_a_taint_that_prefers_keeps_nobody_out() -> None:
    assert admitted({}, spec={"taints": [{"key": "team", "effect": "PreferNoSchedule"}]})


def test_the_taint_of_the_resource_itself_is_tolerated() -> None:
    taints = {"taints": [{"key": GPU, "value": "present", "effect": "NoSchedule"}]}
    assert admitted({}, spec=taints)
    assert not admits(seen(spec=taints), read_placement({}, "nvidia.com/mig-1g.10gb"))


def test_what_the_cluster_taints_by_itself_is_no_matter_of_placement() -> None:
    taints = [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]
    assert admitted({}, spec={"taints": taints})
    assert not seen(spec={"taints": taints}).usable


@given(JSON, JSON)
def test_nothing_raises(pod: Any, other: Any) -> None:
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    for spec in (
        pod,
        {"nodeSelector": pod, "tolerations": [other]},
        {"affinity": {"nodeAffinity": {key: pod}}},
        {"affinity": {"nodeAffinity": {key: {"nodeSelectorTerms": [pod, other]}}}},
    ):
        placement = read_placement(spec, GPU)
        assert hash(placement) == hash(read_placement(spec, GPU))
        assert admits(seen(), placement) in (True, False)
        named_product(placement)


def classes(*nodes: Node) -> Classes:
    found = Classes()
    found.known = True
    for each in nodes:
        found.change(None, each)
    return found


def test_the_class_is_that_of_the_nodes_which_take_it() -> None:
    found = classes(seen("a", product="A100"), seen("b", product="T4", gpus="8"))
    anywhere = found.fit(read_placement({}, GPU))
    assert (anywhere.gpu_class, anywhere.nodes, anywhere.classes) == ("T4", None, ("T4", "A100"))
    chosen = found.fit(read_placement({"nodeSelector": {"nvidia.com/gpu.product": "A100"}}, GPU))
    assert (chosen.gpu_class, chosen.nodes) == ("A100", frozenset(["a"]))


def test_a_class_that_is_still_to_come_is_the_one_named() -> None:
    label = "nvidia.com/gpu.product"
    found = classes(seen("a", product="A100"))
    fit = found.fit(read_placement({"nodeSelector": {label: "H100"}}, GPU))
    assert (fit.gpu_class, fit.nodes) == ("H100", frozenset())
    named = read_placement(affinity(expression(label, "In", "H100")), GPU)
    assert found.fit(named).gpu_class == Classes().fit(named).gpu_class == "H100"
    both = read_placement(affinity(expression(label, "In", "H100", "H200")), GPU)
    assert found.fit(both).gpu_class == "gpu"


def test_without_a_label_the_class_is_gpu() -> None:
    assert classes(seen("a", product=None)).fit(read_placement({}, GPU)).gpu_class == "gpu"


def test_fits_keep_up_with_nodes() -> None:
    found, placement = classes(seen("a", product="A100")), read_placement({}, GPU)
    assert found.fit(placement).gpu_class == "A100"
    bigger = seen("b", product="T4", gpus="8")
    assert found.change(None, bigger)
    assert found.fit(placement).gpu_class == "T4"
    cordoned = seen("b", product="T4", gpus="8", spec={"unschedulable": True})
    assert not found.change(bigger, cordoned)
    assert found.change(cordoned, None)
    assert found.fit(placement) == classes(seen("a", product="A100")).fit(placement)


def test_a_placement_has_one_name_in_whatever_order_it_is_written() -> None:
    tolerated = [{"key": key, "operator": "Exists"} for key in string.ascii_letters]
    pods = [
        {"nodeSelector": {"zone": "a", "disk": "ssd"}, "tolerations": tolerated},
        {"tolerations": tolerated[::-1], "nodeSelector": {"disk": "ssd", "zone": "a"}},
    ]
    one, other = (digest(read_placement(pod, GPU)) for pod in pods)
    assert one == other
    others = [
        read_placement({**pods[0], **changed}, GPU)
        for changed in (
            {"nodeSelector": {"zone": "b", "disk": "ssd"}},
            {"tolerations": tolerated[1:]},
            {"nodeName": "n1"},
            affinity(expression("zone", "In", "a")),
        )
    ]
    others += [read_placement(pods[0], "nvidia.com/mig-1g.5gb"), read_placement({}, GPU)]
    assert len({one, *map(digest, others)}) == 1 + len(others)


def test_templates_that_are_no_more_are_forgotten() -> None:
    found = classes(seen())
    told = [read_placement({"nodeSelector": {"zone": str(n)}}, GPU) for n in range(50)]
    found.swap(None, told[0])
    for before, after in pairwise(told):
        found.swap(before, after)
        found.fit(after)
    assert list(found._found) == [told[-1]]
    found.swap(None, told[-1])
    found.swap(told[-1], None)
    assert list(found._found) == [told[-1]], "another one is placed so"
    found.swap(told[-1], None)
    assert not found._found

"""What is kept of an object: all that is read of it, and little else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.cluster.kubernetes.objects import EVENTS, Kind, Objects, template_digest, trim
from fleet.cluster.kubernetes.resources import query
from fleet.kubernetes.objects import Object, key_of, uid_of, version_of
from tests.core.anyjson import JSON, mangled
from tests.fakes.kubeobjects import (
    deployment,
    event,
    lone_pod,
    metadata,
    node,
    pod,
    replica_set,
    stamp,
)

DEMO = deployment(replicas=2)
SET = replica_set(DEMO)
POD = pod(SET, last={"terminated": {"exitCode": 1, "finishedAt": stamp(5)}}, restarts=1)
SAMPLES = {
    Kind.DEPLOYMENT: DEMO,
    Kind.REPLICA_SET: SET,
    Kind.POD: POD,
    Kind.NODE: node(spec={"taints": [{"key": "a", "effect": "NoSchedule"}]}),
    Kind.EVENT: event(POD, "FailedMount", "no volume"),
    Kind.AUTOSCALER: {
        "metadata": metadata("scaler"),
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "demo"}, "maxReplicas": 3},
    },
}
SAMPLES[Kind.SCALED_OBJECT] = SAMPLES[Kind.AUTOSCALER]


@pytest.mark.parametrize("kind", Kind)
def test_it_stays_what_it_is_and_is_trimmed_no_further(kind: Kind) -> None:
    sample = SAMPLES[kind]
    kept = trim(kind, sample)
    assert kept is not None
    assert (key_of(kept), uid_of(kept), version_of(kept)) == (
        key_of(sample),
        uid_of(sample),
        version_of(sample),
    )
    assert trim(kind, kept) == kept
    assert len(str(kept)) < len(str(sample))


@pytest.mark.parametrize("kind", Kind)
@given(data=st.data())
def test_nothing_raises(kind: Kind, data: st.DataObject) -> None:
    for raw in (data.draw(mangled(SAMPLES[kind])), {"metadata": data.draw(JSON)}, {}):
        kept = trim(kind, raw)
        if kept is not None:
            assert trim(kind, kept) == kept


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (Kind.DEPLOYMENT, deployment(annotations={})),
        (Kind.POD, lone_pod("job", None)),
        (Kind.EVENT, event(POD, "Created", "container created")),
        (Kind.EVENT, {**SAMPLES[Kind.EVENT], "involvedObject": {"kind": "Node"}}),
        (Kind.REPLICA_SET, {"metadata": metadata("alone")}),
    ],
)
def test_what_nothing_is_read_of_is_not_kept(kind: Kind, raw: Object) -> None:
    assert trim(kind, raw) is None


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (Kind.POD, lone_pod("job")),
        (Kind.POD, lone_pod("job", "1") | {"status": {}}),
        (Kind.NODE, node(gpus="0")),
    ],
)
def test_what_holds_gpus_is_kept_whoevers_it_is(kind: Kind, raw: Object) -> None:
    assert trim(kind, raw) is not None


def test_what_is_read_is_not_left_out_by_the_selector() -> None:
    selector = query(Kind.EVENT)["fieldSelector"].split(",")
    assert EVENTS
    assert not {f"reason!={reason}" for reason in EVENTS} & set(selector)


def test_a_slip_on_the_pod_template_is_kept_to_be_told() -> None:
    slip = deployment(annotations={})
    slip["spec"]["template"]["metadata"]["annotations"] = {"ebbtide.dev/model": "m"}
    assert trim(Kind.DEPLOYMENT, slip) is not None


def test_of_field_managers_only_those_of_replicas_are_kept() -> None:
    made = deployment()
    entry = {"manager": "argo", "time": stamp(1), "operation": "Apply"}
    whole = {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {}}}}
    made["metadata"]["managedFields"].append({**entry, "fieldsV1": whole})
    kept = trim(Kind.DEPLOYMENT, made)
    assert kept is not None
    assert kept["metadata"]["managedFields"] == [
        {**entry, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    ]


def test_a_template_is_the_same_with_the_clusters_own_label() -> None:
    own, of_set = DEMO["spec"]["template"], SET["spec"]["template"]
    assert own != of_set
    assert template_digest(own) == template_digest(of_set) != template_digest({})
    assert template_digest({"metadata": {"labels": {"pod-template-hash": "x"}}}) == (
        template_digest({"metadata": {"labels": {}}})
    )


def test_kinds_of_objects_are_all_there() -> None:
    objects = Objects(nodes=None)
    assert all(objects.of(kind) == () for kind in Kind)

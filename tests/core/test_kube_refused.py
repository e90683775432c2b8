"""Replicas that the cluster refuses to make pods for, and for how long that is believed."""

import pytest

from fleet.cluster.kubernetes.assembly import PATIENT
from fleet.cluster.kubernetes.objects import Kind
from fleet.model import Fleet, Phase
from fleet.reasons import Reason
from tests.core.test_kube_reader import Cluster
from tests.core.test_kube_snapshot import DEMO, NOW, only, read
from tests.fakes.kubeobjects import deployment, pod, replica_set, stamp


def refusing(at: float, replicas: int = 2):
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": 'admission webhook "x" denied the request',
        "lastTransitionTime": stamp(at),
    }
    status = {"replicas": 1, "updatedReplicas": 1, "conditions": [condition]}
    return deployment(replicas=replicas, status=status)


@pytest.mark.parametrize(("at", "phase"), [(590, Phase.PENDING), (500, Phase.FAILED)])
def test_replicas_that_the_cluster_refuses_have_a_place(at: float, phase: Phase) -> None:
    demo = refusing(at)
    made, refused = read([demo], [pod(replica_set(demo))]).of(DEMO)
    assert made.phase is Phase.LOADING
    assert (refused.phase, refused.reason) == (phase, Reason.FAILED_CREATE)
    assert refused.message == 'admission webhook "x" denied the request'
    assert (refused.gpus, refused.address) == (0, None)
    assert refused.name == f"default/demo@{stamp(at)}-0"


def test_a_refusal_that_is_over_has_none() -> None:
    demo = refusing(500, replicas=1)
    assert only(read([demo], [pod(replica_set(demo))])).phase is Phase.LOADING
    demo = refusing(500)
    demo["status"]["conditions"][0]["status"] = "False"
    assert only(read([demo], [pod(replica_set(demo))])).phase is Phase.LOADING


def test_what_a_paused_one_said_before_it_was_paused_is_not_believed() -> None:
    demo = refusing(500)
    demo["spec"]["paused"] = True
    assert only(read([demo], [pod(replica_set(demo))])).phase is Phase.LOADING


@pytest.mark.parametrize(("at", "phase"), [(590, Phase.PENDING), (500, Phase.FAILED)])
def test_of_a_paused_one_its_replica_set_says_what_is_refused(at: float, phase: Phase) -> None:
    demo = deployment()
    demo["spec"]["paused"] = True
    own = replica_set(demo)
    own["status"] = refusing(at)["status"]
    replica = only(read([demo], replica_sets=[own]))
    assert (replica.phase, replica.reason, replica.made) == (phase, Reason.FAILED_CREATE, False)
    assert replica.message == 'admission webhook "x" denied the request'


def test_what_is_refused_comes_and_goes_with_the_set_of_a_paused_one() -> None:
    cluster, demo = Cluster(), deployment()
    demo["spec"]["paused"] = True
    own, made = replica_set(demo), replica_set(demo)
    own["status"] = {"conditions": [{"type": "ReplicaFailure", "status": "True"}]}
    cluster.put(Kind.DEPLOYMENT, demo)
    cluster.read()
    for _ in range(2):
        cluster.put(Kind.REPLICA_SET, own)
        assert only(cluster.read()).reason is Reason.FAILED_CREATE
        cluster.put(Kind.REPLICA_SET, made)
        assert cluster.read().of(DEMO) == ()
    cluster.put(Kind.REPLICA_SET, own)
    assert only(cluster.read()).reason is Reason.FAILED_CREATE
    cluster.drop(Kind.REPLICA_SET, own)
    assert cluster.read().of(DEMO) == ()
    assert not cluster.reader._index._refused


def test_a_refusal_of_long_ago_is_no_verdict_on_what_is_missing_since_just_now() -> None:
    """A quota for two of three; one of the two goes, and its place is taken in a moment."""
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota",
        "lastTransitionTime": stamp(300),
    }
    demo = deployment(replicas=3, status={"conditions": [condition]})
    own = replica_set(demo)
    pods = [pod(own, "x1"), pod(own, "x2")]
    cluster = Cluster()
    cluster.put(Kind.DEPLOYMENT, demo)
    for each in pods:
        cluster.put(Kind.POD, each)
    # Somebody who begins to look takes the cluster's word for it.
    assert refused(cluster.read()) == [Phase.FAILED]
    for now in (NOW + 100, NOW + 200):
        cluster.drop(Kind.POD, pods[0])
        assert refused(cluster.read(now=now)) == [Phase.FAILED, Phase.PENDING]
        assert cluster.reader.due == now + PATIENT
        assert refused(cluster.read(now=now + PATIENT - 1)) == [Phase.FAILED, Phase.PENDING]
        cluster.put(Kind.POD, pods[0])
        assert refused(cluster.read(now=now + PATIENT - 1)) == [Phase.FAILED]
    cluster.drop(Kind.POD, pods[0])
    cluster.read(now=NOW + 300)
    assert refused(cluster.read(now=NOW + 300 + PATIENT)) == [Phase.FAILED, Phase.FAILED]
    cluster.drop(Kind.DEPLOYMENT, demo)
    cluster.drop(Kind.POD, pods[1])
    cluster.read(now=NOW + 400)
    assert not cluster.reader._crews._refused


def refused(fleet: Fleet) -> list[Phase]:
    return [each.phase for each in fleet.of(DEMO) if not each.made]

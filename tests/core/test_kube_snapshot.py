"""The objects of a cluster into a fleet: what is registered, and what its replicas are."""

from typing import Any

import pytest

from fleet.cluster.kubernetes.objects import Objects
from fleet.cluster.kubernetes.snapshot import read_fleet
from fleet.kubernetes.objects import Object
from fleet.model import Fleet, Phase, Replica
from fleet.names import RevisionName
from tests.fakes.kubeobjects import (
    WALL,
    container,
    deployment,
    event,
    node,
    pod,
    replica_set,
    stamp,
)

NOW = 1000.0
OFFSET = WALL + 600 - NOW
"""The objects' first timestamps are ten minutes ago."""
DEMO = RevisionName("default/demo")


def read(
    deployments: list[Object], pods: list[Object] | None = None, *, now: float = NOW, **more: Any
) -> Fleet:
    """The fleet, on one node of 4 GPUs unless another is given, each Deployment with its set."""
    more.setdefault("nodes", [node()])
    more.setdefault("replica_sets", [replica_set(each) for each in deployments])
    objects = Objects(deployments=deployments, pods=pods or [], **more)
    return read_fleet(objects, now=now, offset=OFFSET)


def only(fleet: Fleet, name: RevisionName = DEMO) -> Replica:
    (replica,) = fleet.of(name)
    return replica


def test_an_annotated_deployment_is_a_revision_and_its_pod_a_replica() -> None:
    demo = deployment()
    fleet = read([demo], [pod(replica_set(demo), ready=True)])
    revision = fleet.revisions[DEMO]
    assert revision.version == demo["metadata"]["resourceVersion"]
    assert (revision.created, revision.uid) == (WALL, demo["metadata"]["uid"])
    assert (revision.gpus, revision.gpu_class, revision.nodes) == (1, "A100", None)
    assert (revision.settled, revision.enacted) == (True, True)
    replica = only(fleet)
    assert (replica.name, replica.phase) == ("default/demo-7c9d-x1", Phase.LOADING)
    assert (replica.address, replica.node, replica.gpus) == ("10.0.0.1", "n1", 1)
    assert replica.template == revision.template
    assert replica.available
    # Created after 10 s, placed after 11, running after 12; timestamps are cut to seconds.
    assert (replica.started, replica.since) == (NOW - 588, NOW - 587)
    assert fleet.problems == ()


def test_without_replicas_a_deployment_has_one() -> None:
    assert read([deployment(replicas=None)]).revisions[DEMO].replicas == 1


def test_what_is_for_one_machine_means_nothing_in_a_cluster() -> None:
    plain = {"model": "demo"}
    local = {**plain, "local.command": "python x.py", "local.volume.models": "./m"}
    one, other = (read([deployment(annotations=own)]) for own in (plain, local))
    assert one.revisions[DEMO].template == other.revisions[DEMO].template
    assert other.problems == ()


def test_one_that_is_being_deleted_is_gone_and_its_pods_drain() -> None:
    demo = deployment(deletionTimestamp=stamp(60))
    going = pod(replica_set(demo), deletionTimestamp=stamp(90), deletionGracePeriodSeconds=30)
    fleet = read([demo], [going])
    assert DEMO not in fleet.revisions
    assert only(fleet).phase is Phase.DRAINING


def test_a_part_of_a_gpu_is_a_class_of_its_own() -> None:
    part = "nvidia.com/mig-1g.10gb"
    demo = deployment(pod={"containers": [container("1", resource=part)]})
    fleet = read([demo], nodes=[node(gpus="7", resource=part)])
    assert fleet.revisions[DEMO].gpu_class == "mig-1g.10gb"
    assert (fleet.pool("mig-1g.10gb").total, fleet.pool("mig-1g.10gb").free) == (7, 7)


def test_of_two_that_claim_a_name_the_elder_keeps_it_and_then_the_first_by_uid() -> None:
    def claims(name: str, *, at: float, uid: str) -> Object:
        made = deployment(name, annotations={"model": "m"}, at=at)
        made["metadata"]["uid"] = uid
        return made

    younger, elder = claims("a", at=5, uid="a"), claims("z", at=4, uid="z")
    fleet = read([younger, elder])
    assert list(fleet.revisions) == ["default/z"]
    (problem,) = fleet.problems
    assert problem.deployment == "default/a"
    one, other = claims("a", at=5, uid="2"), claims("z", at=5, uid="1")
    for both in ([one, other], [other, one]):
        assert list(read(both).revisions) == ["default/z"]


def test_nobody_takes_the_calls_of_an_elder_by_a_name_beneath_its_own() -> None:
    elder = deployment("ocr", at=1)
    # Of `POST /v2/models/ocr/infer` it would be the longest name that ends at a segment's end.
    claims = {"model": "ocr/infer", "runtime": "plain", "allow": "all", "port": "8000"}
    thief = deployment("thief", annotations=claims, at=2, namespace="other")
    fleet = read([elder, thief])
    assert list(fleet.revisions) == ["default/ocr"]
    (problem,) = fleet.problems
    assert problem.deployment == "other/thief"
    assert "keeps 'ocr' with all paths beneath it" in problem.allowed


def test_a_name_goes_over_when_its_owner_is_deleted() -> None:
    elder = deployment("z", annotations={"model": "m"}, deletionTimestamp=stamp(60))
    younger = deployment("a", annotations={"model": "m"}, at=5)
    assert list(read([elder, younger]).revisions) == ["default/a"]


def test_what_is_wrong_refuses_it_and_its_pods_hold_gpus_of_nobody() -> None:
    demo = deployment(annotations={"model": "demo", "slots": "many"})
    fleet = read([demo], [pod(replica_set(demo))])
    assert DEMO not in fleet.revisions
    assert fleet.of(DEMO) == ()
    assert [problem.key for problem in fleet.problems] == ["ebbtide.dev/slots"]
    assert fleet.pool("A100").total == 3


def test_a_deployment_without_our_annotations_is_not_looked_at() -> None:
    other = deployment(annotations={})
    fleet = read([other], [pod(replica_set(other))])
    assert (dict(fleet.revisions), fleet.problems) == ({}, ())


@pytest.mark.parametrize(
    ("namespace", "named", "believed"),
    [("default", None, True), ("other", None, False), ("default", "another", False)],
)
def test_an_event_is_believed_about_a_pod_of_its_own_namespace_and_name(
    namespace: str, named: str | None, believed: bool
) -> None:
    demo = deployment()
    made = pod(replica_set(demo), state={"waiting": {"reason": "ContainerCreating"}})
    told = event(made, "FailedMount", "forged words", at=30)
    told["metadata"]["namespace"] = namespace
    told["involvedObject"]["name"] = named or made["metadata"]["name"]
    replica = only(read([demo], [made], events=[told]))
    assert ("forged words" in str(replica)) is believed

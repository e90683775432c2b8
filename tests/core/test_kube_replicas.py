"""One pod into a replica, and a revision's pods into its crew: what no recording shows."""

from typing import Any

import pytest

from fleet.cluster.kubernetes.naming import (
    namespace_of,
    pod_of,
    refused_name,
    replica_name,
    revision_name,
)
from fleet.model import Phase
from fleet.reasons import Reason
from tests.core.test_kube_snapshot import DEMO, NOW, only, read
from tests.fakes.kubeobjects import (
    container,
    deployment,
    event,
    node,
    pod,
    replica_set,
    stamp,
    unscheduled,
)

OUT = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int = 1, *, reason: str = "Error", message: str = "", at: float = 20) -> dict:
    found = {"exitCode": code, "reason": reason, "message": message, "finishedAt": stamp(at)}
    return {"terminated": found}


def one(state: dict[str, Any], *events: tuple[str, str, float], now: float = NOW, **more: Any):
    """The replica of a Deployment whose one pod is in that state."""
    demo = deployment()
    made = pod(replica_set(demo), state=state, **more)
    told = [event(made, reason, message, at=at) for reason, message, at in events]
    return only(read([demo], [made], events=told, now=now))


def test_names_of_replicas_name_their_pods() -> None:
    name = replica_name("ns", "demo-7c9d-x1", run=3)
    assert (name, pod_of(name), namespace_of(name)) == ("ns/demo-7c9d-x1#3", "demo-7c9d-x1", "ns")
    assert pod_of(replica_name("ns", "a")) == "a"
    assert pod_of(refused_name(revision_name("ns", "demo"), stamp(1), number=0)) == ""


def test_the_server_is_the_container_with_the_port() -> None:
    mesh = {"name": "mesh", "ports": [{"containerPort": 15090, "name": "metrics"}]}
    demo = deployment(pod={"containers": [mesh, container()]})
    made = pod(replica_set(demo), restarts=1, last=ended())
    mesh = {"name": "mesh", "restartCount": 7, "state": waiting("CrashLoopBackOff")}
    made["status"]["containerStatuses"].insert(0, mesh)
    replica = only(read([demo], [made]))
    assert (replica.name, replica.phase) == ("default/demo-7c9d-x1#1", Phase.LOADING)
    assert replica.address == "10.0.0.1"


def test_without_the_port_it_is_the_one_with_gpus() -> None:
    server = {**container(), "ports": []}
    demo = deployment(pod={"containers": [{"name": "mesh"}, server]})
    made = pod(replica_set(demo), state=ended(4, message="no weights"))
    assert only(read([demo], [made])).message == "exit code 4: no weights"


def test_a_failed_container_keeps_its_gpus() -> None:
    replica = one(waiting("CrashLoopBackOff"), restarts=1, last=ended())
    assert (replica.phase, replica.reason) == (Phase.FAILED, Reason.CRASH_LOOP_BACK_OFF)
    assert (replica.gpus, replica.node, replica.address) == (1, "n1", None)


def test_a_container_that_was_started_anew_is_another_replica() -> None:
    replica = one({"running": {"startedAt": stamp(300)}}, restarts=1, last=ended(at=290))
    assert replica.name == "default/demo-7c9d-x1#1"
    # Its own time to start begins with the end of the run before.
    assert replica.started == NOW - 600 + 291


def test_an_address_is_used_as_soon_as_there_is_one() -> None:
    creating = waiting("ContainerCreating")
    assert one(creating, ip=None).address is None
    assert one({"running": {"startedAt": stamp(12)}}, ip=None).address is None
    assert one(creating).address == "10.0.0.1"
    assert one(creating, ("Pulling", "P", 20), ("Pulled", "done", 30)).address == "10.0.0.1"


def test_no_address_while_something_is_in_the_servers_way() -> None:
    assert one(waiting("ContainerCreating"), ("Pulling", "image", 20)).address is None
    assert one(waiting("ContainerCreating"), ("FailedMount", "volume", 20)).address is None
    assert one(waiting("ImagePullBackOff")).address is None
    assert one(waiting("CreateContainerConfigError")).address is None


def test_no_address_before_the_init_containers_are_done() -> None:
    demo = deployment(pod={"initContainers": [{"name": "prepare"}]})
    made = pod(replica_set(demo), state=waiting("PodInitializing"))
    states = {
        "running": (None, "init container prepare is running"),
        "terminated": ("10.0.0.1", ""),
    }
    for state, expected in states.items():
        found = {"exitCode": 0, "startedAt": stamp(12)}
        status = {"name": "prepare", "restartCount": 0, "state": {state: found}}
        made["status"]["initContainerStatuses"] = [status]
        replica = only(read([demo], [made]))
        assert (replica.address, replica.message) == expected


@pytest.mark.parametrize(
    ("events", "reason", "words"),
    [
        ([], Reason.STARTING, ""),
        ([("Pulling", "Pulling image", 20)], Reason.PULLING_IMAGE, "Pulling image"),
        ([("Pulling", "P", 20), ("Pulled", "done", 30)], Reason.STARTING, ""),
        ([("FailedMount", "no volume", 20)], Reason.FAILED_MOUNT, "no volume"),
        (
            [("FailedAttachVolume", "Multi-Attach error for volume", 20)],
            Reason.FAILED_ATTACH_VOLUME,
            "Multi-Attach error for volume",
        ),
        (
            [("FailedAttachVolume", "M", 20), ("SuccessfulAttachVolume", "attached", 25)],
            Reason.STARTING,
            "",
        ),
        ([("FailedMount", "old", 20), ("Pulling", "new", 21)], Reason.PULLING_IMAGE, "new"),
        (
            [("FailedCreatePodSandBox", "cni", 20)],
            Reason.FAILED_CREATE_POD_SAND_BOX,
            "cni",
        ),
    ],
)
def test_what_goes_on_before_there_is_a_container_is_told_by_events(
    events: list[tuple[str, str, float]], reason: Reason, words: str
) -> None:
    for order in (events, events[::-1]):
        replica = one(waiting("ContainerCreating"), *order)
        assert (replica.phase, replica.reason, replica.message) == (Phase.LOADING, reason, words)


def test_of_events_of_one_reason_the_newest_tells() -> None:
    demo = deployment()
    made = pod(replica_set(demo), state=waiting("ContainerCreating"))
    told = [
        event(made, "FailedMount", words, at=at, name=f"e{at}")
        for words, at in (("first", 20), ("last", 30), ("second", 25))
    ]
    assert only(read([demo], [made], events=told)).message == "last"
    micro = event(made, "FailedMount", "by the microsecond", name="micro")
    del micro["lastTimestamp"]
    micro["eventTime"] = "2026-01-01T00:00:30.500000Z"
    assert only(read([demo], [made], events=[*told, micro])).message == "by the microsecond"
    series = event(made, "FailedMount", "again and again", at=10, name="series")
    series["series"] = {"count": 5, "lastObservedTime": "2026-01-01T00:00:31.000000Z"}
    assert only(read([demo], [made], events=[*told, series])).message == "again and again"


def test_of_what_a_container_left_the_last_lines_are_kept() -> None:
    lines = "\n".join(f"line {number}" for number in range(50))
    replica = one(ended(2, message=f"{lines}\n\n"))
    assert replica.log == tuple(f"line {number}" for number in range(30, 50))
    assert replica.message == "exit code 2: line 49"
    assert len(one(ended(message="x" * 5000)).message) == 1000


def test_events_tell_nothing_of_a_container_that_runs() -> None:
    replica = one({"running": {"startedAt": stamp(12)}}, ("FailedMount", "no volume", 20))
    assert (replica.reason, replica.message) == (Reason.STARTING, "")


@pytest.mark.parametrize(
    ("message", "events", "reason"),
    [
        (OUT, [], Reason.NO_FREE_GPU),
        ("0/1 nodes are available: 1 Insufficient nvidia.com/mig-1g.10gb.", [], Reason.NO_FREE_GPU),
        ("0/1 nodes are available: 1 Insufficient memory.", [], Reason.UNSCHEDULABLE),
        ("0/1 nodes are available: 1 node(s) had untolerated taint.", [], Reason.UNSCHEDULABLE),
        ("Insufficient ", [], Reason.UNSCHEDULABLE),
        (OUT, [("TriggeredScaleUp", "pod triggered scale-up: 1->2", 20)], Reason.NODE_COMING),
        (OUT, [("Nominated", "Pod should schedule on: nodeclaim/x", 20)], Reason.NODE_COMING),
        (OUT, [("NotTriggerScaleUp", "max node group size reached", 20)], Reason.NO_FREE_GPU),
        (
            "0/1 nodes are available: 1 Insufficient memory.",
            [("TriggeredScaleUp", "1->2", 20)],
            Reason.UNSCHEDULABLE,
        ),
    ],
)
def test_a_pod_without_a_node_is_pending_with_the_schedulers_words(
    message: str, events: list[tuple[str, str, float]], reason: Reason
) -> None:
    demo = deployment()
    made = unscheduled(replica_set(demo), message)
    told = [event(made, *each[:2], at=each[2]) for each in events]
    replica = only(read([demo], [made], events=told))
    assert (replica.phase, replica.reason) == (Phase.PENDING, reason)
    assert replica.message == "; ".join([message, *(each[1] for each in events)])
    assert (replica.gpus, replica.node, replica.started) == (0, None, None)


def test_the_newest_word_about_a_node_to_come_counts() -> None:
    demo = deployment()
    made = unscheduled(replica_set(demo), OUT)
    told = [
        event(made, "TriggeredScaleUp", "1->2", at=20),
        event(made, "NotTriggerScaleUp", "backoff after failed scale-up", at=40),
    ]
    replica = only(read([demo], [made], events=told))
    assert replica.reason is Reason.NO_FREE_GPU
    assert "backoff after failed scale-up" in replica.message


def test_before_the_scheduler_has_looked_nothing_is_known() -> None:
    demo = deployment()
    replica = only(read([demo], [pod(replica_set(demo), node=None, state={})]))
    assert (replica.phase, replica.reason, replica.message) == (Phase.PENDING, None, "")


def test_a_deletion_drains_at_once_and_says_who_wants_it() -> None:
    demo = deployment()
    made = pod(replica_set(demo), deletionTimestamp=stamp(630), deletionGracePeriodSeconds=30)
    made["status"]["conditions"].append(
        {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": "preempted by pod x on node n1",
        }
    )
    replica = only(read([demo], [made]))
    assert (replica.phase, replica.reason) == (Phase.DRAINING, Reason.STOPPING)
    assert replica.message == "PreemptionByScheduler: preempted by pod x on node n1"
    assert (replica.gpus, replica.since) == (1, NOW)


def test_a_stuck_deletion_says_that_its_node_is_away() -> None:
    demo = deployment()
    made = pod(replica_set(demo), deletionTimestamp=stamp(60))
    replica = only(read([demo], [made], nodes=[node(ready=False)]))
    assert replica.reason is Reason.STUCK_TERMINATING
    assert replica.message == (
        "it should have ended at 2026-01-01T00:01:00Z; its node n1 is not ready"
    )


def test_a_node_that_is_away_is_told_of_what_runs_there() -> None:
    demo = deployment()
    replica = only(read([demo], [pod(replica_set(demo))], nodes=[node(ready=False)]))
    assert (replica.phase, replica.reason) == (Phase.LOADING, Reason.NODE_NOT_READY)
    assert replica.message == "node n1 is not ready"


def rejected(owner, suffix: str, at: float):
    made = pod(owner, suffix, state={}, phase="Failed", at=at)
    made["status"] |= {
        "reason": "UnexpectedAdmissionError",
        "message": "Allocate failed due to requested number of devices unavailable",
        "startTime": stamp(at),
    }
    return made


def test_a_pod_that_its_node_refused_says_why_while_none_has_taken_its_place() -> None:
    demo = deployment()
    own = replica_set(demo)
    refused = rejected(own, "x1", 595)
    replica = only(read([demo], [refused]))
    assert (replica.phase, replica.reason, replica.gpus) == (Phase.FAILED, Reason.POD_FAILED, 0)
    assert replica.message.startswith("UnexpectedAdmissionError: Allocate failed")
    fleet = read([demo], [refused, pod(own, "x2", at=596)])
    assert only(fleet).name == "default/demo-7c9d-x2"


def test_what_has_ended_long_ago_is_nobodys_replica() -> None:
    demo = deployment(status={"replicas": 0, "updatedReplicas": 0})
    old = rejected(replica_set(demo), "x1", 500)
    assert read([demo], [old]).of(DEMO) == ()


@pytest.mark.parametrize(
    ("status", "pods", "settled", "enacted"),
    [
        ({}, 2, True, True),
        ({"observedGeneration": 0}, 2, False, False),
        ({"replicas": 3, "updatedReplicas": 3}, 3, True, False),
        ({"updatedReplicas": 1}, 2, False, True),
        ({}, 1, False, True),
        ({}, 3, False, False),
        ({"replicas": 3, "updatedReplicas": 3}, 2, False, False),
    ],
)
def test_a_rollout_is_over_and_a_write_done_when_everybody_says_so(
    status: dict[str, int], pods: int, settled: bool, enacted: bool
) -> None:
    demo = deployment(replicas=2, status=status)
    own = replica_set(demo)
    made = [pod(own, f"x{number}") for number in range(pods)]
    revision = read([demo], made).revisions[DEMO]
    assert (revision.settled, revision.enacted) == (settled, enacted)


def test_a_drained_replica_that_is_being_stopped_is_none_of_those_there() -> None:
    demo = deployment(replicas=1)
    own = replica_set(demo)
    going = pod(own, "x2", deletionTimestamp=stamp(630))
    revision = read([demo], [pod(own), going]).revisions[DEMO]
    assert (revision.settled, revision.enacted) == (True, True)


def test_replicas_are_in_order_of_age() -> None:
    demo = deployment(replicas=3)
    own = replica_set(demo)
    pods = [pod(own, "b", at=20), pod(own, "a", at=30), pod(own, "d", at=10), pod(own, "c", at=10)]
    names = [each.name[-1] for each in read([demo], pods).of(DEMO)]
    assert names == ["c", "d", "b", "a"]

"""What the pod template says: ports, GPUs, and with the Deployment around it replicas and time."""

import pytest

from fleet.deployment import Registration, read_deployment
from fleet.model import Ports
from tests.core.deployments import accepted, document, ports, read, refused


def test_ports_come_from_annotation_then_name_then_runtime() -> None:
    named = ports(("http", 1), ("grpc", 2), ("metrics", 3), ("web", 4))
    assert accepted(container=named).ports == Ports(http=1, grpc=2, metrics=3)
    chosen = {"model": "m", "port": "web", "grpc-port": "9001", "metrics-port": "http"}
    assert accepted(chosen, container=named).ports == Ports(http=4, grpc=9001, metrics=1)
    openai = {"model": "m", "runtime": "openai"}
    assert accepted(openai).ports == Ports(http=8000)
    assert accepted(openai, container=ports((None, 9))).ports == Ports(http=8000)


def test_a_port_name_must_be_one_of_a_container() -> None:
    (message,) = refused({"model": "m", "port": "web"}, container=ports(("http", 1), ("admin", 2)))
    assert "the name of a container port: admin, http" in message


def test_the_ports_of_triton_differ() -> None:
    (message,) = refused({"model": "m", "port": "8001"})
    assert "another port" in message


def test_a_plain_server_must_say_its_port() -> None:
    keys = {"model": "m", "runtime": "plain", "allow": "all"}
    assert accepted(keys, container=ports((None, 9))).ports == Ports(http=9)
    assert accepted(keys, container=ports(("x", 8), ("http", 9))).ports == Ports(http=9)
    assert accepted({**keys, "port": "7"}).ports == Ports(http=7)
    for container in ({}, ports((None, 8), (None, 9))):
        (message,) = refused(keys, container=container)
        assert "runtime plain has no port of its own" in message


def test_ports_for_datagrams_do_not_count() -> None:
    container = {"ports": [{"name": "http", "containerPort": 9, "protocol": "UDP"}]}
    assert accepted(container=container).ports.http == 8000


@pytest.mark.parametrize("port", [0, 65536, "80", True, None, 1.5])
def test_a_container_port_that_is_none(port: object) -> None:
    container = {"ports": [{"name": "http", "containerPort": port}]}
    if port is None:
        assert accepted(container=container).ports.http == 8000
    else:
        (message,) = refused(container=container)
        assert "spec.template.spec.containers[0].ports[0].containerPort" in message


# GPUs, replicas, deadline.


@pytest.mark.parametrize(("value", "gpus"), [(0, 0), (1, 1), ("2", 2), (1024, 1024)])
def test_gpus_come_from_the_limits(value: object, gpus: int) -> None:
    limits = {"nvidia.com/gpu": value}
    assert accepted(container={"resources": {"limits": limits}}).gpus == gpus
    both = {"limits": limits, "requests": {"nvidia.com/gpu": value}}
    assert accepted(container={"resources": both}).gpus == gpus


@pytest.mark.parametrize("value", ["1.5", 0.5, -1, "-1", "one", True, 1025, [1], "٣"])
def test_gpus_are_a_whole_number(value: object) -> None:
    (message,) = refused(container={"resources": {"limits": {"nvidia.com/gpu": value}}})
    assert "limits.nvidia.com/gpu" in message
    assert "a whole number of GPUs from 0 to 1024" in message


def test_gpu_requests_must_equal_the_limits() -> None:
    for number in (1, 3):
        differ = {"limits": {"nvidia.com/gpu": 2}, "requests": {"nvidia.com/gpu": number}}
        (message,) = refused(container={"resources": differ})
        assert f"requests.nvidia.com/gpu: '{number}': the same as the limit (2)" in message
    (message,) = refused(container={"resources": {"requests": {"nvidia.com/gpu": 1}}})
    assert "needs a limit" in message


def test_gpus_of_all_containers_add_up() -> None:
    two = document(container={"resources": {"limits": {"nvidia.com/gpu": 1}}})
    containers = two["spec"]["template"]["spec"]["containers"]
    containers.append({**containers[0], "name": "e"})
    revision = read(two).revision
    assert revision is not None
    assert revision.gpus == 2


def test_another_kind_of_gpu_is_warned_about() -> None:
    container = {"resources": {"limits": {"nvidia.com/mig-1g.5gb": 1, "memory": "1Gi"}}}
    (problem,) = read(document(container=container)).problems
    assert problem.warning
    assert "nvidia.com/mig-1g.5gb" in problem.key


def in_cluster(*containers: dict[str, object]) -> Registration:
    two = document()
    two["spec"]["template"]["spec"]["containers"] = [
        {"name": f"c{number}", "resources": {"limits": each}}
        for number, each in enumerate(containers)
    ]
    return read_deployment(two, source="cluster", created=1.0, version="1", in_cluster=True)


PART = "nvidia.com/mig-1g.10gb"


def test_in_a_cluster_parts_of_a_gpu_count_as_a_class_of_their_own() -> None:
    found = in_cluster({PART: "2"}, {PART: "1"})
    assert found.revision is not None
    assert (found.revision.gpus, found.revision.gpu_class) == (3, "mig-1g.10gb")
    assert (found.resource, found.problems) == (PART, ())
    whole = in_cluster({"nvidia.com/gpu": "1"})
    assert whole.revision is not None
    assert (whole.revision.gpu_class, whole.resource) == ("gpu", "nvidia.com/gpu")


def test_a_replica_has_gpus_of_one_kind() -> None:
    found = in_cluster({PART: "2"}, {"nvidia.com/gpu": "1"})
    assert found.revision is None
    (problem,) = found.problems
    assert problem.allowed == f"GPUs of one kind per replica, not {PART}, nvidia.com/gpu"
    none = in_cluster({PART: "0"}, {"nvidia.com/gpu": "1"})
    assert none.revision is not None


def test_in_a_cluster_other_kinds_are_warned_about() -> None:
    (problem,) = in_cluster({"amd.com/gpu": "1"}).problems
    assert problem.warning
    assert problem.allowed == ("not counted as a GPU: only nvidia.com/gpu and its MIG parts are")


def test_replicas_when_first_seen() -> None:
    assert accepted(spec={"replicas": 3}).replicas == 3
    assert accepted({"model": "m", "min-replicas": "2"}).replicas == 2
    assert accepted({"model": "m", "pinned": "true"}).replicas == 1
    assert accepted({"model": "m", "pinned": "true"}, spec={"replicas": 0}).replicas == 0
    (message,) = refused(spec={"replicas": -1})
    assert "spec.replicas: '-1': a whole number from 0 to 1000" in message


def test_the_progress_deadline_is_the_default_of_the_start_timeout() -> None:
    deadline = {"progressDeadlineSeconds": 90}
    assert accepted(spec=deadline).policy.start_timeout == 90.0
    assert (
        accepted({"model": "m", "start-timeout": "2m"}, spec=deadline).policy.start_timeout == 120
    )
    (message,) = refused(spec={"progressDeadlineSeconds": "soon"})
    assert "spec.progressDeadlineSeconds" in message

"""The control plane that tests stand on is a real one: it schedules, refuses, and comes back."""

from contextlib import closing

import pytest

from tests.kube.admin import RefusedError
from tests.kube.objects import deployment
from tests.kube.plane import ControlPlane


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _scheduled(pods: dict) -> list[str]:
    return [pod["spec"].get("nodeName", "") for pod in pods["items"]]


def test_its_scheduler_counts_gpus(control_plane: ControlPlane, namespace: str, nodes) -> None:
    node = nodes(gpus=1, labels={"nvidia.com/gpu.product": "TEST"})
    wanted = deployment("two", namespace, replicas=2, gpus=1)
    control_plane.admin.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", wanted)

    def one_waits(pods: dict) -> bool:
        said = [
            condition.get("message", "")
            for pod in pods["items"]
            for condition in pod["status"].get("conditions", ())
        ]
        return any("Insufficient nvidia.com/gpu" in each for each in said)

    pods = control_plane.admin.until(_pods(namespace), one_waits)
    assert sorted(_scheduled(pods)) == ["", node]


def test_rights_are_what_roles_give(control_plane: ControlPlane, namespace: str) -> None:
    token = control_plane.account_token(namespace, "default")
    path = control_plane.kubeconfig_for(token, name=namespace)
    assert token in path.read_text()
    with closing(control_plane.bearer(token)) as account, pytest.raises(RefusedError) as refused:
        account.get(_pods(namespace))
    assert refused.value.status == 403


def test_a_killed_part_comes_back_with_what_it_knew(
    control_plane: ControlPlane, namespace: str
) -> None:
    controllers = control_plane.pid("kube-controller-manager")
    with control_plane.without("kube-apiserver"):
        assert not control_plane.admin.ready()
    # Those that asked it in vain would rest too long for the next test.
    assert control_plane.pid("kube-controller-manager") != controllers
    control_plane.admin.post(
        f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment("a", namespace, replicas=1)
    )
    control_plane.admin.until(_pods(namespace), lambda pods: len(pods["items"]) == 1)
    found = control_plane.admin.get(f"/api/v1/namespaces/{namespace}")
    assert found["metadata"]["name"] == namespace

"""`ebbtide doctor` on a real control plane, with a real Redis: what it finds, and its exit code."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ebbtide.cli import main
from fleet.kubernetes.permissions import Component
from tests.kube.granted import granting
from tests.kube.objects import deployment
from tests.kube.plane import ControlPlane, free_port
from tests.kube.redis import RedisServer

Doctor = Callable[..., tuple[int, str]]


@pytest.fixture
def doctor(
    control_plane: ControlPlane,
    namespace: str,
    redis_server: RedisServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Doctor:
    """Called as from a command line; the exit code, and what it prints."""
    monkeypatch.setenv("EBBTIDE_NAMESPACE", namespace)
    monkeypatch.setenv("EBBTIDE_REDIS_URL", redis_server.url)

    def call(*flags: str, kubeconfig: object = control_plane.kubeconfig) -> tuple[int, str]:
        code = main(["doctor", "--kubeconfig", str(kubeconfig), *flags])
        return code, "".join(capsys.readouterr())

    return call


def apply(plane: ControlPlane, namespace: str, name: str, **more: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    annotations = {"model": name, **more}
    plane.admin.post(path, deployment(name, namespace, annotations=annotations, gpus=1))


def test_it_sees_what_is_there(
    control_plane: ControlPlane, namespace: str, doctor: Doctor, nodes: Callable[..., str]
) -> None:
    nodes(gpus=1, labels={"nvidia.com/gpu.product": "NVIDIA-L4"})
    apply(control_plane, namespace, "good")
    apply(control_plane, namespace, "bad", slots="many")
    theirs = '{"number": 1, "owner": "elsewhere", "replicas": [], "term": 1}'
    apply(control_plane, namespace, "shared", draining=theirs)
    code, told = doctor("--json")
    found = json.loads(told)
    assert (code, found["ok"]) == (1, False)
    assert f"{namespace}/good" in found["registered"]
    assert f"{namespace}/bad" in found["refused"]
    assert {"gpu_class": "NVIDIA-L4", "total": 1, "free": 1} in found["gpus"]
    assert found["version"].startswith("v1.")
    assert all(one["allowed"] and one["account"] is None for one in found["permissions"])
    what = [one["what"] for one in found["findings"]]
    assert any("ebbtide.dev/slots: 'many': " in one for one in what)
    assert any("another ebbtide, of the namespace elsewhere" in one for one in what)
    assert any("terminationGracePeriodSeconds is 0" in one for one in what)
    assert any(one.startswith("redis://127.0.0.1") and "allows all" in one for one in what)


def test_it_finds_monitors_meshes_and_who_else_scales(
    control_plane: ControlPlane, namespace: str, doctor: Doctor
) -> None:
    admin = control_plane.admin
    labelled = {"metadata": {"labels": {"istio-injection": "enabled"}}}
    admin.patch(f"/api/v1/namespaces/{namespace}", labelled)
    apply(control_plane, namespace, "scaled")
    scaler = {
        "metadata": {"name": "their-scaler"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled"},
            "maxReplicas": 3,
        },
    }
    admin.post(f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers", scaler)
    monitors = {"dcgm": "dcgm-exporter", "metrics": "prometheus"}
    for name, label in monitors.items():
        metadata = {"name": name, "labels": {"app.kubernetes.io/name": label}}
        service = {"metadata": metadata, "spec": {"ports": [{"port": 9400}]}}
        admin.post(f"/api/v1/namespaces/{namespace}/services", service)
    gateways = deployment("tide-gateway", namespace)
    gateways["metadata"]["labels"] = {"app.kubernetes.io/component": "gateway"}
    (container,) = gateways["spec"]["template"]["spec"]["containers"]
    container["env"] = [{"name": "EBBTIDE_SHUTDOWN_GRACE", "value": "90"}]
    admin.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", gateways)
    # By all namespaces at once, and by name.
    for flags in ((), ("--namespace", namespace)):
        _, told = doctor(*flags)
        for expected in (
            f"DCGM exporter: service {namespace}/dcgm",
            f"Prometheus: service {namespace}/metrics",
            f"{namespace}/scaled: its namespace has istio-injection=enabled: Istio takes in",
            f"{namespace}/scaled: somebody else scales it: HorizontalPodAutoscaler",
            f"{namespace}/scaled: a gateway that stops goes on for 90 s, and a request may take",
        ):
            assert expected in told


def test_where_nothing_is_wrong_it_says_so(
    control_plane: ControlPlane, namespace: str, doctor: Doctor
) -> None:
    apply(control_plane, namespace, "good")
    code, told = doctor("--namespace", namespace)
    assert code == 0, told
    assert told.splitlines()[-1].startswith("0 errors")
    assert f"{namespace}/good: registered as good" in told


def test_what_stands_between_it_and_a_wake_is_told(
    control_plane: ControlPlane, namespace: str, doctor: Doctor
) -> None:
    apply(control_plane, namespace, "good")
    rules = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"]}
    policy = {
        "metadata": {"name": namespace},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceRules": [{**rules, "resources": ["deployments/scale"]}],
            },
            "validations": [{"expression": "object.spec.replicas == 0", "message": "frozen"}],
        },
    }
    binding = {
        "metadata": {"name": namespace},
        "spec": {"policyName": namespace, "validationActions": ["Deny"]},
    }
    api = "/apis/admissionregistration.k8s.io/v1"
    kinds = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
    for kind, made in zip(kinds, (policy, binding), strict=True):
        control_plane.admin.post(f"{api}/{kind}", made)
    try:
        # A policy holds some moments after it is made.
        end = time.monotonic() + 20.0
        while "would be refused" not in (told := doctor("--namespace", namespace)[1]):
            assert time.monotonic() < end, told
    finally:
        for kind in kinds:
            control_plane.admin.delete(f"{api}/{kind}/{namespace}")
    assert f"{namespace}/good: a wake of it would be refused: " in told
    assert "frozen" in told
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/good"
    assert control_plane.admin.get(path)["spec"]["replicas"] == 0


def test_of_ebbtides_own_accounts_it_says_what_they_lack(
    control_plane: ControlPlane, namespace: str, doctor: Doctor
) -> None:
    labels = {"app.kubernetes.io/component": "gateway", "helm.sh/chart": "ebbtide-0"}
    account = {"metadata": {"name": "its-gateway", "labels": labels}}
    control_plane.admin.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
    code, told = doctor()
    assert code == 1
    account = f"the gateway's account {namespace}/its-gateway may not"
    assert f"{account} patch deployments/scale.apps: wakes a sleeping model" in told
    assert f"{account} get leases.coordination.k8s.io in {namespace}" in told
    assert "you, in place of the autoscaler, may do all" in told


@pytest.mark.parametrize("component", list(Component))
def test_on_a_healthy_install_the_charts_own_accounts_find_no_error(
    control_plane: ControlPlane,
    doctor: Doctor,
    component: Component,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with granting(control_plane, tmp_path) as granted:
        monkeypatch.setenv("EBBTIDE_NAMESPACE", granted.own)
        token = granted.tokens[component]
        kubeconfig = control_plane.kubeconfig_for(token, name=component.value)
        code, told = doctor("--json", kubeconfig=kubeconfig)
    found = json.loads(told)
    permissions = found["permissions"]
    assert code == 0, told
    assert {one["component"] for one in permissions} == {component.value}
    account = f"{granted.own}/ebbtide-{component.value}"
    assert {one["account"] for one in permissions} == {account}
    assert all(one["allowed"] for one in permissions)
    told_of = [one for one in found["findings"] if one["section"] == "permissions"]
    assert [one["level"] for one in told_of] == ["fine", "note"]


def test_with_roles_in_some_namespaces_alone_only_nodes_are_noted(
    control_plane: ControlPlane, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with granting(control_plane, tmp_path, narrow=True) as granted:
        monkeypatch.setenv("EBBTIDE_NAMESPACE", granted.own)
        monkeypatch.setenv("EBBTIDE_GPU_BUDGET", "8")
        token = granted.tokens[Component.AUTOSCALER]
        kubeconfig = control_plane.kubeconfig_for(token, name="narrow")
        code, told = doctor("--json", "--namespace", granted.models, kubeconfig=kubeconfig)
    assert code == 0, told
    told_of = [one for one in json.loads(told)["findings"] if one["section"] == "permissions"]
    assert {one["about"] for one in told_of} == {None, "nodes"}
    assert {one["level"] for one in told_of} == {"note"}
    # Namespaces it may not read either: so it is meant, and nothing warns.
    levels = {
        one["about"]: one["level"]
        for one in json.loads(told)["findings"]
        if one["section"] == "cluster"
    }
    assert levels == {None: "fine", "namespaces": "note"}


def test_who_may_do_nothing_is_told_what_and_a_redis_that_is_away_is_too(
    control_plane: ControlPlane, namespace: str, doctor: Doctor, redis_server: RedisServer
) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    control_plane.admin.post(accounts, {"metadata": {"name": "nobody"}})
    token = control_plane.account_token(namespace, "nobody")
    redis_server.stop()
    code, told = doctor(kubeconfig=control_plane.kubeconfig_for(token, name="nobody"))
    assert code == 1
    assert "you, in place of the gateway, may not list or watch deployments.apps" in told
    assert "pods could not be read: " in told
    assert "does not answer: " in told


def test_an_access_list_that_lacks_a_command_is_told(
    doctor: Doctor, namespace: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_server.stop()
    rules = "on >secret ~ebbtide:* &ebbtide:* +@all -xadd -publish"
    redis_server.start("--user", "ebbtide", *rules.split())
    url = redis_server.url.replace("redis://", "redis://ebbtide:secret@")
    monkeypatch.setenv("EBBTIDE_REDIS_URL", url)
    code, told = doctor("--namespace", namespace)
    assert code == 1
    for command in ("XADD", "PUBLISH"):
        assert f"refuses {command}: " in told
    assert told.count("refuses") == 2
    assert "secret" not in told


def test_a_namespace_of_its_own_that_is_not_there_is_told(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EBBTIDE_NAMESPACE", "nowhere")
    assert "there is no namespace nowhere" in doctor()[1]


def test_where_it_cannot_look_it_says_why(doctor: Doctor, tmp_path: object) -> None:
    code, told = doctor(kubeconfig=f"{tmp_path}/none")
    assert code == 2
    assert "none" in told
    assert "No such file" in told
    closed = f"{tmp_path}/closed"
    server = f"https://127.0.0.1:{free_port()}"
    with open(closed, "w") as file:
        json.dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "t",
                "clusters": [{"name": "t", "cluster": {"server": server}}],
                "users": [{"name": "t", "user": {"token": "x"}}],
                "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
            },
            file,
        )
    code, told = doctor(kubeconfig=closed)
    assert code == 2
    assert told.startswith(f"ebbtide doctor: GET {server}/version: ")

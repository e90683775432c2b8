"""The chart's pods: what they may not do, and that ebbtide takes the environment they give it."""

import argparse
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import ebbtide.autoscaler
import ebbtide.gateway
from ebbtide.doctoring.rollouts import gateway_grace
from fleet.settings import Settings, read_settings
from scripts.chart_settings import schema
from tests.kube.chart_values import MATRIX, Rendering, Renders, environment, only, pod_of
from tests.kube.plane import ControlPlane


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendering:
    return Renders(tmp_path_factory.mktemp("rendered"))


def test_pods_may_do_nothing_that_they_need_not(rendered: Rendering) -> None:
    documents = rendered()
    workloads = [each for each in documents if each["kind"] in ("Deployment", "StatefulSet")]
    assert len(workloads) == 3
    for workload in workloads:
        pod = pod_of(workload)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= container["resources"].keys()
            assert "hostPort" not in str(container["ports"])
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    redis = pod_of(only(documents, "StatefulSet", "ebbtide-redis"))
    assert redis["automountServiceAccountToken"] is False


def test_a_gateway_is_told_the_name_of_its_own_container(rendered: Rendering) -> None:
    (container,) = pod_of(only(rendered(), "Deployment", "ebbtide-gateway"))["containers"]
    given = {each["name"]: each.get("value") for each in container["env"]}
    assert given["POD_CONTAINER"] == container["name"]


def test_a_process_is_told_its_pod(rendered: Rendering) -> None:
    """Without its uid a Lease would outlive it, without its name its gateway would be another."""
    told = {"POD_NAME": "name", "POD_NAMESPACE": "namespace", "POD_UID": "uid"}
    for kind in ("gateway", "autoscaler"):
        (container,) = pod_of(only(rendered(), "Deployment", f"ebbtide-{kind}"))["containers"]
        given = {
            each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"]
            for each in container["env"]
            if each["name"] in told
        }
        assert given == {name: f"metadata.{field}" for name, field in told.items()}


def test_a_new_version_of_the_chart_alone_does_not_start_redis_again(rendered: Rendering) -> None:
    redis = only(rendered({"commonLabels": {"team": "ml"}}), "StatefulSet", "ebbtide-redis")
    assert redis["spec"]["template"]["metadata"]["labels"] == {
        "app.kubernetes.io/name": "ebbtide",
        "app.kubernetes.io/instance": "ebbtide",
        "app.kubernetes.io/component": "redis",
        "team": "ml",
    }


def test_the_cluster_holds_them_to_the_strictest_standard(
    control_plane: ControlPlane, namespace: str, rendered: Rendering
) -> None:
    """Pod Security Admission, level `restricted`, has no warning about any pod."""
    admin = control_plane.admin
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    admin.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": level}})
    for workload in rendered(namespace=namespace):
        if workload["kind"] in ("Deployment", "StatefulSet"):
            pod = {
                "metadata": {"name": workload["metadata"]["name"]},
                "spec": {**pod_of(workload), "serviceAccountName": "default"},
            }
            if workload["kind"] == "StatefulSet":
                pod["spec"]["volumes"].append({"name": "data", "emptyDir": {}})
            admin.post(f"/api/v1/namespaces/{namespace}/pods", pod, dry=True)


@pytest.mark.parametrize(("delay", "longest"), [(10, 600), (0, 1), (120, 7200)])
def test_a_gateway_has_time_for_what_it_holds(
    delay: int, longest: int, rendered: Rendering
) -> None:
    values = {"gateway": {"shutdownDelaySeconds": delay, "requestTimeoutSeconds": longest}}
    documents = rendered(values)
    pod = pod_of(only(documents, "Deployment", "ebbtide-gateway"))
    assert pod["terminationGracePeriodSeconds"] == delay + longest + 5
    settings = read_settings(ours(environment(documents, "gateway")))
    assert (settings.shutdown_delay, settings.shutdown_grace) == (delay, longest)
    # And `ebbtide doctor` finds it there.
    assert gateway_grace(only(documents, "Deployment", "ebbtide-gateway")) == longest


def ours(environ: Mapping[str, str]) -> dict[str, str]:
    """As the process sees it: variables within variables put in."""
    known = {"POD_NAMESPACE": "ebbtide", "REDIS_PASSWORD": "secret"}
    return {
        name: re.sub(r"\$\((\w+)\)", lambda match: known[match[1]], value)
        for name, value in environ.items()
    }


@pytest.mark.parametrize("component", ["gateway", "autoscaler"])
def test_ebbtide_takes_the_environment_it_gets(component: str, rendered: Rendering) -> None:
    """Every setting that the chart takes, as YAML may write it, and those that it makes itself."""
    taken = schema()["properties"]
    assert isinstance(taken, dict)
    default = Settings()
    given = {name: getattr(default, name) for name in taken if getattr(default, name) != ""}
    given |= {"max_connections": 1_000_000, "max_waiting_bytes": 2**40, "gpu_price": 2, "tick": 1.5}
    documents = rendered({"settings": given})
    read = read_settings(ours(environment(documents, component)))
    for name, value in given.items():
        assert getattr(read, name) == value, name
    assert read.redis_url == "redis://ebbtide:secret@ebbtide-redis:6379/0"
    assert read.namespace == "ebbtide"
    assert read.admin_token_file == "/etc/ebbtide/admin/tokens"
    different = {
        f.name for f in fields(Settings) if getattr(read, f.name) != getattr(default, f.name)
    }
    made = {"redis_url", "namespace", "admin_token_file", "shutdown_delay", "shutdown_grace"}
    assert different <= made | given.keys()


@pytest.mark.parametrize("component", ["gateway", "autoscaler"])
def test_the_command_line_is_one(component: str, rendered: Rendering) -> None:
    pod = pod_of(only(rendered(), "Deployment", f"ebbtide-{component}"))
    (container,) = pod["containers"]
    name, *flags = container["args"]
    assert name == component
    parser = argparse.ArgumentParser()
    {"gateway": ebbtide.gateway, "autoscaler": ebbtide.autoscaler}[component].arguments(parser)
    args = parser.parse_args(flags)
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports.pop("admin") == args.admin_port
    assert ports == ({"http": args.port} if component == "gateway" else {})
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "admin"
        assert container[probe]["httpGet"]["path"] in ("/healthz", "/readyz")


def test_namespaces_reach_processes_and_roles(rendered: Rendering) -> None:
    documents = rendered(MATRIX["namespaces"])
    for component in ("gateway", "autoscaler"):
        read = read_settings(ours(environment(documents, component)))
        assert read.namespaces == "team-a,team-b"
        assert read.gpu_budget == "8"
    assert not [each for each in documents if each["kind"].startswith("ClusterRole")]
    binding = only(documents, "ValidatingAdmissionPolicyBinding", "ebbtide-ebbtide-annotations")
    (which,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert which["values"] == ["team-a", "team-b"]


def test_new_settings_are_new_pods(rendered: Rendering) -> None:
    def template(**settings: object) -> list[Any]:
        documents = rendered({"settings": settings})
        return [d["spec"]["template"] for d in documents if d["kind"] == "Deployment"]

    before, again, after = template(tick=2), template(tick=2), template(tick=3)
    assert before == again
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_files_are_where_settings_say(rendered: Rendering) -> None:
    documents = rendered(MATRIX["one's own Secrets"])
    pod = pod_of(only(documents, "Deployment", "ebbtide-gateway"))
    mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    secrets = {
        mounts[v["name"]]: v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v
    }
    read = read_settings(ours(environment(documents, "gateway")))
    for path, secret in (
        (read.admin_token_file, "a"),
        (read.tls_cert, "t"),
        (read.tls_key, "t"),
        (read.api_keys, "k"),
        (read.replica_ca, "c"),
        (read.replica_cert, "c"),
        (read.replica_key, "c"),
    ):
        assert secrets[str(Path(path).parent)] == secret
    assert read.admin_token_file.endswith("/admin.txt")
    assert not [each for each in documents if each["kind"] == "Secret"]


def test_the_url_of_another_redis_comes_from_its_secret(rendered: Rendering) -> None:
    documents = rendered(MATRIX["a Redis of one's own"])
    for component in ("gateway", "autoscaler"):
        pod = pod_of(only(documents, "Deployment", f"ebbtide-{component}"))
        (url,) = (v for v in pod["containers"][0]["env"] if v["name"] == "EBBTIDE_REDIS_URL")
        assert url["valueFrom"]["secretKeyRef"] == {"name": "r", "key": "k"}
        (files,) = (v for v in pod["volumes"] if v["name"] == "redis-tls")
        assert files["secret"]["secretName"] == "s"
        read = read_settings(ours(environment(documents, component)))
        mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
        for path in (read.redis_ca, read.redis_cert, read.redis_key):
            assert str(Path(path).parent) == mounts["redis-tls"]
    assert not [each for each in documents if each["metadata"]["name"].endswith("-redis")]


def test_a_gateway_that_scales_leaves_its_replicas_alone(rendered: Rendering) -> None:
    documents = rendered(MATRIX["scaled"])
    assert "replicas" not in only(documents, "Deployment", "ebbtide-gateway")["spec"]
    scaler = only(documents, "HorizontalPodAutoscaler", "ebbtide-gateway")["spec"]
    assert scaler["scaleTargetRef"]["name"] == "ebbtide-gateway"
    assert scaler["metrics"][0]["resource"]["name"] == "cpu"
    assert (
        only(documents, "PodDisruptionBudget", "ebbtide-gateway")["spec"]["maxUnavailable"] == "25%"
    )

"""The chart, rendered by Helm 4 and Helm 3: over a matrix of values, read by the API server and by
ebbtide itself; and what its pods may not do.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.settings import Settings, read_settings
from scripts.chart_settings import schema
from tests.kube.chart import CHART, HelmError, apply, helm, render
from tests.kube.plane import ControlPlane

EXAMPLES = CHART.parents[1] / "examples" / "kubernetes"
HELMS = ("helm", "helm3")

Values = Mapping[str, Any]
Rendering = Callable[..., list[dict[str, Any]]]
MATRIX: Mapping[str, Values] = {
    "defaults": {},
    "small": {
        "networkPolicy": {"enabled": False},
        "admission": {"annotations": False, "accounts": False},
        "gateway": {"podDisruptionBudget": {"enabled": False}},
        "redis": {"persistence": {"enabled": False}},
        "rbac": {"create": False},
    },
    "namespaces": {"namespaces": ["team-a", "team-b"], "settings": {"gpu_budget": 8}},
    "a Redis of one's own": {
        "redis": {"enabled": False, "url": {"existingSecret": "r", "key": "k"}}
    },
    "one's own Secrets": {
        "admin": {"existingSecret": "a", "key": "admin.txt"},
        "redis": {"existingSecret": "r"},
        "gateway": {
            "tls": {"secretName": "t"},
            "apiKeys": {"existingSecret": "k"},
            "replicaTls": {"secretName": "c", "clientCertificate": True},
        },
    },
    "scaled": {
        "gateway": {
            "autoscaling": {"enabled": True},
            "podDisruptionBudget": {"maxUnavailable": "25%"},
        }
    },
    "named": {
        "fullnameOverride": "tide",
        "commonLabels": {"team": "ml"},
        "image": {"repository": "example.com/ebbtide", "digest": f"sha256:{'0' * 64}"},
        "imagePullSecrets": [{"name": "pull"}],
        "serviceAccounts": {"annotations": {"example.com/a": "b"}},
    },
    "placed": {
        part: {
            "nodeSelector": {"a": "b"},
            "tolerations": [{"key": "k", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "system-cluster-critical",
        }
        for part in ("gateway", "autoscaler", "redis")
    },
    "extended": {
        part: {
            "extraEnv": [{"name": "A", "value": "b"}],
            "extraVolumes": [{"name": "v", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}],
            "podAnnotations": {"a": "b"},
            "podLabels": {"c": "d"},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
            ],
        }
        for part in ("gateway", "autoscaler")
    },
    "in front": {
        "service": {
            "type": "LoadBalancer",
            "externalTrafficPolicy": "Local",
            "loadBalancerClass": "example.com/lb",
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "annotations": {"a": "b"},
        },
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "hosts": ["models.example.com", "*.models.example.com"],
            "tls": [{"secretName": "t", "hosts": ["models.example.com"]}],
        },
    },
    "guarded": {
        "networkPolicy": {
            "egress": True,
            "requestsFrom": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}],
            "adminFrom": [{"podSelector": {}}],
            "redisTo": [{"ipBlock": {"cidr": "10.1.0.0/16"}}],
        }
    },
    "for kind": yaml.safe_load((EXAMPLES / "values-kind.yaml").read_text()),
    "for namespaces": yaml.safe_load((EXAMPLES / "values-namespaces.yaml").read_text()),
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendering:
    """`render`, once for the same values."""
    folder = tmp_path_factory.mktemp("rendered")
    known: dict[str, list[dict[str, Any]]] = {}

    def rendering(values: Values | None = None, **how: str) -> list[dict[str, Any]]:
        key = json.dumps([values or {}, how], sort_keys=True)
        if key not in known:
            known[key] = render(values=values, folder=folder, **how)
        return copy.deepcopy(known[key])

    return rendering


@pytest.fixture(scope="module")
def crowd(control_plane: ControlPlane) -> Iterator[str]:
    """The namespaces that the matrix speaks of."""
    names = ("ebbtide", "team-a", "team-b")
    for name in names:
        control_plane.admin.post("/api/v1/namespaces", {"metadata": {"name": name}})
    yield names[0]
    for name in names:
        control_plane.admin.delete(f"/api/v1/namespaces/{name}")


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_the_api_server_takes_what_helm_makes(
    control_plane: ControlPlane, crowd: str, values: Values, rendered: Rendering
) -> None:
    documents = rendered(values, namespace=crowd)
    apply(control_plane.admin, documents, namespace=crowd, dry=True)
    assert {"Deployment", "Service", "ServiceAccount"} <= {each["kind"] for each in documents}


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_both_helms_make_the_same(values: Values, rendered: Rendering) -> None:
    made = [
        {
            (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]): each
            for each in rendered(values, program=program)
            if each["kind"] != "Secret"
        }
        for program in HELMS
    ]
    assert made[0] == made[1]


WRONG = {
    "gateway.replica": ({"gateway": {"replica": 3}}, "replica"),
    "gateway.replicas": ({"gateway": {"replicas": 0}}, "/gateway/replicas"),
    "gateway.resources": ({"gateway": {"resources": {"limit": {}}}}, "limit"),
    "a digest": ({"image": {"digest": "sha256:1"}}, "/image/digest"),
    "a type of Service": ({"service": {"type": "Loadbalancer"}}, "/service/type"),
    "a name": ({"fullnameOverride": "Tide"}, "/fullnameOverride"),
    "a namespace": ({"namespaces": ["a", "B"]}, "/namespaces/1"),
    "namespaces": ({"namespaces": "a"}, "/namespaces"),
    "a setting": ({"settings": {"min_residence": "1s"}}, "min_residence"),
    "a duration": ({"settings": {"min_residency": "soon"}}, "/settings/min_residency"),
    "a flag": ({"settings": {"access_log": "yes"}}, "/settings/access_log"),
    "a size": ({"settings": {"max_head": "64KB"}}, "/settings/max_head"),
    "what the chart sets": ({"settings": {"shutdown_delay": 3}}, "shutdown_delay"),
    "an ingress controller": ({"ingress": {"controller": "apache"}}, "/ingress/controller"),
    "a host": ({"ingress": {"hosts": ["https://x"]}}, "/ingress/hosts/0"),
    "of no kind": ({"gatway": {}}, "gatway"),
    "a password": ({"redis": {"password": "x"}}, "password"),
    "redis away": ({"redis": {"enabled": False}}, "redis.url.existingSecret"),
    "nodes unseen": ({"namespaces": ["a"]}, "settings.gpu_budget"),
    "present unseen": (
        {"namespaces": ["a"], "settings": {"gpu_budget": "A100=2, *=present"}},
        "settings.gpu_budget",
    ),
    "a route": ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
    "bounds": (
        {"gateway": {"autoscaling": {"enabled": True, "minReplicas": 9}}},
        "gateway.autoscaling",
    ),
}


@pytest.mark.parametrize(
    ("values", "place", "program"),
    [(*row, "helm") for row in WRONG.values()]
    + [(*WRONG[name], "helm3") for name in ("of no kind", "a duration", "nodes unseen")],
)
def test_wrong_values_are_refused_by_name(
    values: Values, place: str, program: str, tmp_path: Path
) -> None:
    with pytest.raises(HelmError, match=re.escape(place)):
        render(values=values, folder=tmp_path, program=program)


@pytest.mark.parametrize("program", HELMS)
def test_helm_has_nothing_against_it(program: str) -> None:
    assert "0 chart(s) failed" in helm("lint", str(CHART), program=program)


# What is in the documents.


def only(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name)
    return found


def pod_of(document: Mapping[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = document["spec"]["template"]["spec"]
    return pod


def environment(documents: list[dict[str, Any]], component: str) -> dict[str, str]:
    """A container's, as far as it is written in the documents."""
    pod = pod_of(only(documents, "Deployment", f"ebbtide-{component}"))
    (container,) = pod["containers"]
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        found |= only(documents, "ConfigMap", source["configMapRef"]["name"])["data"]
    for each in container["env"]:
        found[each["name"]] = each.get("value", "")
    return found


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
    assert read.redis_url == "redis://:secret@ebbtide-redis:6379/0"
    assert read.namespace == "ebbtide"
    assert read.admin_token_file == "/etc/ebbtide/admin/tokens"
    different = {
        f.name for f in fields(Settings) if getattr(read, f.name) != getattr(default, f.name)
    }
    made = {"redis_url", "namespace", "admin_token_file", "shutdown_delay", "shutdown_grace"}
    assert different <= made | given.keys()


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


def test_a_gateway_that_scales_leaves_its_replicas_alone(rendered: Rendering) -> None:
    documents = rendered(MATRIX["scaled"])
    assert "replicas" not in only(documents, "Deployment", "ebbtide-gateway")["spec"]
    scaler = only(documents, "HorizontalPodAutoscaler", "ebbtide-gateway")["spec"]
    assert scaler["scaleTargetRef"]["name"] == "ebbtide-gateway"
    assert scaler["metrics"][0]["resource"]["name"] == "cpu"
    assert (
        only(documents, "PodDisruptionBudget", "ebbtide-gateway")["spec"]["maxUnavailable"] == "25%"
    )


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_what_selects_finds_its_pods(values: Values, rendered: Rendering) -> None:
    """Services, budgets and network policies; and each finds one kind of pod alone."""
    documents = rendered(values)
    labels = {
        d["metadata"]["name"]: d["spec"]["template"]["metadata"]["labels"]
        for d in documents
        if d["kind"] in ("Deployment", "StatefulSet")
    }
    selectors = 0
    for document in documents:
        spec = document.get("spec", {})
        selector = {
            "Service": spec.get("selector"),
            "PodDisruptionBudget": spec.get("selector", {}).get("matchLabels")
            if document["kind"] == "PodDisruptionBudget"
            else None,
            "NetworkPolicy": spec.get("podSelector", {}).get("matchLabels"),
        }.get(document["kind"])
        if selector:
            found = [name for name, has in labels.items() if selector.items() <= has.items()]
            assert len(found) == 1, (document["kind"], document["metadata"]["name"], found)
            selectors += 1
    assert selectors >= 3


def test_only_gateways_and_autoscalers_reach_redis(rendered: Rendering) -> None:
    policy = only(rendered(), "NetworkPolicy", "ebbtide-redis")["spec"]
    (rule,) = policy["ingress"]
    peers = [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in rule["from"]
    ]
    assert peers == ["gateway", "autoscaler"]
    assert policy["egress"] == []
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}


@pytest.mark.parametrize(
    ("controller", "key", "value"),
    [
        ("nginx", "nginx.ingress.kubernetes.io/proxy-read-timeout", "1200"),
        ("nginx", "nginx.ingress.kubernetes.io/proxy-body-size", "0"),
        ("nginx", "nginx.ingress.kubernetes.io/proxy-request-buffering", "off"),
        ("haproxy", "haproxy.org/timeout-server", "1200s"),
        ("contour", "projectcontour.io/response-timeout", "1200s"),
        (
            "alb",
            "alb.ingress.kubernetes.io/load-balancer-attributes",
            "idle_timeout.timeout_seconds=1200",
        ),
    ],
)
def test_what_stands_in_front_is_patient(
    controller: str, key: str, value: str, rendered: Rendering
) -> None:
    values: dict[str, Any] = {"ingress": {"enabled": True, "controller": controller}}
    ingress = only(rendered(values), "Ingress", "ebbtide")
    assert ingress["metadata"]["annotations"][key] == value
    values["ingress"]["annotations"] = {key: "mine"}
    mine = only(rendered(values), "Ingress", "ebbtide")
    assert mine["metadata"]["annotations"][key] == "mine"


def test_a_route_is_patient_and_leads_to_the_service(rendered: Rendering) -> None:
    values = {
        "frontTimeoutSeconds": 1_800_000 // 1000,
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}], "hostnames": ["m.example"]},
    }
    documents = rendered(values)
    (rule,) = only(documents, "HTTPRoute", "ebbtide")["spec"]["rules"]
    assert rule["timeouts"] == {"request": "1800s", "backendRequest": "1800s"}
    ports = {p["port"]: p for p in only(documents, "Service", "ebbtide")["spec"]["ports"]}
    (backend,) = rule["backendRefs"]
    assert backend["name"] == "ebbtide"
    # What speaks HTTP/1.1 must not be sent as HTTP/2, which carries gRPC alone.
    assert "appProtocol" not in ports[backend["port"]]


def test_prometheus_finds_every_process(rendered: Rendering) -> None:
    values = {"serviceMonitor": {"enabled": True, "labels": {"release": "p"}, "interval": "30s"}}
    documents = rendered(values)
    monitor = only(documents, "ServiceMonitor", "ebbtide")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    found = [
        each["metadata"]["name"]
        for each in documents
        if each["kind"] == "Service" and wanted <= each["metadata"]["labels"].items()
    ]
    assert sorted(found) == ["ebbtide-autoscaler-admin", "ebbtide-gateway-admin"]
    for name in found:
        ports = {port["name"] for port in only(documents, "Service", name)["spec"]["ports"]}
        assert endpoint["port"] in ports


def test_a_second_release_meets_the_first_nowhere(rendered: Rendering) -> None:
    """In another namespace, under the same name: what belongs to the cluster is not."""

    def names(namespace: str) -> set[tuple[str, str]]:
        return {
            (each["kind"], each["metadata"]["name"])
            for each in rendered(namespace=namespace)
            if each["kind"].startswith(("Cluster", "Validating"))
        }

    one, other = names("one"), names("two")
    assert one
    assert not one & other

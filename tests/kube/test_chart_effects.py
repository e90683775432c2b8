"""What each value of the chart changes in what Helm makes: a value without an effect is a lie."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.kube.chart_values import MATRIX, Rendering, Renders, only

GATEWAY, AUTOSCALER, REDIS = (
    ("Deployment", "ebbtide-gateway"),
    ("Deployment", "ebbtide-autoscaler"),
    ("StatefulSet", "ebbtide-redis"),
)
POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.0"
ROUTE: Mapping[str, Any] = {
    "httpRoute": {
        "enabled": True,
        "timeouts": False,
        "parentRefs": [{"name": "g", "namespace": "front"}],
        "hostnames": ["m.example"],
        "annotations": {"a": "b"},
    }
}
SCALER: Mapping[str, Any] = {
    "gateway": {
        "autoscaling": {
            "enabled": True,
            "minReplicas": 3,
            "maxReplicas": 5,
            "targetCPUUtilizationPercentage": 40,
        }
    }
}
STORED: Mapping[str, Any] = {
    "redis": {
        "maxMemory": "64mb",
        "persistence": {"size": "3Gi", "storageClass": "fast"},
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "9Mi"}},
        "image": {"repository": "example.com/redis", "tag": "7", "pullPolicy": "Always"},
    }
}

MONITORED: Mapping[str, Any] = {"serviceMonitor": {"enabled": True, "interval": "15s"}}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendering:
    return Renders(tmp_path_factory.mktemp("rendered"))


def at(value: Any, path: str) -> Any:
    """What lies there; None where nothing does."""
    for key in path.split("."):
        if isinstance(value, list):
            value = value[int(key)] if int(key) < len(value) else None
        else:
            value = (value or {}).get(key)
    return value


@pytest.mark.parametrize(
    ("which", "path", "expected"),
    [
        # One of two may be lost, and a rollout takes none away before its successor is ready.
        (GATEWAY, "spec.replicas", 2),
        (AUTOSCALER, "spec.replicas", 2),
        (GATEWAY, "spec.strategy.rollingUpdate", {"maxSurge": 1, "maxUnavailable": 0}),
        (("PodDisruptionBudget", "ebbtide-gateway"), "spec.maxUnavailable", 1),
        # Each has an account of its own, and the token of it.
        (GATEWAY, f"{POD}.serviceAccountName", "ebbtide-gateway"),
        (AUTOSCALER, f"{POD}.serviceAccountName", "ebbtide-autoscaler"),
        (REDIS, "spec.volumeClaimTemplates.0.spec.resources.requests.storage", "1Gi"),
        (REDIS, "spec.volumeClaimTemplates.0.spec.storageClassName", None),
        (("Service", "ebbtide"), "spec.type", "ClusterIP"),
        (("Service", "ebbtide"), "spec.ports.1.appProtocol", "kubernetes.io/h2c"),
        *(
            (which, f"{CONTAINER}.{probe}.httpGet.path", path)
            for which in (GATEWAY, AUTOSCALER)
            for probe, path in (
                # One that may not begin yet, or is about to go, is alive: it is not to be killed.
                ("startupProbe", "/healthz"),
                ("livenessProbe", "/healthz"),
                ("readinessProbe", "/readyz"),
            )
        ),
    ],
    ids=str,
)
def test_without_a_word(
    which: tuple[str, str], path: str, expected: object, rendered: Rendering
) -> None:
    assert at(only(rendered(), *which), path) == expected


@pytest.mark.parametrize("which", [GATEWAY, AUTOSCALER], ids=str)
def test_pods_are_apart_from_their_like(which: tuple[str, str], rendered: Rendering) -> None:
    template = only(rendered(), *which)["spec"]["template"]
    constraints = template["spec"]["topologySpreadConstraints"]
    keys = [each["topologyKey"] for each in constraints]
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    for each in constraints:
        assert (
            each["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        )
        assert each["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] in which[1]


@pytest.mark.parametrize(
    ("values", "which", "path", "expected"),
    [
        *(
            (MATRIX["placed"], which, f"{POD}.{key}", value)
            for which in (GATEWAY, AUTOSCALER, REDIS)
            for key, value in MATRIX["placed"]["gateway"].items()
        ),
        *(
            (MATRIX["extended"], which, path, value)
            for which in (GATEWAY, AUTOSCALER)
            for path, value in (
                ("spec.template.metadata.annotations.a", "b"),
                ("spec.template.metadata.labels.c", "d"),
                (f"{POD}.topologySpreadConstraints.0.topologyKey", "rack"),
            )
        ),
        (MATRIX["named"], ("Deployment", "tide-gateway"), "metadata.labels.team", "ml"),
        (
            MATRIX["named"],
            ("Deployment", "tide-gateway"),
            f"{CONTAINER}.image",
            f"example.com/ebbtide@sha256:{'0' * 64}",
        ),
        (
            MATRIX["named"],
            ("Deployment", "tide-autoscaler"),
            f"{POD}.imagePullSecrets",
            [{"name": "pull"}],
        ),
        (
            MATRIX["named"],
            ("ServiceAccount", "tide-gateway"),
            "metadata.annotations",
            {"example.com/a": "b"},
        ),
        (MATRIX["in front"], ("Service", "ebbtide"), "spec.type", "LoadBalancer"),
        (MATRIX["in front"], ("Service", "ebbtide"), "spec.externalTrafficPolicy", "Local"),
        (MATRIX["in front"], ("Service", "ebbtide"), "spec.loadBalancerClass", "example.com/lb"),
        (
            MATRIX["in front"],
            ("Service", "ebbtide"),
            "spec.loadBalancerSourceRanges",
            ["10.0.0.0/8"],
        ),
        (MATRIX["in front"], ("Service", "ebbtide"), "metadata.annotations", {"a": "b"}),
        (MATRIX["in front"], ("Ingress", "ebbtide"), "spec.ingressClassName", "nginx"),
        (MATRIX["in front"], ("Ingress", "ebbtide"), "spec.rules.1.host", "*.models.example.com"),
        (
            MATRIX["in front"],
            ("Ingress", "ebbtide"),
            "spec.tls",
            MATRIX["in front"]["ingress"]["tls"],
        ),
        *(
            (ROUTE, ("HTTPRoute", "ebbtide"), path, value)
            for path, value in (
                ("spec.rules.0.timeouts", None),
                ("spec.parentRefs", ROUTE["httpRoute"]["parentRefs"]),
                ("spec.hostnames", ["m.example"]),
                ("metadata.annotations", {"a": "b"}),
            )
        ),
        *(
            (SCALER, ("HorizontalPodAutoscaler", "ebbtide-gateway"), path, value)
            for path, value in (
                ("spec.minReplicas", 3),
                ("spec.maxReplicas", 5),
                ("spec.metrics.0.resource.target.averageUtilization", 40),
                # A gateway that goes takes as long as its longest request.
                ("spec.behavior.scaleDown.policies.0.value", 1),
            )
        ),
        *(
            (STORED, REDIS, path, value)
            for path, value in (
                ("spec.volumeClaimTemplates.0.spec.resources.requests.storage", "3Gi"),
                ("spec.volumeClaimTemplates.0.spec.storageClassName", "fast"),
                (f"{CONTAINER}.resources", STORED["redis"]["resources"]),
                (f"{CONTAINER}.image", "example.com/redis:7"),
                (f"{CONTAINER}.imagePullPolicy", "Always"),
            )
        ),
        (MATRIX["small"], REDIS, "spec.volumeClaimTemplates", None),
        *(
            (MONITORED, ("ServiceMonitor", "ebbtide"), f"spec.endpoints.0.{key}", value)
            for key, value in (("path", "/metrics"), ("interval", "15s"))
        ),
        *(
            ({"image": {"pullPolicy": "Never"}}, which, f"{CONTAINER}.imagePullPolicy", "Never")
            for which in (GATEWAY, AUTOSCALER)
        ),
    ],
    ids=str,
)
def test_a_value_is_where_it_counts(
    values: Mapping[str, Any],
    which: tuple[str, str],
    path: str,
    expected: object,
    rendered: Rendering,
) -> None:
    assert at(only(rendered(values), *which), path) == expected


@pytest.mark.parametrize("component", ["gateway", "autoscaler"])
def test_what_is_added_to_a_container_stands_beside_its_own(
    component: str, rendered: Rendering
) -> None:
    (own, more) = (
        at(only(rendered(values), "Deployment", f"ebbtide-{component}"), POD)
        for values in ({}, MATRIX["extended"])
    )
    added = MATRIX["extended"][component]
    assert all(each in more["volumes"] for each in (*own["volumes"], *added["extraVolumes"]))
    (before,), (after,) = own["containers"], more["containers"]
    for key, named in (("env", "extraEnv"), ("volumeMounts", "extraVolumeMounts")):
        assert all(each in after[key] for each in (*before[key], *added[named]))


def test_the_chart_s_redis_takes_as_much_as_is_said(rendered: Rendering) -> None:
    conf = only(rendered(STORED), "ConfigMap", "ebbtide-redis")["data"]["redis.conf"]
    assert "\nmaxmemory 64mb\n" in conf


def test_what_is_switched_off_is_not_made(rendered: Rendering) -> None:
    kinds = {each["kind"] for each in rendered(MATRIX["small"])}
    off = ("NetworkPolicy", "PodDisruptionBudget", "Role", "ClusterRole", "RoleBinding")
    assert not kinds & {*off, "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    on = {each["kind"] for each in rendered()}
    assert on >= {*off, "ValidatingAdmissionPolicy"}
    assert not on & {"Ingress", "HTTPRoute", "HorizontalPodAutoscaler", "ServiceMonitor"}


def test_requests_come_from_whom_is_named(rendered: Rendering) -> None:
    for values in ({}, MATRIX["guarded"]):
        named = values.get("networkPolicy", {}).get("requestsFrom")
        rules = only(rendered(values), "NetworkPolicy", "ebbtide-gateway")["spec"]["ingress"]
        (rule,) = (each for each in rules if each["ports"][0] == {"port": "http"})
        assert rule.get("from") == named


def test_with_egress_they_reach_what_they_need_and_no_more(rendered: Rendering) -> None:
    """Names, pods of every namespace (replicas, Redis), the API server, a Redis elsewhere."""
    guarded = MATRIX["guarded"]["networkPolicy"]
    for component in ("gateway", "autoscaler"):
        policy = only(rendered(MATRIX["guarded"]), "NetworkPolicy", f"ebbtide-{component}")["spec"]
        assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
        assert policy["egress"] == [
            {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
            {"to": [{"namespaceSelector": {}}]},
            {"ports": [{"port": 443}, {"port": 6443}]},
            {"to": guarded["redisTo"]},
        ]
        plain = only(rendered(), "NetworkPolicy", f"ebbtide-{component}")["spec"]
        assert plain["policyTypes"] == ["Ingress"]


def test_marks_of_another_ebbtide_elsewhere_are_none_of_its_business(rendered: Rendering) -> None:
    name = "ebbtide-ebbtide-drain-marks"
    everywhere = only(rendered(), "ValidatingAdmissionPolicyBinding", name)
    assert at(everywhere, "spec.matchResources.namespaceSelector") is None
    some = only(rendered(MATRIX["namespaces"]), "ValidatingAdmissionPolicyBinding", name)
    (which,) = at(some, "spec.matchResources.namespaceSelector.matchExpressions")
    assert (which["operator"], which["values"]) == ("In", ["team-a", "team-b"])

"""The chart, rendered by Helm 4 and Helm 3 over a matrix of values, and read by the API server."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kube.chart import CHART, HelmError, apply, helm, render
from tests.kube.chart_values import MATRIX, WRONG, Rendering, Renders, Values, only
from tests.kube.plane import ControlPlane

HELMS = ("helm", "helm3")


class OnceOnly(yaml.SafeLoader):
    """Refuses a key that is there twice, as some readers do."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep=deep)
        if len(found) != len(node.value):
            raise ValueError(f"twice in {sorted(map(str, found))}")
        return found


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendering:
    return Renders(tmp_path_factory.mktemp("rendered"))


@pytest.fixture(scope="module")
def crowd(control_plane: ControlPlane) -> Iterator[str]:
    """The namespaces that the matrix speaks of."""
    names = ("ebbtide", "team-a", "team-b", "8")
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


@pytest.mark.parametrize("release", ["2nd", "of.ours"])
def test_a_release_whose_name_no_service_may_have_is_told_of_one(
    release: str, rendered: Rendering
) -> None:
    with pytest.raises(HelmError, match="fullnameOverride"):
        rendered(release=release)
    documents = rendered({"fullnameOverride": "second"}, release=release)
    assert only(documents, "Service", "second")


def test_a_key_is_written_once_and_the_version_of_a_build_is_a_label(tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    about = chart / "Chart.yaml"
    about.write_text(about.read_text().replace("0.1.0", "0.1.0+4f2a"))
    values = {
        "commonLabels": {"team": "ml", "app.kubernetes.io/managed-by": "us"},
        "gateway": {"podLabels": {"team": "web"}},
    }
    (tmp_path / "values.json").write_text(json.dumps(values))
    text = helm("template", "t", str(chart), "--values", str(tmp_path / "values.json"))
    documents = [each for each in yaml.load_all(text, Loader=OnceOnly) if each]
    gateway = only(documents, "Deployment", "t-ebbtide-gateway")
    assert gateway["metadata"]["labels"]["helm.sh/chart"] == "ebbtide-0.1.0_4f2a"
    assert gateway["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "us"
    assert gateway["spec"]["template"]["metadata"]["labels"]["team"] == "web"


@pytest.mark.parametrize("program", HELMS)
def test_helm_has_nothing_against_it(program: str) -> None:
    assert "0 chart(s) failed" in helm("lint", str(CHART), program=program)


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


@pytest.mark.parametrize("component", ["gateway", "autoscaler"])
def test_the_admin_port_is_for_its_own_namespace_and_who_is_named(
    component: str, rendered: Rendering
) -> None:
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "watch"}}}]
    for named in ([], peers):
        documents = rendered({"networkPolicy": {"adminFrom": named}})
        ingress = only(documents, "NetworkPolicy", f"ebbtide-{component}")["spec"]["ingress"]
        (rule,) = (rule for rule in ingress if rule["ports"][0] == {"port": "admin"})
        assert rule["from"] == [{"podSelector": {}}, *named]


def test_in_an_ambient_mesh_its_port_is_open_to_the_same_peers(rendered: Rendering) -> None:
    peers = [{"namespaceSelector": {"matchLabels": {"team": "web"}}}]
    values = {"networkPolicy": {"ambient": True, "requestsFrom": peers}}
    probes = {"ports": [{"port": "admin"}], "from": [{"ipBlock": {"cidr": "169.254.7.127/32"}}]}
    for component in ("gateway", "autoscaler", "redis"):
        name = f"ebbtide-{component}"
        plain = only(rendered({"networkPolicy": {"requestsFrom": peers}}), "NetworkPolicy", name)
        meshed = only(rendered(values), "NetworkPolicy", name)["spec"]["ingress"]
        opened = [
            {**rule, "ports": [*rule["ports"], {"port": 15008}]}
            for rule in plain["spec"]["ingress"]
        ]
        assert meshed == opened + ([] if component == "redis" else [probes])


@pytest.mark.parametrize(
    ("controller", "kind", "key", "value"),
    [
        ("nginx", "Ingress", "nginx.ingress.kubernetes.io/backend-protocol", "HTTPS"),
        ("haproxy", "Ingress", "haproxy.org/server-ssl", "true"),
        ("alb", "Ingress", "alb.ingress.kubernetes.io/backend-protocol", "HTTPS"),
        ("alb", "Ingress", "alb.ingress.kubernetes.io/healthcheck-protocol", "HTTPS"),
        ("contour", "Service", "projectcontour.io/upstream-protocol.tls", "http"),
    ],
)
def test_what_stands_in_front_of_a_gateway_with_tls_speaks_it(
    controller: str, kind: str, key: str, value: str, rendered: Rendering
) -> None:
    values: dict[str, Any] = {"ingress": {"enabled": True, "controller": controller}}
    plain = only(rendered(values), kind, "ebbtide")["metadata"]
    assert key not in plain.get("annotations", {})
    values["gateway"] = {"tls": {"secretName": "certificate"}}
    assert only(rendered(values), kind, "ebbtide")["metadata"]["annotations"][key] == value


@pytest.mark.parametrize(
    ("controller", "key", "value"),
    [
        ("alb", "alb.ingress.kubernetes.io/target-type", "ip"),
        ("alb", "alb.ingress.kubernetes.io/healthcheck-path", "/v2/health/ready"),
        ("nginx", "nginx.ingress.kubernetes.io/proxy-read-timeout", "1200"),
        ("nginx", "nginx.ingress.kubernetes.io/proxy-body-size", "0"),
        ("nginx", "nginx.ingress.kubernetes.io/proxy-send-timeout", "1200"),
        ("nginx", "nginx.ingress.kubernetes.io/proxy-request-buffering", "off"),
        ("nginx", "nginx.ingress.kubernetes.io/proxy-buffering", "off"),
        ("nginx", "nginx.ingress.kubernetes.io/proxy-next-upstream", "off"),
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


def test_a_route_is_patient_in_as_many_digits_as_it_may_write(rendered: Rendering) -> None:
    route = {"enabled": True, "parentRefs": [{"name": "g"}]}
    for seconds, said in ((99_999, "99999s"), (100_000, "27h2800s"), (604_800, "168h0s")):
        documents = rendered({"frontTimeoutSeconds": seconds, "httpRoute": route})
        (rule,) = only(documents, "HTTPRoute", "ebbtide")["spec"]["rules"]
        assert set(rule["timeouts"].values()) == {said}


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

"""What the chart's two accounts cannot do: by its admission policies, and for want of a right."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fleet.cluster.kubernetes.drainmark import DRAINING, OVER
from fleet.kubernetes.api import Api
from fleet.kubernetes.permissions import Component
from fleet.leases.leader import LEADER_LEASE
from fleet.names import RevisionName
from fleet.reasons import Reason
from tests.kube.admin import Admin, RefusedError
from tests.kube.clusters import kubernetes_cluster
from tests.kube.granted import RBAC, Granted, granting
from tests.kube.objects import deployment
from tests.kube.plane import ControlPlane
from tests.kube.stand import again, soon

COST = "controller.kubernetes.io/pod-deletion-cost"


@pytest.fixture(scope="module")
def granted(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Granted]:
    with granting(control_plane, tmp_path_factory.mktemp("policies")) as found:
        yield found


@pytest.fixture
def gateway(granted: Granted) -> Iterator[Admin]:
    with closing(granted.account(Component.GATEWAY)) as account:
        yield account


@pytest.fixture
def autoscaler(granted: Granted) -> Iterator[Admin]:
    with closing(granted.account(Component.AUTOSCALER)) as account:
        yield account


@pytest.mark.parametrize(("before", "after"), [(0, 1)])
def test_a_gateway_wakes(granted: Granted, gateway: Admin, before: int, after: int) -> None:
    path = granted.make(f"wakes-{before}-{after}", replicas=before)
    gateway.patch(f"{path}/scale", {"spec": {"replicas": after}})
    assert granted.admin.get(path)["spec"]["replicas"] == after


@pytest.mark.parametrize(
    ("before", "after"), [(1, 5), (1, 0), (0, 2), (0, 1000), (2, 1), (5, 0), (1, 2), (1, 1), (0, 0)]
)
def test_a_gateway_does_nothing_else_to_a_scale(
    granted: Granted, gateway: Admin, before: int, after: int
) -> None:
    path = granted.make(f"stays-{before}-{after}", replicas=before)
    with pytest.raises(RefusedError, match="a gateway only wakes") as refused:
        gateway.patch(f"{path}/scale", {"spec": {"replicas": after}})
    assert refused.value.status == 403
    assert granted.admin.get(path)["spec"]["replicas"] == before


def test_a_gateway_does_nothing_to_the_deployment_itself(granted: Granted, gateway: Admin) -> None:
    path = granted.make("untouched")
    for change in (
        {"spec": {"replicas": 1}},
        {"metadata": {"annotations": {"ebbtide.dev/draining": "{}"}}},
    ):
        with pytest.raises(RefusedError, match="cannot patch resource"):
            gateway.patch(path, change)


@pytest.mark.parametrize("verb", ["create", "update"])
def test_a_gateway_never_takes_the_lead(granted: Granted, gateway: Admin, verb: str) -> None:
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{granted.own}/leases"
    granted.admin.delete(f"{leases}/{LEADER_LEASE}")
    lease = {"metadata": {"name": LEADER_LEASE}, "spec": {"holderIdentity": "me"}}
    if verb == "create":
        with pytest.raises(RefusedError, match="never the leader's"):
            gateway.post(leases, lease)
    else:
        stolen = {**granted.admin.post(leases, lease), "spec": {"holderIdentity": "you"}}
        with pytest.raises(RefusedError, match="never the leader's"):
            gateway.put(f"{leases}/{LEADER_LEASE}", stolen)
    granted.admin.delete(f"{leases}/{LEADER_LEASE}")


def own_lease(pod: str, *, name: str = "", of: str = "") -> dict[str, Any]:
    notes = {"ebbtide.dev/gateway": of} if of else {}
    found = {"name": name or f"ebbtide-gateway-pod-{pod}", "annotations": notes}
    return {"metadata": found, "spec": {"holderIdentity": pod}}


def test_a_gateway_writes_only_the_lease_of_its_own_pod(granted: Granted, gateway: Admin) -> None:
    pods = f"/api/v1/namespaces/{granted.own}/pods"
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{granted.own}/leases"
    container = {"name": "gateway", "image": "docker.io/local/none:1"}
    spec = {"serviceAccountName": "ebbtide-gateway", "containers": [container]}
    for name in ("one", "two"):
        granted.admin.post(pods, {"metadata": {"name": name}, "spec": spec})
    token = granted.plane.account_token(granted.own, "ebbtide-gateway", pod="one")
    with closing(granted.plane.bearer(token)) as one:
        made = one.post(leases, own_lease("one", of=f"{granted.own}/one"))
        path = f"{leases}/ebbtide-gateway-pod-one"
        made = one.put(path, {**made, "spec": {"holderIdentity": "again"}})
        posing = {**made["metadata"], "annotations": {"ebbtide.dev/gateway": f"{granted.own}/two"}}
        for wrong in (posing, {**made["metadata"], "annotations": {}}):
            with pytest.raises(RefusedError, match="only its own Lease") as refused:
                one.put(path, {**made, "metadata": wrong})
            assert refused.value.status == 403
        # By a token that is bound to no pod, as one outside has: two's is there.
        theirs = gateway.post(leases, own_lease("two", of=f"{granted.own}/two"))
        for change in ({"spec": {"holderIdentity": ""}}, {"metadata": theirs["metadata"]}):
            with pytest.raises(RefusedError, match="only its own Lease"):
                one.put(f"{leases}/ebbtide-gateway-pod-two", {**theirs, **change})
        for name in ("ebbtide-gateway-pod-three", "ebbtide-gateway-0123456789abcdef"):
            with pytest.raises(RefusedError, match="only its own Lease"):
                one.post(leases, own_lease("one", name=name, of=f"{granted.own}/one"))
    for name in ("one", "two"):
        granted.admin.delete(f"{leases}/ebbtide-gateway-pod-{name}")
        granted.admin.delete(f"{pods}/{name}", grace_s=0)


def test_the_autoscaler_scales_and_marks(granted: Granted, autoscaler: Admin) -> None:
    path = granted.make("scaled")
    for count in (3, 1, 0):
        autoscaler.patch(f"{path}/scale", {"spec": {"replicas": count}})
        assert granted.admin.get(path)["spec"]["replicas"] == count
    for mark in ('{"number": 1, "term": 1, "replicas": []}', None):
        autoscaler.patch(path, {"metadata": {"annotations": {"ebbtide.dev/draining": mark}}})


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}},
        {"spec": {"template": {"spec": {"containers": [{"name": "model", "image": "other"}]}}}},
        {"spec": {"replicas": 3}},
        {"spec": {"paused": True}},
        {"metadata": {"annotations": {"example.com/owner": "me"}}},
        {"metadata": {"annotations": {"example.com/owner": None}}},
        {"metadata": {"annotations": {"example.com/new": "x"}}},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"finalizers": ["example.com/mine"]}},
        {
            "metadata": {
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]
            }
        },
    ],
    ids=str,
)
def test_the_autoscaler_changes_nothing_else_of_a_deployment(
    granted: Granted, autoscaler: Admin, change: dict[str, Any]
) -> None:
    path = f"/apis/apps/v1/namespaces/{granted.models}/deployments/kept"
    try:
        granted.admin.get(path)
    except RefusedError:
        granted.make("kept", replicas=1)
    with pytest.raises(RefusedError, match="changes nothing of a Deployment but"):
        autoscaler.patch(path, change)
    # Neither together with what it may.
    notes = {**change.get("metadata", {}).get("annotations", {}), "ebbtide.dev/draining": "{}"}
    both = {**change, "metadata": {**change.get("metadata", {}), "annotations": notes}}
    with pytest.raises(RefusedError, match="changes nothing of a Deployment but"):
        autoscaler.patch(path, both)


def test_the_autoscaler_prices_pods_and_no_more(granted: Granted, autoscaler: Admin) -> None:
    pods = f"/api/v1/namespaces/{granted.models}/pods"
    container = {"name": "c", "image": "docker.io/local/none:1"}
    granted.admin.post(pods, {"metadata": {"name": "priced"}, "spec": {"containers": [container]}})
    path = f"{pods}/priced"
    for cost in ("-2147483648", None):
        autoscaler.patch(path, {"metadata": {"annotations": {COST: cost}}})
    for change in (
        {"metadata": {"annotations": {"a": "b"}}},
        {"metadata": {"annotations": {COST: "1", "a": "b"}}},
        {"metadata": {"labels": {"app": "other"}}},
        {
            "spec": {
                "containers": [{**granted.admin.get(path)["spec"]["containers"][0], "image": "i"}]
            }
        },
        {"spec": {"activeDeadlineSeconds": 1}},
    ):
        with pytest.raises(RefusedError, match="changes nothing of a pod but"):
            autoscaler.patch(path, change)
    granted.admin.delete(path, grace_s=0)


def event(name: str, namespace: str, *, by: str, kind: str = "Deployment") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": by,
        "reportingInstance": "one",
        "action": "woken",
        "reason": "TriggeredScaleUp",
        "type": "Normal",
        "note": "said",
        "regarding": {"kind": kind, "namespace": namespace, "name": "a", "uid": "u"},
    }


@pytest.mark.parametrize("component", list(Component))
def test_each_tells_events_of_its_own_about_deployments_alone(
    granted: Granted, component: Component
) -> None:
    events = f"/apis/events.k8s.io/v1/namespaces/{granted.models}/events"
    ours, other = f"ebbtide.dev/{component.value}", f"{component.value}-other"
    again = {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}}
    granted.admin.post(events, event(other, granted.models, by="kubelet", kind="Pod"))
    with closing(granted.account(component)) as account:
        made = account.post(events, event(component.value, granted.models, by=ours))
        account.patch(f"{events}/{made['metadata']['name']}", again)
        for wrong in (
            event("forged", granted.models, by="cluster-autoscaler"),
            event("forged", granted.models, by=ours, kind="Pod"),
            event("forged", granted.models, by="cluster-autoscaler", kind="Pod"),
        ):
            with pytest.raises(RefusedError, match="only Events of its own") as refused:
                account.post(events, wrong)
            assert refused.value.status == 403
        with pytest.raises(RefusedError, match="only Events of its own"):
            account.patch(f"{events}/{other}", again)
    for name in (component.value, other):
        granted.admin.delete(f"{events}/{name}")


@pytest.mark.parametrize("component", list(Component))
def test_neither_reads_a_secret_nor_much_else(granted: Granted, component: Component) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}}
    for namespace in (granted.own, granted.models):
        path = f"/api/v1/namespaces/{namespace}/secrets/hidden"
        granted.admin.apply(path, {**secret, "stringData": {"a": "b"}})
    with closing(granted.account(component)) as account:
        for path in (
            *(f"/api/v1/namespaces/{each}/secrets" for each in (granted.own, granted.models)),
            *(
                f"/api/v1/namespaces/{each}/secrets/hidden"
                for each in (granted.own, granted.models)
            ),
            "/api/v1/secrets",
            "/api/v1/configmaps",
            f"/api/v1/namespaces/{granted.models}/pods/any/log",
            f"/api/v1/namespaces/{granted.models}/pods/any/exec",
            f"/api/v1/namespaces/{granted.models}/serviceaccounts",
            f"{RBAC}/clusterroles",
            "/api/v1/namespaces",
        ):
            with pytest.raises(RefusedError, match="forbidden") as refused:
                account.get(path)
            assert refused.value.status == 403
        with pytest.raises(RefusedError, match="forbidden"):
            account.delete(f"/api/v1/namespaces/{granted.models}/pods")
        with pytest.raises(RefusedError, match="forbidden"):
            account.post(
                f"/api/v1/namespaces/{granted.own}/serviceaccounts/default/token",
                {"spec": {"expirationSeconds": 3600}},
            )


FORGED = '{"number": 9007199254740992, "term": 1, "replicas": []}'


@pytest.mark.parametrize("way", ["", "/status"])
def test_nobody_else_writes_the_drain_mark(granted: Granted, autoscaler: Admin, way: str) -> None:
    path = granted.make(f"unmarked{way.replace('/', '-')}", replicas=1)
    forged = {"metadata": {"annotations": {"ebbtide.dev/draining": FORGED}}}
    with pytest.raises(RefusedError, match="written by the autoscaler alone") as refused:
        granted.admin.patch(f"{path}{way}", forged)
    assert refused.value.status == 403
    own = {"ebbtide.dev/draining": '{"number": 1, "term": 1, "replicas": []}'}
    autoscaler.patch(path, {"metadata": {"annotations": own}})
    with pytest.raises(RefusedError, match="written by the autoscaler alone"):
        granted.admin.patch(f"{path}{way}", forged)
    # Everything else goes on while it is there, and it may be taken away.
    granted.admin.patch(path, {"metadata": {"labels": {"a": "b"}}, "spec": {"paused": True}})
    assert granted.admin.get(path)["metadata"]["annotations"].items() >= own.items()
    granted.admin.patch(path, {"metadata": {"annotations": {"ebbtide.dev/draining": None}}})
    assert "ebbtide.dev/draining" not in granted.admin.get(path)["metadata"]["annotations"]


def test_what_was_drained_once_can_be_rolled_back(granted: Granted, autoscaler: Admin) -> None:
    """As `kubectl rollout undo` does it: template and annotations as the ReplicaSet has them."""
    path = granted.make("undone", replicas=1)
    sets = f"/apis/apps/v1/namespaces/{granted.models}/replicasets"

    def own(listed: dict[str, Any]) -> list[dict[str, Any]]:
        return [one for one in listed["items"] if one["metadata"]["name"].startswith("undone-")]

    (first,) = own(granted.admin.until(sets, lambda listed: own(listed)))
    copy = f"{sets}/{first['metadata']['name']}"
    for mark in ('{"number": 1, "term": 1, "replicas": []}', OVER):
        autoscaler.patch(path, {"metadata": {"annotations": {DRAINING: mark}}})
        granted.admin.until(
            copy, lambda one, mark=mark: one["metadata"]["annotations"].get(DRAINING) == mark
        )
    second = {"metadata": {"annotations": {"edition": "second"}}}
    granted.admin.patch(path, {"spec": {"template": second}})
    # Whoever likes tidies up.
    granted.admin.patch(path, {"metadata": {"annotations": {DRAINING: None}}})
    granted.admin.until(sets, lambda listed: len(own(listed)) == 2)
    kept = granted.admin.get(copy)
    notes = {key: text for key, text in kept["metadata"]["annotations"].items() if "ebbtide" in key}
    undo = [
        {"op": "replace", "path": "/spec/template", "value": kept["spec"]["template"]},
        {"op": "replace", "path": "/metadata/annotations", "value": notes},
    ]
    granted.admin.patch(path, undo, content_type="application/json-patch+json")
    template = granted.admin.get(path)["spec"]["template"]
    assert "annotations" not in template["metadata"]


def test_no_deployment_is_born_with_a_drain_mark(granted: Granted) -> None:
    deployments = f"/apis/apps/v1/namespaces/{granted.models}/deployments"
    for template in (False, True):
        made = deployment("born", granted.models, annotations={"model": "born"})
        holder = made["spec"]["template"] if template else made
        holder["metadata"].setdefault("annotations", {})["ebbtide.dev/draining"] = FORGED
        if template:
            granted.admin.post(deployments, made, dry=True)
            continue
        with pytest.raises(RefusedError, match="written by the autoscaler alone"):
            granted.admin.post(deployments, made, dry=True)


def test_others_are_none_of_these_policies_business(granted: Granted) -> None:
    path = granted.make("others", replicas=1)
    granted.admin.patch(f"{path}/scale", {"spec": {"replicas": 5}})
    granted.admin.patch(path, {"metadata": {"labels": {"a": "b"}}})


@pytest.mark.anyio
@pytest.mark.parametrize("component", list(Component))
async def test_rights_in_some_namespaces_are_enough_for_these(
    control_plane: ControlPlane, component: Component, tmp_path: Path
) -> None:
    """All is seen there, a model is woken, and elsewhere nothing may be asked; nor for nodes."""
    with granting(control_plane, tmp_path, narrow=True) as narrow:
        path = narrow.make("asleep")
        name = RevisionName(f"{narrow.models}/asleep")
        token = narrow.tokens[component]
        kubeconfig = control_plane.kubeconfig_for(token, name=component.value)
        async with (
            await Api.open(str(kubeconfig)) as api,
            kubernetes_cluster(api, namespaces=[narrow.models]) as cluster,
        ):
            await soon(lambda: name in cluster.fleet().revisions)
            assert cluster.lacking() == {}
            await again(
                lambda: cluster.scale(
                    name, 1, expect=cluster.fleet().revisions[name].version, reason=Reason.DEMAND
                )
            )
        assert narrow.admin.get(path)["spec"]["replicas"] == 1
        with closing(narrow.account(component)) as account:
            for elsewhere in (
                "/apis/apps/v1/deployments",
                "/apis/apps/v1/namespaces/default/deployments",
                f"/apis/apps/v1/namespaces/{narrow.own}/deployments",
                "/api/v1/namespaces/default/pods",
                "/api/v1/nodes",
            ):
                with pytest.raises(RefusedError, match="forbidden"):
                    account.get(elsewhere)

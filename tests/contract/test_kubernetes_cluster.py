"""What only a real API server can show: what others write there, and what it refuses."""

import asyncio

import pytest

from fleet.errors import ForbiddenError, GoneError
from fleet.kubernetes.api import Api
from fleet.model import Phase
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from tests.fakes import local
from tests.fakes.local import until
from tests.kube.clusters import kubernetes_cluster
from tests.kube.site import READ, mark, opened, scale, soon

pytestmark = pytest.mark.anyio
SOME = (
    {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": READ},
    {"apiGroups": [""], "resources": ["pods"], "verbs": READ},
    {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]},
)


async def test_annotations_may_change_while_it_runs(site):
    site.make("a")
    async with site.cluster(kubelet=False) as cluster:
        a = site.named("a")
        site.annotate("a", max_replicas="3")
        await until(cluster, lambda fleet: fleet.revisions[a].policy.max_replicas == 3)
        site.annotate("a", max_replicas="many")
        fleet = await until(cluster, lambda fleet: a not in fleet.revisions)
        assert any("max-replicas" in str(problem) for problem in fleet.problems)
        site.annotate("a", max_replicas="4")
        fleet = await until(cluster, lambda fleet: a in fleet.revisions)
        assert not any("max-replicas" in str(problem) for problem in fleet.problems)
        site.annotate("a", **dict.fromkeys(["max_replicas", "model", "runtime", "allow"]))
        await until(cluster, lambda fleet: a not in fleet.revisions)


async def test_a_contested_name_stays_with_the_elder_and_goes_to_the_younger_once_it_is_gone(site):
    site.make("elder", annotations={"model": "shared"})
    await asyncio.sleep(1.1)  # creationTimestamp counts in seconds
    site.make("a", annotations={"model": "shared"})
    elder, younger = site.named("elder"), site.named("a")
    async with site.cluster(kubelet=False) as cluster:
        assert list(cluster.fleet().revisions) == [elder]
        with pytest.raises(GoneError):
            await cluster.scale(younger, 1, expect="1", reason=Reason.DEMAND)
        site.admin.delete(site.path("elder"))
        await until(cluster, lambda fleet: list(fleet.revisions) == [younger])


async def test_a_deployment_deleted_while_somebody_waits_is_gone_from_the_next_snapshot(site):
    site.make("a")
    async with site.cluster() as cluster:
        a = site.named("a")
        await scale(cluster, a, 1)
        told = []
        cluster.subscribe(told.append)
        site.admin.delete(site.path("a"))
        await until(cluster, lambda fleet: a not in fleet.revisions)
        await until(cluster, lambda fleet: not fleet.of(a))
        assert a not in told[-1].revisions


async def test_a_rollout_is_seen_as_one_and_a_paused_one_stays_as_it_is(site):
    site.make("a", replicas=1)
    async with site.cluster() as cluster:
        a = site.named("a")
        fleet = await until(cluster, opened(a))
        old = fleet.of(a)[0]
        seen = []
        cluster.subscribe(lambda fleet: seen.append(fleet.revisions[a].settled))
        (container,) = site.spec("a")["template"]["spec"]["containers"]
        container["image"] = "tiny:2"
        site.patch("a", spec={"template": {"spec": {"containers": [container]}}})

        def renewed(fleet):
            names = [replica.name for replica in fleet.of(a)]
            return old.name not in names and opened(a)(fleet)

        fleet = await until(cluster, lambda fleet: renewed(fleet) and fleet.revisions[a].settled)
        assert fleet.of(a)[0].template == fleet.revisions[a].template != old.template
        assert False in seen
        now, template = fleet.of(a)[0], fleet.revisions[a].template
        container["image"] = "tiny:3"
        site.patch("a", spec={"paused": True, "template": {"spec": {"containers": [container]}}})
        fleet = await until(cluster, lambda fleet: fleet.revisions[a].template != template)
        await scale(cluster, a, 2)
        fleet = await until(cluster, opened(a, 2))
        assert now.name in {replica.name for replica in fleet.of(a)}
        # Nothing is rolled out: those of the old template are what new ones are made as.
        assert all(each.template == fleet.revisions[a].template for each in fleet.of(a))
        await until(cluster, lambda fleet: fleet.revisions[a].settled)


def no_pods(site) -> str:
    """A quota that refuses every pod; its path."""
    path = f"/api/v1/namespaces/{site.namespace}/resourcequotas"
    site.admin.post(path, {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}})
    site.admin.until(f"{path}/none", lambda found: "hard" in found.get("status", {}))
    return f"{path}/none"


async def test_a_quota_that_refuses_pods_is_told_in_its_own_words(site):
    no_pods(site)
    site.make("a")
    async with site.cluster(kubelet=False) as cluster:
        a = site.named("a")
        await scale(cluster, a, 1)
        fleet = await until(cluster, lambda fleet: fleet.of(a))
        (replica,) = fleet.of(a)
        assert (replica.phase, replica.reason) == (Phase.PENDING, Reason.FAILED_CREATE)
        assert "exceeded quota" in replica.message
        # It has no pod: it can be marked all the same, and nothing is written on pods.
        await mark(cluster, a, replica.name)
        drain = cluster.fleet().revisions[a].drain
        assert drain is not None
        assert drain.replicas == frozenset()
        await scale(cluster, a, 0)
        await until(cluster, lambda fleet: not fleet.of(a))


async def test_a_paused_deployment_is_refused_pods_now_and_not_for_ever(site):
    """Its controller leaves the condition as it is: nobody tells there that a refusal is over."""
    quota = no_pods(site)
    site.make("a")
    async with site.cluster() as cluster:
        a = site.named("a")
        await scale(cluster, a, 1)
        await until(cluster, lambda fleet: any(not each.made for each in fleet.of(a)))
        site.patch("a", spec={"paused": True})
        site.admin.delete(quota)
        await until(cluster, lambda fleet: any(each.made for each in fleet.of(a)))
        await scale(cluster, a, 0)
        await until(cluster, lambda fleet: not fleet.of(a))
        conditions = site.admin.get(site.path("a"))["status"]["conditions"]
        assert ("ReplicaFailure", "True") in {(one["type"], one["status"]) for one in conditions}
        seen = []
        cluster.subscribe(lambda fleet: seen.extend(fleet.of(a)))
        await scale(cluster, a, 1)
        await until(cluster, lambda fleet: fleet.of(a) and fleet.of(a)[0].made)
        assert [each for each in seen if not each.made] == []
        await scale(cluster, a, 0)
        await until(cluster, lambda fleet: not fleet.of(a))
        no_pods(site)
        await scale(cluster, a, 1)
        fleet = await until(cluster, lambda fleet: fleet.of(a))
        (replica,) = fleet.of(a)
        assert (replica.phase, replica.reason) == (Phase.PENDING, Reason.FAILED_CREATE)


async def test_replicas_are_named_by_pods(site):
    site.make("a")
    async with site.cluster() as cluster:
        a = site.named("a")
        await scale(cluster, a, 1)
        fleet = await until(cluster, opened(a))
        (pod,) = site.admin.get(site.pods)["items"]
        assert fleet.of(a)[0].name == ReplicaName(f"{site.namespace}/{pod['metadata']['name']}")


async def test_only_the_namespaces_of_the_setting_are_watched(site):
    site.make("a")
    other = local.manifest("z")
    site.admin.post("/apis/apps/v1/namespaces/default/deployments", other)
    try:
        async with site.cluster(kubelet=False) as cluster:
            assert list(cluster.fleet().revisions) == [site.named("a")]
            # Who else holds GPUs there is not seen: what is free is not known by node.
            assert cluster.fleet().nodes == ()
            assert "nodes" not in cluster.lacking()
        async with (
            await Api.open(str(site.plane.kubeconfig)) as api,
            kubernetes_cluster(api) as cluster,
        ):
            assert set(cluster.fleet().revisions) >= {
                site.named("a"),
                RevisionName("default/z"),
            }
            assert cluster.fleet().nodes
        async with (
            await Api.open(str(site.plane.kubeconfig)) as api,
            kubernetes_cluster(api, namespaces=["default", site.namespace]) as cluster,
        ):
            assert {"default/z", site.named("a")} <= set(cluster.fleet().revisions)
    finally:
        site.admin.delete("/apis/apps/v1/namespaces/default/deployments/z")


async def test_without_some_rights_it_goes_on_and_says_what_is_lost(site, caplog):
    site.make("a")
    kubeconfig = site.grant(*SOME, everywhere=True)
    async with (
        await Api.open(str(kubeconfig)) as api,
        kubernetes_cluster(api) as cluster,
    ):
        a = site.named("a")
        assert a in cluster.fleet().revisions
        assert cluster.fleet().nodes == ()
        await soon(lambda: cluster.cut_since is None)
        await soon(lambda: {*cluster.lacking()} >= {"nodes", "events", "horizontalpodautoscalers"})
        lacking = cluster.lacking()
        assert all(isinstance(error, ForbiddenError) for error in lacking.values())
        assert "cannot list resource" in str(lacking["nodes"])
        await scale(cluster, a, 1)
        assert site.spec("a")["replicas"] == 1
        with pytest.raises(ForbiddenError, match="cannot patch resource"):
            await mark(cluster, a)
    said = [line.message for line in caplog.records if "not_permitted" in line.message]
    assert any("what=nodes" in line and "EBBTIDE_GPU_BUDGET" in line for line in said)


async def test_roles_in_its_namespace_are_enough(site):
    site.make("a")
    kubeconfig = site.grant(*SOME)
    async with site.cluster(kubeconfig=kubeconfig, kubelet=False) as cluster:
        a = site.named("a")
        await scale(cluster, a, 1)
        await until(cluster, lambda fleet: fleet.of(a))


async def test_without_rights_to_deployments_there_is_no_fleet_at_all(site):
    kubeconfig = site.grant()
    async with site.cluster(kubeconfig=kubeconfig, kubelet=False, wait=False) as cluster:
        await soon(lambda: "deployments" in cluster.lacking())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await cluster.known()
        assert cluster.fleet().number == 0

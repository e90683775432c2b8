"""What only a real API server can show: who else writes, what it refuses, how it goes away."""

import asyncio
import contextlib
import json
import logging

import pytest

from fleet.errors import ConflictError, ForbiddenError, GoneError, UnavailableError
from fleet.kubernetes.api import Api, ExpiredError
from fleet.model import Drain, Phase
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from tests.fakes import local
from tests.fakes.local import until
from tests.kube.admin import write_kubeconfig
from tests.kube.cable import Cable
from tests.kube.clusters import kubernetes_cluster, running
from tests.kube.kubelet import Kubelet

pytestmark = pytest.mark.anyio

COST = "controller.kubernetes.io/pod-deletion-cost"


class Site:
    """A namespace of the control plane, and what an operator does there."""

    def __init__(self, plane, namespace):
        self.plane, self.admin, self.namespace = plane, plane.admin, namespace
        self.pods = f"/api/v1/namespaces/{namespace}/pods"

    def named(self, name):
        return RevisionName(f"{self.namespace}/{name}")

    def path(self, name=""):
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}".rstrip("/")

    def make(self, name, *, gpus=1, **how):
        document = local.manifest(name, gpus=gpus, **how)
        document["metadata"]["namespace"] = self.namespace
        return self.admin.post(self.path(), document)

    def patch(self, name, **fields):
        return self.admin.patch(self.path(name), fields)

    def annotate(self, name, **annotations):
        found = {f"ebbtide.dev/{key.replace('_', '-')}": text for key, text in annotations.items()}
        return self.patch(name, metadata={"annotations": found})

    def spec(self, name):
        return self.admin.get(self.path(name))["spec"]

    @contextlib.asynccontextmanager
    async def cluster(self, *, kubeconfig=None, kubelet=True, **how):
        async with (
            await Api.open(str(self.plane.kubeconfig)) as own,
            await Api.open(str(kubeconfig or self.plane.kubeconfig)) as api,
            running(*([Kubelet(own).run()] if kubelet else [])),
            kubernetes_cluster(api, namespaces=[self.namespace], **how) as cluster,
        ):
            yield cluster


@pytest.fixture
def site(control_plane, namespace, nodes):
    nodes(gpus=4)
    return Site(control_plane, namespace)


@pytest.fixture(autouse=True)
def _log(caplog):
    caplog.set_level(logging.INFO, logger="ebbtide")


def opened(revision, count=1):
    """Whether so many replicas may be sent to."""
    return lambda fleet: (
        len([x for x in fleet.of(revision) if x.address and x.phase is Phase.LOADING]) == count
    )


async def soon(holds):
    """Returns once it does: for what no snapshot tells of."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def scale(cluster, revision, replicas):
    while True:
        version = cluster.fleet().revisions[revision].version
        try:
            return await cluster.scale(revision, replicas, expect=version, reason=Reason.DEMAND)
        except ConflictError:
            await until(cluster, lambda f, v=version: f.revisions[revision].version != v)


async def mark(cluster, revision, *drained, number=1):
    drain = Drain(number=number, replicas=frozenset(drained), term=3) if drained else None
    while True:
        version = cluster.fleet().revisions[revision].version
        try:
            return await cluster.mark(revision, drain, expect=version)
        except ConflictError:
            await until(cluster, lambda f, v=version: f.revisions[revision].version != v)


async def test_what_another_wrote_is_never_overwritten(site):
    site.make("a")
    async with site.cluster(kubelet=False) as cluster:
        a = site.named("a")
        old = cluster.fleet().revisions[a].version
        # Before the watch can tell of it: nothing is awaited in between.
        site.annotate("a", keep_alive="5m")
        for write in (
            cluster.scale(a, 1, expect=old, reason=Reason.DEMAND),
            cluster.mark(a, None, expect=old),
        ):
            with pytest.raises(ConflictError, match=r"modified|decided on version"):
                await write
        assert site.spec("a")["replicas"] == 0
        await until(cluster, lambda fleet: fleet.revisions[a].policy.keep_alive == 300.0)
        await scale(cluster, a, 1)
        assert site.spec("a")["replicas"] == 1


async def test_a_write_is_signed_and_the_watch_tells_of_it_no_second_time(site):
    site.make("a")
    async with site.cluster(kubelet=False) as cluster:
        a = site.named("a")
        version = await scale(cluster, a, 1)
        meta = site.admin.get(site.path("a"))["metadata"]
        owners = [
            each["manager"]
            for each in meta["managedFields"]
            if "f:replicas" in each["fieldsV1"].get("f:spec", {})
        ]
        assert owners == ["ebbtide"]
        seen = []
        cluster.subscribe(lambda fleet: seen.append(fleet.revisions[a]))
        await until(cluster, lambda fleet: fleet.of(a))
        assert all(int(found.version) >= int(version) for found in seen)
        assert all(found.replicas == 1 for found in seen)


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


async def test_marks_and_costs_are_written_for_the_drained_and_taken_away_again(site):
    site.make("a")
    async with site.cluster() as cluster:
        a = site.named("a")
        await scale(cluster, a, 3)
        fleet = await until(cluster, opened(a, 3))
        first, second, third = (replica.name for replica in fleet.of(a))

        def costs():
            found = {}
            for replica in (first, second, third):
                pod = site.admin.get(f"{site.pods}/{replica.partition('/')[2]}")
                found[replica] = pod["metadata"].get("annotations", {}).get(COST)
            return found

        third_pod = f"{site.pods}/{third.partition('/')[2]}"
        site.admin.patch(third_pod, {"metadata": {"annotations": {COST: "7"}}})
        await mark(cluster, a, first, number=5)
        text = site.admin.get(site.path("a"))["metadata"]["annotations"]["ebbtide.dev/draining"]
        pod = first.partition("/")[2]
        assert json.loads(text) == {"number": 5, "term": 3, "replicas": [pod]}
        assert costs() == {first: "-2147483647", second: None, third: "7"}
        await mark(cluster, a, second, number=6)
        assert costs() == {first: None, second: "-2147483647", third: "7"}
        drain = cluster.fleet().revisions[a].drain
        assert drain == Drain(number=6, replicas=frozenset({second}), term=3)
        await until(cluster, lambda fleet: fleet.revisions[a].settled)
        await scale(cluster, a, 2)
        fleet = await until(cluster, opened(a, 2))
        assert {replica.name for replica in fleet.of(a) if replica.address} >= {first, third}
        await mark(cluster, a, first, third, number=7)
        second = first
        assert costs() == {first: None, third: "7"}
        await mark(cluster, a)
        assert costs() == {first: None, third: "7"}


async def test_a_count_is_not_lowered_before_it_is_written_who_goes(site):
    site.make("a")
    async with site.cluster() as cluster:
        a = site.named("a")
        await scale(cluster, a, 2)
        fleet = await until(cluster, opened(a, 2))
        first, _ = (replica.name for replica in fleet.of(a))
        pod = f"{site.pods}/{first.partition('/')[2]}"
        await mark(cluster, a, first)
        site.admin.patch(pod, {"metadata": {"annotations": {COST: "1"}}})
        await soon(lambda: _cost(cluster, site, first) == "1")
        await until(cluster, lambda fleet: fleet.revisions[a].settled)
        version = cluster.fleet().revisions[a].version
        with pytest.raises(ConflictError, match="who goes first"):
            await cluster.scale(a, 1, expect=version, reason=Reason.SCALE_DOWN)
        assert site.spec("a")["replicas"] == 2
        assert site.admin.get(pod)["metadata"]["annotations"][COST] == "-2147483647"


def _cost(cluster, site, replica):
    return cluster._cost((site.namespace, replica.partition("/")[2]))


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


async def test_a_quota_that_refuses_pods_is_told_in_its_own_words(site):
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    site.admin.post(f"/api/v1/namespaces/{site.namespace}/resourcequotas", quota)
    site.admin.until(
        f"/api/v1/namespaces/{site.namespace}/resourcequotas/none",
        lambda found: "hard" in found.get("status", {}),
    )
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


def grant(site, *rules, everywhere=False):
    """A role for the namespace's default account, there or everywhere; its kubeconfig."""
    kind, name = ("ClusterRole" if everywhere else "Role"), f"some-{site.namespace}"
    base = "/apis/rbac.authorization.k8s.io/v1"
    base += "/cluster" if everywhere else f"/namespaces/{site.namespace}/"
    site.admin.post(f"{base}roles", {"metadata": {"name": name}, "rules": list(rules)})
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": site.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
    body = {"metadata": {"name": name}, "subjects": [subject], "roleRef": role}
    site.admin.post(f"{base}rolebindings", body)
    token = site.plane.account_token(site.namespace, "default")
    return site.plane.kubeconfig_for(token, name=site.namespace)


READ = ["get", "list", "watch"]
SOME = (
    {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": READ},
    {"apiGroups": [""], "resources": ["pods"], "verbs": READ},
    {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]},
)


async def test_without_some_rights_it_goes_on_and_says_what_is_lost(site, caplog):
    site.make("a")
    kubeconfig = grant(site, *SOME, everywhere=True)
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
    kubeconfig = grant(site, *SOME)
    async with site.cluster(kubeconfig=kubeconfig, kubelet=False) as cluster:
        a = site.named("a")
        await scale(cluster, a, 1)
        await until(cluster, lambda fleet: fleet.of(a))


async def test_without_rights_to_deployments_there_is_no_fleet_at_all(site):
    kubeconfig = grant(site)
    async with site.cluster(kubeconfig=kubeconfig, kubelet=False, wait=False) as cluster:
        await soon(lambda: "deployments" in cluster.lacking())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await cluster.known()
        assert cluster.fleet().number == 0


async def test_a_server_that_is_killed_is_waited_for_and_found_again(site, caplog):
    site.make("a")
    async with site.cluster() as cluster:
        a = site.named("a")
        await scale(cluster, a, 1)
        fleet = await until(cluster, lambda f: opened(a)(f) and f.revisions[a].settled)
        version = fleet.revisions[a].version
        site.plane.kill("kube-apiserver")
        try:
            await soon(lambda: cluster.cut_since is not None)
            with pytest.raises(UnavailableError):
                await cluster.scale(a, 0, expect=version, reason=Reason.IDLE)
            with pytest.raises(UnavailableError):
                await cluster.mark(a, None, expect=version)
            await cluster.note(a, "woken", "nobody hears it")
            assert cluster.fleet() is fleet
        finally:
            site.plane.start_part("kube-apiserver")
            await asyncio.to_thread(site.plane.wait_ready)
        await soon(lambda: cluster.cut_since is None)
        assert cluster.fleet().of(a)[0].name == fleet.of(a)[0].name
        await scale(cluster, a, 0)
        await until(cluster, lambda fleet: not fleet.of(a))
    said = [line.message for line in caplog.records if "watch_" in line.message]
    assert any("watch_cut" in line and "deployments" in line for line in said)
    assert any("watch_resumed" in line and "deployments" in line for line in said)


async def test_what_happened_while_it_was_cut_off_and_is_forgotten_since_is_found_out(
    site, tmp_path
):
    for name in ("kept", "gone"):
        site.make(name)
    kept, gone, new = (site.named(name) for name in ("kept", "gone", "new"))
    token = site.plane.token
    async with Cable(site.plane.url).laid() as cable:
        path = write_kubeconfig(tmp_path / "config", url=cable.url, ca=site.plane.ca, token=token)
        async with (
            site.cluster(kubeconfig=path, kubelet=False) as cluster,
            await Api.open(str(site.plane.kubeconfig)) as api,
        ):
            listed = await api.get(site.path())
            revision = cluster.fleet().revisions[kept]
            cable.pull()
            site.admin.delete(site.path("gone"))
            site.make("new")
            # The versions between are known to nobody any more.
            site.plane.kill("kube-apiserver")
            site.plane.compact()
            site.plane.start_part("kube-apiserver")
            await asyncio.to_thread(site.plane.wait_ready)
            old = {"resourceVersion": listed["metadata"]["resourceVersion"]}
            async with api.watch(site.path(), old) as news:
                with pytest.raises(ExpiredError):
                    await anext(news)
            told = []
            cluster.subscribe(told.append)
            cable.plug()
            fleet = await until(cluster, lambda fleet: new in fleet.revisions)
            assert set(fleet.revisions) == {kept, new}
            assert fleet.revisions[kept] is revision
            assert all(gone not in each.revisions for each in told)


async def test_a_server_that_is_down_at_the_start_is_waited_for(site, tmp_path, caplog):
    site.make("a")
    async with Cable(site.plane.url).laid() as cable:
        cable.pull()
        path = write_kubeconfig(
            tmp_path / "config", url=cable.url, ca=site.plane.ca, token=site.plane.token
        )
        async with site.cluster(kubeconfig=path, kubelet=False, wait=False) as cluster:
            await soon(lambda: "watch_cut" in caplog.text)
            assert cluster.fleet().number == 0
            cable.plug()
            async with asyncio.timeout(20):
                await cluster.known()
            assert site.named("a") in cluster.fleet().revisions


async def test_a_hundred_writes_at_once_are_all_accepted(site):
    names = [f"m{number}" for number in range(100)]
    await asyncio.to_thread(lambda: [site.make(name, gpus=0) for name in names])
    async with site.cluster(kubelet=False) as cluster:
        revisions = [site.named(name) for name in names]
        await until(cluster, lambda fleet: set(revisions) <= fleet.revisions.keys())
        await asyncio.gather(*(scale(cluster, revision, 1) for revision in revisions))
        assert {cluster.fleet().revisions[name].replicas for name in revisions} == {1}


async def events(site, name, count):
    """The Events on a Deployment, once there are so many."""
    path = f"/api/v1/namespaces/{site.namespace}/events"
    async with asyncio.timeout(10):
        while True:
            found = site.admin.get(
                path, fieldSelector=f"involvedObject.kind=Deployment,involvedObject.name={name}"
            )["items"]
            ours = [each for each in found if each["reportingComponent"] == "ebbtide.dev/tests"]
            if len(ours) >= count:
                return sorted(ours, key=lambda each: each["eventTime"])
            await asyncio.sleep(0.02)


async def test_notes_are_events_on_the_deployment_and_repeats_are_one_with_a_count(site):
    made = site.make("a")
    site.make("b", annotations={"max-replicas": "many"})
    async with site.cluster(kubelet=False) as cluster:
        a, b = site.named("a"), site.named("b")
        await cluster.note(a, "woken", "for a request")
        await cluster.note(b, "refused", "x" * 5000)
        await cluster.note(site.named("nobody"), "woken", "")
        (woken,) = await events(site, "a", 1)
        assert (woken["reason"], woken["message"]) == ("woken", "for a request")
        assert woken["involvedObject"]["uid"] == made["metadata"]["uid"]
        assert woken["type"] == "Normal"
        (refused,) = await events(site, "b", 1)
        assert refused["type"] == "Warning"
        assert refused["message"] == "x" * 1024
        for _ in range(3):
            await cluster.note(a, "woken", "for a request")
        await cluster.note(a, "asleep", "")
        woken, asleep = await events(site, "a", 2)
        assert woken["series"]["count"] == 4
        assert (asleep["reason"], asleep["message"]) == ("asleep", "asleep")
        # It has had its time: told anew.
        site.admin.delete(f"/api/v1/namespaces/{site.namespace}/events/{woken['metadata']['name']}")
        await cluster.note(a, "woken", "for a request")
        async with asyncio.timeout(10):
            while len(await events(site, "a", 1)) < 2:
                await asyncio.sleep(0.02)


async def test_notes_that_cannot_be_written_are_lost_and_nothing_else_is(site, tmp_path):
    site.make("a")
    async with Cable(site.plane.url).laid() as cable:
        path = write_kubeconfig(
            tmp_path / "config", url=cable.url, ca=site.plane.ca, token=site.plane.token
        )
        async with site.cluster(kubeconfig=path, kubelet=False) as cluster:
            a = site.named("a")
            cable.pull()
            for number in range(30):
                await cluster.note(a, "woken", f"number {number}")
            await soon(lambda: not cluster._notes._waiting and not cluster._notes._more.is_set())
            cable.plug()
            await soon(lambda: cluster.cut_since is None)
            cluster._notes._ration._buckets.clear()
            await cluster.note(a, "asleep", "told")
            found = await events(site, "a", 1)
            assert found[-1]["reason"] == "asleep"


async def test_replicas_are_named_by_pods(site):
    site.make("a")
    async with site.cluster() as cluster:
        a = site.named("a")
        await scale(cluster, a, 1)
        fleet = await until(cluster, opened(a))
        (pod,) = site.admin.get(site.pods)["items"]
        assert fleet.of(a)[0].name == ReplicaName(f"{site.namespace}/{pod['metadata']['name']}")

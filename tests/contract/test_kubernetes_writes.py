"""Writes to a real API server: who else wrote, who goes first, how many at once."""

import asyncio
import json

import pytest

from fleet.errors import ConflictError
from fleet.model import Drain
from fleet.reasons import Reason
from tests.fakes.local import until
from tests.kube.site import mark, opened, scale, soon

pytestmark = pytest.mark.anyio
COST = "controller.kubernetes.io/pod-deletion-cost"


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
                pod = site.admin.get(site.pod(replica))
                found[replica] = pod["metadata"].get("annotations", {}).get(COST)
            return found

        third_pod = site.pod(third)
        site.admin.patch(third_pod, {"metadata": {"annotations": {COST: "7"}}})
        await mark(cluster, a, first, number=5)
        text = site.admin.get(site.path("a"))["metadata"]["annotations"]["ebbtide.dev/draining"]
        pod = first.partition("/")[2]
        assert json.loads(text) == {"number": 5, "term": 3, "replicas": [pod]}
        assert costs() == {first: "-2147483648", second: None, third: "7"}
        await mark(cluster, a, second, number=6)
        assert costs() == {first: None, second: "-2147483648", third: "7"}
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
        pod = site.pod(first)
        await mark(cluster, a, first)
        site.admin.patch(pod, {"metadata": {"annotations": {COST: "1"}}})
        await soon(lambda: _cost(cluster, site, first) == "1")
        await until(cluster, lambda fleet: fleet.revisions[a].settled)
        version = cluster.fleet().revisions[a].version
        with pytest.raises(ConflictError, match="who goes first"):
            await cluster.scale(a, 1, expect=version, reason=Reason.SCALE_DOWN)
        assert site.spec("a")["replicas"] == 2
        assert site.admin.get(pod)["metadata"]["annotations"][COST] == "-2147483648"


def _applied(site, replicas):
    kind = {"apiVersion": "apps/v1", "kind": "Deployment"}
    site.admin.apply(site.path("a"), {**kind, "spec": {"replicas": replicas}})


def _patched(site, replicas):
    site.patch("a", spec={"replicas": replicas})


def _scaled(site, replicas):
    site.admin.patch(f"{site.path('a')}/scale", {"spec": {"replicas": replicas}})


@pytest.mark.parametrize("undo", [_applied, _patched, _scaled])
async def test_whoever_undoes_it_twice_is_a_second_writer_and_whoever_made_it_is_not(site, undo):
    site.make("a", gpus=0)
    _patched(site, 2)
    _patched(site, 0)
    async with site.cluster(kubelet=False) as cluster:
        a = site.named("a")
        for said in (False, True):
            await scale(cluster, a, 1)
            assert not cluster.fleet().revisions[a].second_writer
            undo(site, 0)
            fleet = await until(cluster, lambda fleet: fleet.revisions[a].replicas == 0)
            assert bool(fleet.revisions[a].second_writer) is said
        assert "twice within an hour" in fleet.revisions[a].second_writer


async def test_an_apply_of_the_number_that_is_there_changes_nothing(site):
    site.make("a", gpus=0)
    async with site.cluster(kubelet=False) as cluster:
        a = site.named("a")
        for _ in range(3):
            for replicas in (1, 0):
                await scale(cluster, a, replicas)
            _applied(site, 0)
            version = site.admin.get(site.path("a"))["metadata"]["resourceVersion"]
            fleet = await until(
                cluster, lambda fleet, v=version: int(fleet.revisions[a].version) >= int(v)
            )
            assert not fleet.revisions[a].second_writer


async def test_an_autoscaler_that_targets_it_is_a_second_writer_while_it_is_there(site):
    site.make("a", gpus=0)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}
    path = f"/apis/autoscaling/v2/namespaces/{site.namespace}/horizontalpodautoscalers"
    async with site.cluster(kubelet=False) as cluster:
        a = site.named("a")
        spec = {"scaleTargetRef": target, "maxReplicas": 3}
        site.admin.post(path, {"metadata": {"name": "wide"}, "spec": spec})
        fleet = await until(cluster, lambda fleet: fleet.revisions[a].second_writer)
        assert fleet.revisions[a].second_writer == "HorizontalPodAutoscaler wide targets it"
        site.admin.delete(f"{path}/wide")
        await until(cluster, lambda fleet: not fleet.revisions[a].second_writer)


def _cost(cluster, site, replica):
    return cluster._cost((site.namespace, replica.partition("/")[2]))


async def test_a_hundred_writes_at_once_are_all_accepted(site):
    names = [f"m{number}" for number in range(100)]
    await asyncio.to_thread(lambda: [site.make(name, gpus=0) for name in names])
    async with site.cluster(kubelet=False) as cluster:
        revisions = [site.named(name) for name in names]
        await until(cluster, lambda fleet: set(revisions) <= fleet.revisions.keys())
        await asyncio.gather(*(scale(cluster, revision, 1) for revision in revisions))
        assert {cluster.fleet().revisions[name].replicas for name in revisions} == {1}

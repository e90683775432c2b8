"""An API server that is away: at the start, for a while, and with its memory gone."""

import asyncio
import logging

import pytest

from fleet.errors import UnavailableError
from fleet.kubernetes.api import Api, ExpiredError
from fleet.reasons import Reason
from tests.fakes.local import until
from tests.kube.site import opened, scale, soon

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _log(caplog):
    caplog.set_level(logging.INFO, logger="ebbtide")


async def test_a_server_that_is_killed_is_waited_for_and_found_again(site, caplog):
    site.make("a")
    async with site.cluster() as cluster:
        a = site.named("a")
        await scale(cluster, a, 1)
        await until(cluster, lambda f: opened(a)(f) and f.revisions[a].settled)
        site.plane.kill("kube-apiserver")
        try:
            await soon(lambda: cluster.cut_since is not None)
            fleet = cluster.fleet()
            version = fleet.revisions[a].version
            with pytest.raises(UnavailableError):
                await cluster.scale(a, 0, expect=version, reason=Reason.IDLE)
            with pytest.raises(UnavailableError):
                await cluster.mark(a, None, expect=version)
            await cluster.note(a, "woken", "nobody hears it")
            assert cluster.fleet() is fleet
        finally:
            site.plane.start_part("kube-apiserver")
            await asyncio.to_thread(site.plane.wait_ready)
            site.plane.start_clients_anew()
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
    async with (
        site.cable(tmp_path) as (cable, path),
        site.cluster(kubeconfig=path, kubelet=False) as cluster,
        await Api.open(str(site.plane.kubeconfig)) as api,
    ):
        listed = await api.get(site.path())
        last = cluster.fleet().revisions
        revision = last[kept]
        cable.pull()
        site.admin.delete(site.path("gone"))
        site.make("new")
        # The versions between are known to nobody any more.
        site.plane.kill("kube-apiserver")
        site.plane.compact()
        site.plane.start_part("kube-apiserver")
        await asyncio.to_thread(site.plane.wait_ready)
        site.plane.start_clients_anew()
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
        # Once it is connected the last picture is told again, which is still all that is known.
        assert all(gone not in each.revisions or each.revisions == last for each in told)


async def test_a_server_that_is_down_at_the_start_is_waited_for(site, tmp_path, caplog):
    site.make("a")
    async with site.cable(tmp_path) as (cable, path):
        cable.pull()
        async with site.cluster(kubeconfig=path, kubelet=False, wait=False) as cluster:
            await soon(lambda: "watch_cut" in caplog.text)
            assert cluster.fleet().number == 0
            cable.plug()
            async with asyncio.timeout(20):
                await cluster.known()
            assert site.named("a") in cluster.fleet().revisions

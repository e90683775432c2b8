"""Events on a real API server."""

import asyncio
import logging

import pytest

from tests.kube.objects import deployment
from tests.kube.site import soon

pytestmark = pytest.mark.anyio


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
        # The API server counts bytes.
        await cluster.note(b, "failed", "é" * 5000)
        *_, failed = await events(site, "b", 2)
        assert failed["message"] == "é" * 512
        # It has had its time: told anew.
        site.admin.delete(f"/api/v1/namespaces/{site.namespace}/events/{woken['metadata']['name']}")
        await cluster.note(a, "woken", "for a request")
        async with asyncio.timeout(10):
            while len(await events(site, "a", 1)) < 2:
                await asyncio.sleep(0.02)


async def test_a_deployment_with_the_longest_of_names_is_told_of_too(site):
    name = "a" * 219 + "-" + "b" * 22
    made = deployment("short", site.namespace, annotations={"model": "long"})
    made["metadata"]["name"] = name
    site.admin.post(f"/apis/apps/v1/namespaces/{site.namespace}/deployments", made)
    async with site.cluster(kubelet=False) as cluster:
        await cluster.note(site.named(name), "woken", "for a request")
        (woken,) = await events(site, name, 1)
        assert woken["message"] == "for a request"


async def test_notes_that_cannot_be_written_are_lost_and_nothing_else_is(site, tmp_path, caplog):
    caplog.set_level(logging.DEBUG, logger="ebbtide")
    site.make("a")
    async with (
        site.cable(tmp_path) as (cable, path),
        site.cluster(kubeconfig=path, kubelet=False) as cluster,
    ):
        a = site.named("a")
        cable.pull()
        for number in range(10):
            await cluster.note(a, "woken", f"number {number}")
        await soon(lambda: caplog.text.count("event_lost") == 10)
        cable.plug()
        await soon(lambda: cluster.cut_since is None)
        await cluster.note(a, "asleep", "told")
        (told,) = await events(site, "a", 1)
        assert (told["reason"], told["message"]) == ("asleep", "told")

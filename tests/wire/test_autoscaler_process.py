"""An autoscaler of a cluster: when it is ready, whose decisions it tells, how it leaves."""

import asyncio
from dataclasses import replace

import pytest

from fleet.messages import DecisionReport, ReplicaSample, Sample
from fleet.names import GatewayName, RevisionName
from fleet.reasons import Reason
from fleet.settings import Settings
from tests.fakes.adminview import sample
from tests.fakes.cluster import revision
from tests.wire.processes import Process, an_autoscaler

pytestmark = pytest.mark.anyio

DEMO = RevisionName("default/demo")


async def until_ready(process: Process) -> None:
    async with asyncio.timeout(5):
        while (await process.ready())[0] != 200:
            await asyncio.sleep(0.005)


async def test_it_wants_to_lead_once_it_knows_what_there_is() -> None:
    async with an_autoscaler(known=False) as process:
        process.on.cluster_touch.trouble = "GET https://api:6443: 403: forbidden"
        status, why = await process.ready()
        assert status == 503
        assert why == "the cluster has not been read yet: GET https://api:6443: 403: forbidden"
        assert not process.leadership.runs
        process.on.read.set()
        await until_ready(process)
        assert process.leadership.runs
        assert await process.metric("ebbtide_leader") == 0


async def test_it_stays_ready_whatever_is_away_and_whoever_leads() -> None:
    async with an_autoscaler() as process:
        await until_ready(process)
        now = process.on.ground.clock.now()
        process.on.cluster_touch.cut_since = process.on.bus_touch.cut_since = now - 60
        for leads in (True, False):
            process.leadership.leads = leads
            assert (await process.ready())[0] == 200
            assert await process.metric("ebbtide_leader") == float(leads)


async def test_it_tells_the_decisions_of_whoever_leads() -> None:
    async with an_autoscaler(settings=Settings(tick=0.05, currency="USD")) as process:
        await until_ready(process)
        process.on.published.decisions[DEMO] = DecisionReport(
            revision=DEMO, at=1.0, before=3, after=4, reason=Reason.DEMAND, message="the other's"
        )
        told = (await process.admin.get("/api/models/demo")).json()["decision"]
        assert (told["message"], told["after"]) == ("the other's", 4)
        assert (await process.admin.get("/api/cost")).json()["currency"] == "EUR"
        process.leadership.leads = True
        async with asyncio.timeout(5):
            while told is None or told["message"] == "the other's":
                told = (await process.admin.get("/api/models/demo")).json()["decision"]
        assert (await process.admin.get("/api/cost")).json()["currency"] == "USD"


async def test_it_adds_up_what_the_gateways_say() -> None:
    async with an_autoscaler() as process:
        await until_ready(process)
        (replica,) = process.on.cluster.fleet().of(DEMO)
        for number in (1, 2):
            ready = ReplicaSample(
                name=replica.name, running=1, busy_s=1.0, slots=4, ready_for=3.0, ready_after=2.0
            )
            told = sample(DEMO, waiting=2, running=1, replicas=(ready,))
            process.on.ground.bus.publish(
                Sample(gateway=GatewayName(f"models/gateway-{number}"), revisions={DEMO: told})
            )
        found = (await process.admin.get("/api/models/demo")).json()
        assert (found["waiting"], found["running"]) == (4, 2)
        assert found["replicas"]["ready"] == 1
        assert found["phase"] == "ready"
        # No request is held in this process, and whoever adds up the figures of all counts none.
        labels = '{model="demo",revision="default/demo"}'
        text = (await process.admin.get("/metrics")).text
        assert f"ebbtide_waiting_requests{labels} 0.0" in text
        assert f'ebbtide_replicas{labels[:-1]},state="ready"}} 1.0' in text


async def test_only_who_leads_tells_what_is_new_and_nobody_tells_it_twice() -> None:
    async with an_autoscaler() as process:
        await until_ready(process)
        # It looks on while somebody else leads, who tells this.
        process.on.cluster.put(revision("first", replicas=0))
        await asyncio.sleep(1.2)
        process.leadership.leads = True
        process.on.cluster.put(revision("second", replicas=0))
        told = process.on.cluster.notes
        async with asyncio.timeout(5):
            while not any(one[1] == "registered" for one in told):
                await asyncio.sleep(0.01)
        registered = [one for one in told if one[1] == "registered"]
        assert registered == [("default/second", "registered", "as second")]
        journal = (await process.admin.get("/api/journal")).json()["journal"]
        events = [(one["model"], one["event"]) for one in journal if one["event"] == "registered"]
        assert events == [("second", "registered")]


async def test_it_writes_no_more_before_somebody_else_may_lead() -> None:
    async with an_autoscaler(settings=Settings(tick=0.02)) as process:
        process.leadership.leads = True
        await until_ready(process)
        demo = process.on.cluster.fleet().revisions[DEMO]
        policy = replace(demo.policy, min_replicas=2)
        process.on.cluster.put(replace(demo, policy=policy, version="7"))
        async with asyncio.timeout(5):
            while process.on.cluster.fleet().revisions[DEMO].replicas != 2:
                await asyncio.sleep(0.005)
        await process.leave()
        assert (await process.ready())[0] == 503
    assert process.on.log == ["released"]
    demo = process.on.cluster.fleet().revisions[DEMO]
    process.on.cluster.put(replace(demo, replicas=0, version="9"))
    await asyncio.sleep(0.1)
    assert process.on.cluster.fleet().revisions[DEMO].replicas == 0

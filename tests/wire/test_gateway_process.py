"""A gateway of a cluster: when it is ready, what it goes on without, how it leaves."""

import asyncio
from dataclasses import replace

import pytest

from ebbtide.reserved import reserve
from fleet.errors import SettingError
from fleet.messages import DecisionReport
from fleet.names import RevisionName
from fleet.reasons import Reason
from fleet.settings import Settings
from tests.wire.processes import Process, a_gateway

pytestmark = pytest.mark.anyio

DEMO = RevisionName("default/demo")


async def until_ready(process: Process) -> None:
    async with asyncio.timeout(5):
        while (await process.ready())[0] != 200:
            await asyncio.sleep(0.005)


async def test_it_takes_nothing_before_it_knows_what_there_is() -> None:
    async with a_gateway(known=False) as process:
        process.on.cluster_touch.trouble = "GET https://api:6443: connection refused"
        assert not await process.connects()
        status, why = await process.ready()
        assert status == 503
        assert why == (
            "the cluster has not been read yet: GET https://api:6443: connection refused"
        )
        assert await process.metric("ebbtide_ready") == 0
        assert (await process.admin.get("/healthz")).status_code == 200
        process.on.read.set()
        await until_ready(process)
        assert (await process.infer()).status_code == 200
        assert await process.metric("ebbtide_ready") == 1


async def test_it_reads_nothing_before_it_is_a_member() -> None:
    async with a_gateway(member=False) as process:
        assert not process.on.reads
        assert not await process.connects()
        assert (await process.ready())[1].startswith("this gateway has no place among the members")
        process.membership.given.set()
        await until_ready(process)
        assert process.on.reads
        assert await process.connects()


async def test_it_stays_ready_and_serves_whatever_is_away() -> None:
    async with a_gateway() as process:
        await until_ready(process)
        assert await process.metric("ebbtide_cluster_cut_seconds") == 0
        now = process.on.ground.clock.now()
        process.on.cluster_touch.cut_since = process.on.bus_touch.cut_since = now - 60
        process.membership.cut_since = process.on.bus_touch.unled_since = now - 60
        assert (await process.ready())[0] == 200
        assert (await process.infer()).status_code == 200
        state = (await process.admin.get("/api/process")).json()
        assert (state["leader"], state["gateways"]) == (None, None)
        assert 60 <= state["cluster_cut_s"] < 65
        assert 60 <= state["bus_cut_s"] < 65
        assert 60 <= state["leader_cut_s"] < 65
        process.on.bus_touch.unled_since = None
        assert (await process.admin.get("/api/process")).json()["leader_cut_s"] == 0


async def test_what_is_lost_on_the_way_to_the_others_is_counted() -> None:
    async with a_gateway() as process:
        await until_ready(process)
        assert await process.metric("ebbtide_bus_refused") == 0
        assert await process.metric('ebbtide_bus_lost_total{reason="crowded"}') == 0
        process.on.bus_touch.refused = True
        process.on.bus_touch.lost["crowded"] = 12
        assert await process.metric("ebbtide_bus_refused") == 1
        assert await process.metric('ebbtide_bus_lost_total{reason="crowded"}') == 12
        state = (await process.admin.get("/api/process")).json()
        assert (state["bus_refused"], state["bus_lost"]) == (True, {"odd": 0, "crowded": 12})


async def test_it_shows_what_all_gateways_see_and_counts_its_own() -> None:
    async with a_gateway() as process:
        await until_ready(process)
        wall = process.on.ground.clock.wall()
        process.on.published.decisions[DEMO] = DecisionReport(
            revision=DEMO,
            at=wall - 1,
            before=1,
            after=1,
            reason=Reason.STABLE,
            inputs={"waiting": 3, "running": 2, "idle_s": None},
        )
        assert (await process.infer()).status_code == 200
        shown = (await process.admin.get("/api/models/demo")).json()
        assert (shown["waiting"], shown["running"], shown["requests"]) == (3, 2, 1)
        assert (shown["idle_s"], shown["replicas"]["ready"]) == (None, 1)
        labels = '{model="demo",revision="default/demo"}'
        text = (await process.admin.get("/metrics")).text
        assert f"ebbtide_running_requests{labels} 0.0" in text
        assert (await process.admin.get("/api/cost")).json()["currency"] == "EUR"
        assert "ebbtide_gpu_seconds_total{" not in text
        # What a leader said who is gone since says nothing of now.
        process.on.published.decisions[DEMO] = replace(
            process.on.published.decisions[DEMO], at=wall - 60
        )
        shown = (await process.admin.get("/api/models/demo")).json()
        assert (shown["waiting"], shown["running"]) == (0, 0)
        assert shown["idle_s"] is not None


async def test_it_is_a_member_until_its_last_request_is_over() -> None:
    settings = Settings(shutdown_grace=10.0)
    async with a_gateway(settings=settings) as process:
        await until_ready(process)
        release = asyncio.Event()

        async def slowly(_request, writer) -> None:
            await release.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        process.recorder.script = slowly
        call = asyncio.create_task(process.infer())
        await process.recorder.seen(1)
        leaving = asyncio.create_task(process.leave())
        async with asyncio.timeout(5):
            while await process.connects():
                await asyncio.sleep(0.005)
        assert await process.ready() == (503, "it takes no new requests: it is leaving")
        assert process.on.log == []
        release.set()
        assert (await call).status_code == 200
        await leaving
        assert process.on.log == []
    assert process.on.log == ["released"]


async def test_it_leaves_at_once_if_it_never_began() -> None:
    async with a_gateway(known=False) as process:
        await asyncio.wait_for(process.leave(), 3)
        process.on.read.set()
        await asyncio.sleep(0)
        assert not await process.connects()
    assert process.on.log == ["released"]


async def test_a_port_is_reserved_before_connections_come_in() -> None:
    reserved = await reserve("127.0.0.1", 0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", reserved.port)
    reserved.listen()
    _, writer = await asyncio.open_connection("127.0.0.1", reserved.port)
    writer.close()
    with pytest.raises(SettingError, match=rf"127.0.0.1:{reserved.port}: .*in use; --port"):
        await reserve("127.0.0.1", reserved.port)
    reserved.close()


async def test_of_two_that_reserved_one_port_the_second_to_listen_is_told() -> None:
    first = await reserve("127.0.0.1", 0)
    second = await reserve("127.0.0.1", first.port)
    first.listen()
    with pytest.raises(SettingError, match="in use"):
        second.listen()
    first.close()
    second.close()

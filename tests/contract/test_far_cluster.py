"""Beyond the contract: what a cluster over a channel does when the channel fails or is full."""

import asyncio

import pytest

from fleet.channel.channel import Channel
from fleet.channel.messages import MarkAsked, Noted, ScaleAsked, Written
from fleet.channel.news import FleetNews
from fleet.cluster.far import FarCluster, share_cluster
from fleet.codec import Codec
from fleet.errors import UnavailableError
from fleet.reasons import Reason
from tests.contract.channels import channels
from tests.fakes.cluster import FakeCluster, revision
from tests.fakes.local import named
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

CODEC = Codec(FleetNews, ScaleAsked, MarkAsked, Written, Noted)


async def test_a_write_under_way_when_the_channel_ends_is_unavailable() -> None:
    async with channels(CODEC) as (near, far):
        cluster = FarCluster(near)
        write = asyncio.ensure_future(
            cluster.scale(named("a"), 1, expect="1", reason=Reason.DEMAND)
        )
        await asyncio.sleep(0)
        far.abort()
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(write, 5)
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(cluster.mark(named("a"), None, expect="1"), 5)
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(cluster.known(), 5)
        await cluster.note(named("a"), "woken", "to nobody")


async def test_a_cluster_that_is_down_is_unavailable_here_too() -> None:
    async with channels(CODEC) as (near, far), asyncio.TaskGroup() as group:
        real = FakeCluster()
        real.put(revision("a"))
        end = share_cluster(real, far, group)
        cluster = FarCluster(near)
        await cluster.known()
        real.broken = UnavailableError("no API")
        with pytest.raises(UnavailableError, match="no API"):
            await cluster.scale(named("a"), 1, expect="1", reason=Reason.DEMAND)
        end()


async def test_an_end_that_does_not_keep_up_gets_the_newest_snapshot_when_it_does() -> None:
    async with channels(CODEC) as (near, far), asyncio.TaskGroup() as group:
        real = FakeCluster()
        end = share_cluster(real, far, group)
        cluster = FarCluster(near)
        numbers: list[int] = []
        cluster.subscribe(lambda fleet: numbers.append(fleet.number))
        # Nothing is read until this task lets go of the loop.
        for number in range(20):
            real.put(revision("a", source=f"{number}" * 2**18))
        assert far.crowded
        last = real.fleet()
        async with asyncio.timeout(10):
            while cluster.fleet() != last:
                await asyncio.sleep(0.005)
        assert numbers == sorted(numbers)
        assert len(numbers) < 20
        end()


async def test_what_comes_before_its_handler_waits_for_it() -> None:
    async with channels(CODEC) as (near, far):
        heard: list[str] = []
        near.send(Noted(revision=named("a"), reason="one", message=""))
        near.send(Noted(revision=named("a"), reason="two", message=""))
        async with asyncio.timeout(5):
            while far.heard < 2:
                await asyncio.sleep(0.002)
        far.handle(Noted, lambda noted: heard.append(noted.reason))
        assert heard == ["one", "two"]


async def test_what_is_no_message_ends_the_channel() -> None:
    async with channels(CODEC) as (near, far):
        near._transport.write(b"\0\0\0\2{}")  # type: ignore[union-attr]
        await asyncio.wait_for(far.closed.wait(), 5)
        assert isinstance(far, Channel)

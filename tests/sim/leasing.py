"""An API server that is slow or away, and the processes whose Leases lie there, on virtual time."""

import asyncio
import contextlib
from random import Random

from fleet.clock import LoopClock
from fleet.leases.identity import Identity
from fleet.leases.leader import LEADER_LEASE, KubernetesLease
from fleet.leases.member import Membership, NameTakenError
from fleet.leases.members import KubernetesMembers
from fleet.leases.record import lease_path
from fleet.names import GatewayName
from tests.fakes.leaseapi import LeaseStore

SPACE = "ebbtide"
LEADER = lease_path(SPACE, LEADER_LEASE)
POD, OUTSIDE = GatewayName("ebbtide/gw-1"), GatewayName("box:8081")


class Stage:
    """An API server and the processes that use it."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.store = LeaseStore()
        self.tasks = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            await self.kill(task)

    def run(self, work):
        task = self.loop.create_task(work)
        self.tasks.append(task)
        return task

    async def kill(self, task):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, NameTakenError):
            await task

    def candidate(self, me):
        """A process that wants to lead."""
        client = self.store.client()
        lease = KubernetesLease(
            client, SPACE, me, clock=LoopClock(), now=self.loop.time, luck=Random(1)
        )
        lease.client, lease.news = client, []
        lease.subscribe(lambda held: lease.news.append((self.loop.time(), held)))
        lease.task = self.run(lease.run())
        return lease

    def gateway(self, name, process="p1", *, uid="", container=""):
        client = self.store.client()
        who = Identity(
            name=name, process=process, namespace=SPACE, pod_uid=uid, container=container
        )
        member = Membership(client, who, clock=LoopClock(), luck=Random(2))
        member.client, member.task = client, self.run(member.run())
        return member

    def members(self):
        client = self.store.client()
        members = KubernetesMembers(
            client, SPACE, clock=LoopClock(), now=self.loop.time, luck=Random(3)
        )
        members.client, members.task = client, self.run(members.run())
        return members

    async def until(self, happened, *, limit=120.0):
        end = self.loop.time() + limit
        while not happened():
            assert self.loop.time() < end, "it did not happen"
            await asyncio.sleep(0.05)
        return self.loop.time()

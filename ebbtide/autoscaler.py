"""`ebbtide autoscaler`: wake, scale and put to sleep the models of a cluster."""

import argparse
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from ebbtide.adminport import AdminPort
from ebbtide.kubernetes.autoscaler import autoscaler
from ebbtide.kubernetes.connecting import connected
from ebbtide.kubernetes.flags import Options, account_flags, listening_flags
from ebbtide.kubernetes.process import run_process
from ebbtide.serving import Serving
from ebbtide.sharing.overbus import SlotLeader
from fleet.clock import machine_time
from fleet.kubernetes.permissions import Component
from fleet.leases.leader import KubernetesLease
from fleet.leases.members import KubernetesMembers
from fleet.tasks import endless

__all__ = ["HELP", "arguments", "run"]

HELP = "Wake, scale and put to sleep the models of a Kubernetes cluster; of several, one leads."


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    account_flags(parser)
    listening_flags(parser, requests=False)


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Work until told to stop; returns the exit code."""
    return run_process("autoscaler", args, environ, _composed)


@asynccontextmanager
async def _composed(options: Options, admin: AdminPort) -> AsyncIterator[Serving]:
    async with connected(options, Component.AUTOSCALER, admin_port=admin.port) as here:
        ground, namespace = here.ground, here.who.namespace
        leadership = KubernetesLease(
            here.api,
            namespace,
            here.who.holder,
            clock=ground.clock,
            now=machine_time,
            luck=here.luck,
        )
        members = KubernetesMembers(
            here.api, namespace, clock=ground.clock, now=machine_time, luck=here.luck
        )
        slots = SlotLeader(here.bus, leadership, members, ground.clock)
        works = {"members": members.run(), "slots": slots.run()}
        loops = [endless(ground.group, work, name=name) for name, work in works.items()]
        try:
            async with autoscaler(options, ground, admin, leadership, members) as serving:
                yield serving
        finally:
            for loop in loops:
                loop.cancel()

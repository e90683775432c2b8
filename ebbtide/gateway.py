"""`ebbtide gateway`: take requests for the models of a cluster."""

import argparse
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from ebbtide.adminport import AdminPort
from ebbtide.kubernetes.connecting import connected
from ebbtide.kubernetes.flags import Options, account_flags, listening_flags
from ebbtide.kubernetes.gateway import gateway
from ebbtide.kubernetes.process import run_process
from ebbtide.serving import Serving
from ebbtide.sharing.allotment import Allotment
from ebbtide.sharing.overbus import BusSharer
from fleet.kubernetes.permissions import Component
from fleet.leases.member import Membership
from fleet.tasks import endless

__all__ = ["HELP", "arguments", "run"]

HELP = "Take requests for the models of a Kubernetes cluster; one of several."


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    account_flags(parser)
    listening_flags(parser, requests=True)


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Serve until told to stop; returns the exit code."""
    return run_process("gateway", args, environ, _composed)


@asynccontextmanager
async def _composed(options: Options, admin: AdminPort) -> AsyncIterator[Serving]:
    async with connected(options, Component.GATEWAY, admin_port=admin.port) as here:
        membership = Membership(here.api, here.who, clock=here.ground.clock, luck=here.luck)
        renewing = endless(here.ground.group, membership.run(), name="membership")
        allotment = Allotment(BusSharer(here.bus), here.ground.clock)
        try:
            async with gateway(options, here.ground, admin, membership, allotment) as serving:
                yield serving
        finally:
            allotment.close()
            renewing.cancel()

"""`ebbtide doctor`: what is right and wrong with ebbtide on a cluster; it changes nothing.

Exit codes: 0 nothing is wrong (there may be warnings); 1 something is; 2 it could not look.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping

from rich.console import Console

from ebbtide.doctoring.facts import Facts
from ebbtide.doctoring.findings import exit_code, find
from ebbtide.doctoring.gathering import gather
from ebbtide.doctoring.printing import as_json, show
from ebbtide.flags import settings_flag
from ebbtide.kubernetes.flags import account_flags, place_of, settled
from ebbtide.kubernetes.place import own_namespace_of
from fleet.clock import LoopClock
from fleet.errors import EbbtideError
from fleet.kubernetes.api import Api

__all__ = ["HELP", "arguments", "run"]

HELP = "Say what is right and wrong with ebbtide on a Kubernetes cluster."
_FILE_WIDTH = 160
"""Where there is no terminal, nothing need be broken."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    account_flags(parser)
    settings_flag(parser, serving=False)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Look, and tell; returns the exit code."""
    try:
        facts = asyncio.run(_gather(args, environ))
    except EbbtideError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"ebbtide doctor: {line}\n")
        return 2
    found = find(facts)
    if args.json:
        sys.stdout.write(as_json(facts, found))
    else:
        console = Console(no_color=bool(environ.get("NO_COLOR")))
        if not console.is_terminal:
            console = Console(width=_FILE_WIDTH, soft_wrap=True)
        show(console, facts, found)
    return exit_code(found)


async def _gather(args: argparse.Namespace, environ: Mapping[str, str]) -> Facts:
    settings, environ = settled(args, environ)
    place = place_of(args, environ)
    own = own_namespace_of(place, settings, environ)
    namespaces = tuple(name for name in settings.namespaces.split(",") if name)
    async with await Api.open(place.kubeconfig, context=place.context) as api:
        clock = LoopClock()
        return await gather(api, settings, namespaces=namespaces, own=own, now=clock.wall())

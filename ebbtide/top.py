"""`ebbtide top`: models and cost, live in the terminal, as the admin port tells them.

It only asks; nothing it does changes anything. Exit codes: 0 shown (Ctrl-C too), 1 nobody answers.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live

from ebbtide.top_view import screen
from fleet.clock import LoopClock
from fleet.errors import UnavailableError

__all__ = ["HELP", "arguments", "run"]

HELP = "Show models and cost, live."

_ADMIN = "http://127.0.0.1:8081"
_EVERY_S = 1.0
_TIMEOUT_S = 5.0
_FILE_WIDTH = 160
"""Where there is no terminal, nothing need be left out."""
_ASKED = ("models", "cost", "gpus")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--admin", metavar="URL", default=_ADMIN, help="the admin port (default: %(default)s)"
    )
    parser.add_argument("--once", action="store_true", help="print one table, and end")
    parser.add_argument(
        "--json", action="store_true", help="print what the admin port says as JSON, and end"
    )


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:  # noqa: ARG001
    """Show until Ctrl-C. Raises `UnavailableError` when nobody answers at first."""
    try:
        asyncio.run(_show(args))
    except KeyboardInterrupt:
        return 0
    return 0


async def _show(args: argparse.Namespace) -> None:
    address = args.admin if "//" in args.admin else f"http://{args.admin}"
    async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
        told = await _ask(client, address)
        if args.json:
            sys.stdout.write(json.dumps(told, indent=2) + "\n")
            return
        console = Console()
        if args.once or not console.is_terminal:
            console = console if console.is_terminal else Console(width=_FILE_WIDTH)
            console.print(screen(told, width=console.width))
            return
        clock = LoopClock()
        first = screen(told, width=console.width)
        with Live(first, console=console, screen=True, auto_refresh=False) as live:
            while True:
                await clock.sleep(_EVERY_S)
                trouble = None
                try:
                    told = await _ask(client, address)
                except UnavailableError as error:
                    trouble = str(error)
                shown = screen(told, width=console.width, trouble=trouble)
                live.update(shown, refresh=True)


async def _ask(client: httpx.AsyncClient, address: str) -> Mapping[str, Any]:
    """What the API says, in one mapping: models, cost, gpus."""
    told: dict[str, Any] = {}
    for what in _ASKED:
        where = f"{address.rstrip('/')}/api/{what}"
        try:
            answer = await client.get(where)
            if not answer.is_success:
                msg = f"{where} answered {answer.status_code}: is that the admin port of ebbtide?"
                raise UnavailableError(msg)
            found = answer.json()
            told[what] = found if what == "cost" else found[what]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            why = str(error) or type(error).__name__
            msg = (
                f"no ebbtide answers at {where}: {why}\n"
                "Is `ebbtide up` running? Its admin port is printed at its start; "
                "say --admin URL if it is not the default."
            )
            raise UnavailableError(msg) from error
    return told

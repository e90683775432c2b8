"""`ebbtide top`: models and cost, live in the terminal, as an admin port tells them.

That of `ebbtide up` on this machine, or of a cluster's gateway by its URL. It only asks; nothing it
does changes anything. Exit codes: 0 shown (Ctrl-C too), 1 nobody answers, or not to us.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live

from ebbtide.top_view import screen
from fleet.clock import LoopClock
from fleet.errors import SettingError, UnavailableError
from fleet.textfile import read_text

__all__ = ["HELP", "arguments", "run"]

HELP = "Show models and cost, live."

_ADMIN = "http://127.0.0.1:8081"
_EVERY_S = 1.0
_TIMEOUT_S = 5.0
_FILE_WIDTH = 160
"""Where there is no terminal, nothing need be left out."""
_ASKED = ("models", "cost", "gpus", "problems", "process")
_WHOLE = ("cost", "process")
"""What is told as it comes, and not below its own name."""
_MOST_BYTES = 2**20


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--url",
        "--admin",
        dest="url",
        metavar="URL",
        default=_ADMIN,
        help="the admin port of `ebbtide up`, or of a cluster's gateway (default: %(default)s)",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="a file with the token that opens it (default: what EBBTIDE_ADMIN_TOKEN_FILE names)",
    )
    parser.add_argument("--once", action="store_true", help="print one table, and end")
    parser.add_argument(
        "--json", action="store_true", help="print what the admin port says as JSON, and end"
    )


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Show until Ctrl-C.

    Raises `UnavailableError` when nobody answers at first, `SettingError` for a wrong file.
    """
    named = args.token_file or environ.get("EBBTIDE_ADMIN_TOKEN_FILE")
    token = _token(Path(named).expanduser()) if named else None
    try:
        asyncio.run(_show(args, token))
    except KeyboardInterrupt:
        return 0
    return 0


def _token(file: Path) -> str:
    """The first token in the file."""
    lines = (line.strip() for line in read_text(file, most=_MOST_BYTES).splitlines())
    tokens = [line for line in lines if line and not line.startswith("#")]
    if not tokens or not tokens[0].isascii():
        msg = f"{file}: expected a line with the admin token"
        raise SettingError(msg)
    return tokens[0]


async def _show(args: argparse.Namespace, token: str | None) -> None:
    address = args.url if "//" in args.url else f"http://{args.url}"
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False, headers=headers) as client:
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
        first = screen(told, width=console.width, height=console.height)
        with Live(first, console=console, screen=True, auto_refresh=False) as live:
            while True:
                await clock.sleep(_EVERY_S)
                trouble = None
                try:
                    told = await _ask(client, address)
                except UnavailableError as error:
                    trouble = str(error)
                size = console.size
                shown = screen(told, width=size.width, height=size.height, trouble=trouble)
                live.update(shown, refresh=True)


async def _ask(client: httpx.AsyncClient, address: str) -> Mapping[str, Any]:
    """What the API says, in one mapping: models, cost, gpus, problems, process."""
    told: dict[str, Any] = {}
    for what in _ASKED:
        where = f"{address.rstrip('/')}/api/{what}"
        try:
            answer = await client.get(where)
            if not answer.is_success:
                raise UnavailableError(_refused(where, answer))
            found = answer.json()
            told[what] = found if what in _WHOLE else found[what]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            why = str(error) or type(error).__name__
            msg = (
                f"no ebbtide answers at {where}: {why}\n"
                "On this machine: is `ebbtide up` running? It prints its admin port at its start.\n"
                "In a cluster: kubectl -n ebbtide port-forward deploy/ebbtide-gateway 8081\n"
                "--url names another address than the default."
            )
            raise UnavailableError(msg) from error
    return told


def _refused(where: str, answer: httpx.Response) -> str:
    """What an answer that is none means."""
    match answer.status_code:
        case 401 if "Authorization" in answer.request.headers:
            return f"{where} does not know this token\n--token-file FILE names the one it knows"
        case 401:
            return f"{where} asks for its token\n--token-file FILE names a file with it"
        case 403:
            try:
                said = str(answer.json()["message"])
            except (ValueError, KeyError, TypeError):
                said = "forbidden"
            return f"{where} does not tell us: {said}"
        case status:
            return f"{where} answered {status}: is that the admin port of ebbtide?"

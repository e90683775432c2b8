"""The `ebbtide` command: one file per subcommand, each with `HELP`, `arguments` and `run`.

Exit codes: 0 all is well; 1 it did not work, and standard error says why; 2 the call was wrong.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Protocol

import ebbtide.autoscaler
import ebbtide.check
import ebbtide.doctor
import ebbtide.gateway
import ebbtide.key
import ebbtide.top
import ebbtide.up
from fleet.errors import EbbtideError
from fleet.settings import environment

__all__ = ["main"]


class _Command(Protocol):
    """A module that is a subcommand."""

    @property
    def HELP(self) -> str: ...  # noqa: N802  # a module's constant

    def arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace, environ: Mapping[str, str]) -> int: ...


_COMMANDS: Mapping[str, _Command] = {
    "up": ebbtide.up,
    "gateway": ebbtide.gateway,
    "autoscaler": ebbtide.autoscaler,
    "check": ebbtide.check,
    "top": ebbtide.top,
    "doctor": ebbtide.doctor,
    "key": ebbtide.key,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        return _COMMANDS[args.command].run(args, environment())
    except EbbtideError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"ebbtide: {line}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ebbtide",
        description="Keep GPU models callable while only the ones in use hold a GPU.",
        epilog="Settings are environment variables: see docs/settings.md.",
    )
    parser.add_argument("--version", action="version", version=f"ebbtide {version('ebbtide')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in _COMMANDS.items():
        sub = commands.add_parser(name, help=command.HELP, description=command.HELP)
        command.arguments(sub)
    return parser

"""The `ebbtide` command: one file per subcommand, each with `HELP`, `arguments` and `run`.

Exit codes: 0 all is well; 1 it did not work, and standard error says why; 2 the call was wrong.

Rule 1: only the module of the command that was called is imported: what speaks to a cluster takes a
        second to load, and `ebbtide top` need not wait for it.
Rule 2: whoever is told to stop in that second stops, also as the first process of a container, for
        which the system ignores signals that nobody has asked for.
"""

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import NoReturn, Protocol, cast

from fleet.errors import EbbtideError
from fleet.settings import environment

__all__ = ["main"]


class _Command(Protocol):
    """A module that is a subcommand."""

    @property
    def HELP(self) -> str: ...  # noqa: N802  # a module's constant

    def arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace, environ: Mapping[str, str]) -> int: ...


_COMMANDS = ("up", "gateway", "autoscaler", "doctor", "check", "top", "key")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _stop)
    words = sys.argv[1:] if argv is None else list(argv)
    called = [word for word in words[:1] if word in _COMMANDS]
    args = _parser(called or _COMMANDS).parse_args(words)
    try:
        return _command(args.command).run(args, environment())
    except EbbtideError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"ebbtide: {line}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _stop(*_: object) -> NoReturn:
    """Until a process that serves listens to signals itself there is nothing to finish."""
    raise SystemExit(0)


def _parser(commands: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ebbtide",
        description="Keep GPU models callable while only the ones in use hold a GPU.",
        epilog="Settings are environment variables: see docs/settings.md.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ebbtide {version('ebbtide')}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in commands:
        command = _command(name)
        # A flag cut short would mean another one as soon as there are two that begin so.
        sub = subparsers.add_parser(
            name, help=command.HELP, description=command.HELP, allow_abbrev=False
        )
        command.arguments(sub)
    return parser


def _command(name: str) -> _Command:
    return cast(_Command, import_module(f"ebbtide.{name}"))

"""What flags of several commands have in common."""

import argparse
from collections.abc import Callable
from pathlib import Path

from fleet.quantities import parse_int

__all__ = ["MAX_PORT", "settings_flag", "whole_number"]

MAX_PORT = 65535


def whole_number(most: int, *, least: int = 0) -> Callable[[str], int]:
    """An argparse type: a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            return parse_int(text, low=least, high=most)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected {error}, not {text!r}") from error

    return parse


def settings_flag(parser: argparse.ArgumentParser, *, serving: bool = True) -> None:
    """The file of settings of a process; one that is `serving` reads it again while it runs."""
    again = ", read again at SIGHUP" if serving else ""
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help=f"EBBTIDE_NAME=value lines{again}; the environment wins over them",
    )

"""`ebbtide key`: make an API key, and the line that lets it in.

The key is shown once, on standard error, so that standard output can be appended to the file:
``ebbtide key ci --models 'chat-*' >> keys``. It is kept nowhere.
"""

import argparse
import os
import sys
from collections.abc import Mapping

from gateway.core.keys import EVERY_MODEL, Key, key_line, key_of

__all__ = ["HELP", "arguments", "run"]

HELP = "Make an API key, and the line for the file of keys."
_ENTROPY_BYTES = 32


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("name", metavar="NAME", help="the caller; several keys may share it")
    parser.add_argument(
        "--models",
        metavar="PATTERN,...",
        help="models that it may call: names, or patterns like 'chat-*' (default: all)",
    )
    parser.add_argument(
        "--trusted",
        action="store_true",
        help="its requests may say how urgent they are (Ebbtide-Precedence)",
    )


def run(args: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """Print both; returns the exit code."""
    models = EVERY_MODEL if args.models is None else tuple(sorted(set(args.models.split(","))))
    secret = key_of(os.urandom(_ENTROPY_BYTES))
    try:
        line = key_line(secret, Key(name=args.name, models=models, trusted=args.trusted))
    except ValueError as error:
        sys.stderr.write(f"ebbtide key: {error}\n")
        return 2
    sys.stderr.write(f"The key, shown this once:\n  {secret}\n")
    sys.stderr.write("The line for the file that EBBTIDE_API_KEYS names:\n")
    sys.stderr.flush()
    sys.stdout.write(f"{line}\n")
    return 0

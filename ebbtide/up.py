"""`ebbtide up`: serve the models of manifests on this machine."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ebbtide.crewed import crewed
from ebbtide.flags import MAX_PORT, settings_flag, whole_number
from ebbtide.life import Life, live
from ebbtide.parts import alone
from ebbtide.serving import Options
from fleet.settings_file import settings_of

__all__ = ["HELP", "arguments", "run"]

HELP = "Serve the models of manifests on this machine."

_MAX_GPUS = 1024
_MAX_WORKERS = 64


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="DIR|FILE",
        help="manifests (YAML or JSON), or folders with manifests in them; changes are followed",
    )
    parser.add_argument(
        "--gpus",
        type=whole_number(_MAX_GPUS),
        metavar="N",
        help="GPUs to count on (default: those that nvidia-smi shows)",
    )
    _addresses(parser)
    parser.add_argument(
        "--workers",
        type=whole_number(_MAX_WORKERS, least=1),
        default=1,
        metavar="N",
        help="processes that take requests; one is this process itself (%(default)s)",
    )
    settings_flag(parser)


def _addresses(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port",
        type=whole_number(MAX_PORT),
        default=8080,
        help="port for requests; 0 takes a free one (%(default)s)",
    )
    parser.add_argument(
        "--admin-host",
        default="127.0.0.1",
        help="address of the admin port, which asks for a token where EBBTIDE_ADMIN_TOKEN_FILE"
        " names some (%(default)s)",
    )
    parser.add_argument(
        "--admin-port",
        type=whole_number(MAX_PORT),
        default=8081,
        help="port for health, metrics, API and live page; 0 takes a free one (%(default)s)",
    )


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Serve until told to stop; returns the exit code."""
    missing = [path for path in args.paths if not os.access(path, os.R_OK)]
    for path in missing:
        why = "cannot be read" if path.exists() else "no such file or folder"
        sys.stderr.write(f"ebbtide up: {path}: {why}\n")
    if missing:
        return 2
    settings = settings_of(args.settings, environ)
    options = Options(
        paths=args.paths,
        gpus=args.gpus,
        host=args.host,
        port=args.port,
        admin_host=args.admin_host,
        admin_port=args.admin_port,
        settings=settings,
        settings_file=args.settings,
        workers=args.workers,
        environ=environ,
    )
    life = Life(command="up", settings=settings, settings_file=args.settings, environ=environ)
    return live(life, lambda: (crewed if options.workers > 1 else alone)(options))

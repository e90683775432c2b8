"""`ebbtide up`: serve the models of manifests on this machine."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from ebbtide.crewed import crewed
from ebbtide.files import raise_open_files
from ebbtide.loops import new_event_loop
from ebbtide.memory import keep_pieces, settle
from ebbtide.parts import alone
from ebbtide.reloading import Reloading
from ebbtide.serving import Options, Serving
from ebbtide.signals import Stop, signals
from fleet.cluster.local.gpus import Gpus
from fleet.errors import EbbtideError
from fleet.quantities import parse_int
from fleet.settings_file import settings_of
from fleet.telemetry import configure_logging, log

__all__ = ["HELP", "arguments", "run"]

HELP = "Serve the models of manifests on this machine."

_log = log(__name__)
_MAX_GPUS = 1024
_MAX_PORT = 65535
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
        type=_number(_MAX_GPUS),
        metavar="N",
        help="GPUs to count on (default: those that nvidia-smi shows)",
    )
    _addresses(parser)
    parser.add_argument(
        "--workers",
        type=_number(_MAX_WORKERS, least=1),
        default=1,
        metavar="N",
        help="processes that take requests; one is this process itself (%(default)s)",
    )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="EBBTIDE_NAME=value lines, read again at SIGHUP; the environment wins over them",
    )


def _addresses(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port",
        type=_number(_MAX_PORT),
        default=8080,
        help="port for requests; 0 takes a free one (%(default)s)",
    )
    parser.add_argument(
        "--admin-host",
        default="127.0.0.1",
        help="address of the admin port, which asks nobody who they are (%(default)s)",
    )
    parser.add_argument(
        "--admin-port",
        type=_number(_MAX_PORT),
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
    configure_logging(settings.log_level)
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
    keep_pieces()
    raise_open_files()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve(options))


async def _serve(options: Options) -> int:
    stop = Stop()
    code = 0
    try:
        reloading = Reloading(options.settings, options.settings_file, options.environ)
        with signals(stop, reloading.reload):
            async with (crewed if options.workers > 1 else alone)(options) as serving:
                reloading.on_change(serving.reload)
                _greet(serving, options)
                settle()
                await stop.asked.wait()
                settings = reloading.settings
                _log("stopping", delay=settings.shutdown_delay, grace=settings.shutdown_grace)
                await serving.leave(stop, settings)
    except* EbbtideError as errors:
        code = 1
        for error in _leaves(errors):
            for line in str(error).splitlines():
                sys.stderr.write(f"ebbtide up: {line}\n")
    except* Exception as errors:
        code = 1
        logging.getLogger("ebbtide").critical("broken", exc_info=errors)
    _log("stopped", code=code)
    return code


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The errors in nested groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _greet(serving: Serving, options: Options) -> None:
    models = [revision.model for revision in serving.fleet.revisions.values()]
    scheme = "https" if options.settings.tls_cert else "http"
    lines = (
        f"ebbtide {version('ebbtide')}",
        f"  requests  {scheme}://{_shown(options.host)}:{serving.port}",
        f"  admin     http://{_shown(options.admin_host)}:{serving.admin_port}",
        f"  GPUs      {_told(serving.gpus)}",
        f"  models    {', '.join(models) or 'none yet: manifests are watched'}",
        "Ctrl-C stops it when what runs is finished; a second one at once.",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _told(gpus: Gpus) -> str:
    if not gpus.counted:
        return "0 (nvidia-smi shows none; --gpus N counts N that need not be there)"
    return f"{len(gpus.ids)}{'' if gpus.real or not gpus.ids else ' (counted, not real)'}"


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _number(most: int, *, least: int = 0) -> "type[int]":
    """An argparse type: a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            return parse_int(text, low=least, high=most)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected {error}, not {text!r}") from error

    return parse  # type: ignore[return-value]  # argparse takes any callable

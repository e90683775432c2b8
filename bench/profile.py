"""`python -m bench.profile`: where the microseconds of a warm request go.

The load of case `warm` (32 connections, then one), and beside it each of the tools that are here:
strace counts system calls, perf tells the kernel, the interpreter and the event loop apart. Neither
is needed for anything else, and what is missing is left out. What the Python part goes to,
`python -m tests.wire.cost` tells.
"""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import peers
from bench.case import Run
from bench.contenders import Contender, begin, start
from bench.gateway import infer_path
from bench.load import Load
from bench.stats import cpu_us
from bench.warm import fixed_model
from bench.wrk import run_load

__all__ = ["main"]

_ROOT = Path(__file__).resolve().parent.parent
_SECONDS = 6
_LEAST_PER_CENT = 1.0

_Watch = Callable[[int, Path], "subprocess.Popen[bytes]"]


def main() -> int:
    """Measure, and print tables."""
    with TemporaryDirectory(prefix="ebbtide-profile-") as name, ExitStack() as stack:
        run = Run(
            rounds=1,
            seconds=_SECONDS,
            folder=Path(name),
            cache=_ROOT / ".cache" / "bench",
            lock=_ROOT / "locks" / "bench.txt",
            facts={},
        )
        (contender,) = start(begin(run, stack, fixed_model(run)), ("ebbtide",))
        wrk = peers.wrk(run.cache)
        for connections in (32, 1):
            _profile(run, wrk, contender, connections)
    return 0


def _profile(run: Run, wrk: peers.Tool, contender: Contender, connections: int) -> None:
    def load() -> Load:
        url = f"http://127.0.0.1:{contender.port}{infer_path('fixed')}"
        return run_load(wrk, url, seconds=_SECONDS, connections=connections, folder=run.folder)

    load()
    before = contender.cpu_s()
    plain = load()
    us = cpu_us(contender.cpu_s() - before, plain.requests)
    print(f"\n{connections} connections: {us:.1f} us of CPU per request, {plain.requests} requests")
    for tool, watch, told in _TOOLS:
        if shutil.which(tool) is None:
            print(f"({tool} is not here)")
            continue
        out = run.folder / f"{tool}-{connections}"
        seen = _watched(watch, contender.process.pid, out, load)
        for line in told(out, seen, us):
            print(line)


def _watched(watch: _Watch, pid: int, out: Path, load: Callable[[], Load]) -> Load:
    """The load, from beginning to end under the eyes of a tool."""
    tool = watch(pid, out)
    # It says nothing when it has begun to look.
    time.sleep(0.5)
    try:
        return load()
    finally:
        tool.send_signal(signal.SIGINT)
        tool.wait(30)


def _start(*command: str | Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _strace(pid: int, out: Path) -> "subprocess.Popen[bytes]":
    return _start("strace", "-c", "-f", "-o", out, "-p", str(pid))


def _told_by_strace(out: Path, seen: Load, _us: float) -> Sequence[str]:
    lines = ["  system calls per request:"]
    for line in out.read_text().splitlines():
        parts = line.split()
        if len(parts) >= 5 and parts[3].isdigit() and parts[-1] != "total":
            calls = int(parts[3]) / seen.requests
            if calls >= _LEAST_PER_CENT / 100:
                lines.append(f"    {calls:6.2f}  {parts[-1]}")
    return lines


def _perf(pid: int, out: Path) -> "subprocess.Popen[bytes]":
    return _start(
        "perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "-o", out, "-p", str(pid)
    )


def _told_by_perf(out: Path, _seen: Load, us: float) -> Sequence[str]:
    report = ["perf", "report", "-i", str(out), "--sort", "dso", "-g", "none", "--stdio", "-q"]
    text = subprocess.run(report, capture_output=True, text=True, check=True).stdout
    lines = ["  by object:"]
    for line in text.splitlines():
        share, _, name = line.strip().partition("%")
        if name.strip() and float(share) >= _LEAST_PER_CENT:
            lines.append(_row(float(share), us, name.strip()))
    return lines


def _row(per_cent: float, us: float, name: str) -> str:
    return f"    {per_cent:5.1f} %  {per_cent * us / 100:6.2f} us  {name}"


_TOOLS = (
    ("strace", _strace, _told_by_strace),
    ("perf", _perf, _told_by_perf),
)


if __name__ == "__main__":
    sys.exit(main())

"""Long bodies: 100 KB and 10 MiB up, 100 MiB down, streams of events; eight who read slowly.

Behind all is a model server of ours in Go, which reads every request to its end. The load is Go's
too: it reads every answer to its end and knows how long it must be.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.case import Run
from bench.contenders import GIVEN, Contender, Model, Stage, begin, start
from bench.entries import Measured, bound
from bench.golang import go_program
from bench.goload import load_program, run_go_load
from bench.load import Load
from bench.peers import Tool
from bench.progress import say
from bench.rounds import take_rounds
from bench.stats import Row

__all__ = ["body", "download", "long_model", "slow", "sse", "upload"]

_MODEL = "fixed"
_MIB = 2**20
_LARGE = ("-expect", str(100 * _MIB))
_READERS = 8
_SLOWLY_S = 3
_SLOW_MIB = 64.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Long:
    case: str
    path: str
    flags: tuple[str, ...]
    over_envoy: float | None


def body(run: Run) -> Measured:
    """100 KB up, 32 connections."""
    flags = ("-c", "32", "-body", "100000")
    return _measure(run, _Long(case="100 KB up", path="infer", flags=flags, over_envoy=None))


def upload(run: Run) -> Measured:
    """10 MiB up, four connections."""
    flags = ("-c", "4", "-body", str(10 * _MIB))
    return _measure(run, _Long(case="10 MiB up", path="infer", flags=flags, over_envoy=1.3))


def download(run: Run) -> Measured:
    """100 MiB down, two connections."""
    flags = ("-c", "2", *_LARGE)
    return _measure(run, _Long(case="100 MiB down", path="generate", flags=flags, over_envoy=3.0))


def sse(run: Run) -> Measured:
    """Streams of 200 events 5 ms apart, 32 at once; a request is a whole stream."""
    case = "SSE, 200 events"
    return _measure(
        run, _Long(case=case, path="generate_stream", flags=("-c", "32"), over_envoy=None)
    )


def slow(run: Run) -> Measured:
    """What eight readers of 100 MiB cost in memory who hardly read for three seconds."""
    rows = []
    with ExitStack() as stack:
        stage = begin(run, stack, long_model(run))
        tool = load_program(run.cache)
        for contender in start(stage, ("ebbtide", "envoy")):
            say(f"slow: {contender.name}, {_READERS} readers of 100 MiB")
            rows.append(_slow_row(run, tool, contender))
    return Measured(rows=tuple(rows), missing=tuple(stage.missing))


def _slow_row(run: Run, tool: Tool, contender: Contender) -> Row:
    flags = ("-c", str(_READERS), "-slow", f"{_SLOWLY_S}s", *_LARGE)
    grown = []
    rest = contender.process.rss_bytes()  # what a round leaves behind counts in the next one too
    for _ in range(run.rounds):
        contender.process.forget_peak()
        run_go_load(tool, "-url", _url(contender, "generate"), seconds=_SLOWLY_S, flags=flags)
        grown.append((contender.process.peak_bytes() - rest) / _MIB)
    ours = contender.name == "ebbtide"
    return Row(
        case="slow",
        figure=f"memory for {_READERS} slow readers of 100 MiB, {contender.name}",
        unit="MiB",
        values=tuple(grown),
        aim=_SLOW_MIB if ours else None,
        must=ours,
    )


def _measure(run: Run, long: _Long) -> Measured:
    with ExitStack() as stack:
        stage = begin(run, stack, long_model(run))
        tool = load_program(run.cache)
        contenders = _start(stage)

        def drive(contender: Contender, seconds: int) -> Load:
            url = _url(contender, long.path)
            return run_go_load(tool, "-url", url, seconds=seconds, flags=long.flags)

        entries = take_rounds(long.case, contenders, drive, run)
    rows = () if long.over_envoy is None else bound(entries, "envoy", long.over_envoy)
    return Measured(entries=entries, rows=rows, missing=tuple(stage.missing))


def _start(stage: Stage) -> Sequence[Contender]:
    return start(stage, ("ebbtide", "envoy", "nginx", "go", *GIVEN))


def _url(contender: Contender, call: str) -> str:
    return f"http://127.0.0.1:{contender.port}/v2/models/{_MODEL}/{call}"


def long_model(run: Run) -> Model:
    """Our server in Go, for long requests and answers."""
    server = go_program("http", "model", cache=run.cache)
    run.facts["go"] = server.version

    def command(host: str, port: str, _folder: Path) -> Sequence[str]:
        return [str(server.path), host, port]

    return Model(name=_MODEL, command=command, annotations={"pinned": "true"}, streams=True)

"""Small requests in other ways than warm: at a fixed rate, and one per connection.

nginx with a fixed answer stands behind all, as in the case warm.
"""

from contextlib import ExitStack

from bench import peers
from bench.case import Run
from bench.contenders import Contender
from bench.entries import Entry, Measured, entry_of
from bench.gateway import infer_path
from bench.goload import load_program, run_go_load
from bench.load import Load
from bench.rounds import take_rounds
from bench.stats import Row
from bench.warm import small_stage
from bench.wrk import BODY, run_load

__all__ = ["churn", "latency"]

_RATE = 1000
_ADDED_MS = 1.0
_CONNECTIONS = 32


def latency(run: Run) -> Measured:
    """What is added to the model's own 99th percentile at 1,000 requests a second."""
    tool = load_program(run.cache)
    flags = ("-rate", str(_RATE), "-c", str(_CONNECTIONS))

    def drive(contender: Contender, seconds: int) -> Load:
        url = f"http://127.0.0.1:{contender.port}{infer_path('fixed')}"
        return run_go_load(tool, "-url", url, seconds=seconds, flags=flags, body=BODY)

    with ExitStack() as stack:
        stage, contenders = small_stage(run, stack)
        model = Contender(
            name="the model itself", process=stage.process, port=stage.port, with_children=False
        )
        entries = take_rounds(f"{_RATE:,} requests/s", [model, *contenders], drive, run)
    return Measured(entries=entries, rows=_added(entries), missing=tuple(stage.missing))


def _added(entries: tuple[Entry, ...]) -> tuple[Row, ...]:
    direct = entry_of(entries, "the model itself")
    assert direct is not None
    return tuple(
        Row(
            case=entry.case,
            figure=f"p99 added by {entry.contender}",
            unit="ms",
            values=tuple(
                ours.p99_ms - models.p99_ms
                for ours, models in zip(entry.samples, direct.samples, strict=True)
            ),
            aim=_ADDED_MS if entry.contender == "ebbtide" else None,
            must=entry.contender == "ebbtide",
        )
        for entry in entries
        if entry is not direct
    )


def churn(run: Run) -> Measured:
    """A connection for each request."""
    wrk = peers.wrk(run.cache)
    run.facts["wrk"] = wrk.version
    with ExitStack() as stack:
        stage, contenders = small_stage(run, stack)

        def drive(contender: Contender, seconds: int) -> Load:
            return run_load(
                wrk,
                f"http://127.0.0.1:{contender.port}{infer_path('fixed')}",
                seconds=seconds,
                connections=_CONNECTIONS,
                folder=run.folder,
                fields={"Connection": "close"},
            )

        entries = take_rounds("a connection each", contenders, drive, run)
    return Measured(entries=entries, missing=tuple(stage.missing))

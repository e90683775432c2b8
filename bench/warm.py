"""CPU per warm request, beside Envoy, nginx and Go's ReverseProxy in the same rounds.

POST of 150 bytes on keep-alive connections, one wrk thread; nginx with a fixed answer behind all.
"""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import fixed, peers
from bench.case import Run
from bench.contenders import GIVEN, Contender, Model, Stage, begin, start
from bench.entries import Entry, Measured, bound
from bench.envoy import Certificate
from bench.gateway import ask, infer_path
from bench.load import Load
from bench.process import DiedError
from bench.rounds import Drive, take_rounds
from bench.stats import Row
from bench.wrk import BODY, run_load

__all__ = ["fixed_model", "measure", "small_stage"]

_MODEL = "fixed"
_OVER_ENVOY = {32: 0.65, 1: 0.6}
"""Connections, and what CPU over Envoy's must not exceed."""
_OVER_GO = 0.5


def measure(run: Run) -> Measured:
    """With 32 connections, and with one request at a time."""
    wrk = peers.wrk(run.cache)
    run.facts["wrk"] = wrk.version
    entries: list[Entry] = []
    rows: list[Row] = []
    with ExitStack() as stack:
        stage, contenders = small_stage(run, stack)
        for connections, limit in _OVER_ENVOY.items():
            made = take_rounds(
                f"warm, c={connections}", contenders, _drive(run, wrk, connections), run
            )
            entries += made
            rows += [*bound(made, "envoy", limit), *bound(made, "go", _OVER_GO)]
    return Measured(entries=tuple(entries), rows=tuple(rows), missing=tuple(stage.missing))


def _drive(run: Run, wrk: peers.Tool, connections: int) -> Drive:
    def drive(contender: Contender, seconds: int) -> Load:
        url = f"http://127.0.0.1:{contender.port}{infer_path(_MODEL)}"
        return run_load(wrk, url, seconds=seconds, connections=connections, folder=run.folder)

    return drive


def small_stage(
    run: Run, stack: ExitStack, *, tls: Certificate | None = None
) -> tuple[Stage, Sequence[Contender]]:
    """Everyone in front of nginx with the fixed answer, each having given it once."""
    stage = begin(run, stack, fixed_model(run), tls=tls)
    contenders = start(stage, ("ebbtide", "envoy", "nginx", "go", *GIVEN))
    for contender in contenders:
        answer = ask(contender.port, "POST", infer_path(_MODEL), BODY, tls=tls is not None)
        if (answer.status, answer.body.decode()) != (200, fixed.ANSWER):
            msg = f"{contender.name} answered {answer.status} {answer.body[:200]!r}"
            raise DiedError(msg)
    return stage, contenders


def fixed_model(run: Run) -> Model:
    """nginx with one answer, as every contender's model server."""
    nginx = peers.nginx(run.cache)
    run.facts["nginx"] = nginx.version

    def command(host: str, port: str, folder: Path) -> Sequence[str]:
        return [sys.executable, "-m", "bench.fixed", str(nginx.path), host, port, str(folder)]

    return Model(name=_MODEL, command=command, annotations={"pinned": "true"})

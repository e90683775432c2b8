"""V2 inference over gRPC, beside Envoy: many calls on one connection, many connections, streams.

Behind both is a model server of ours with grpc-go, and the load is grpc-go's too (both pinned in
`bench/go/grpc`). Messages are of about 130 bytes and name their model, as clients' do.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.case import Run
from bench.contenders import Contender, Model, begin, start
from bench.entries import Entry, Measured, bound
from bench.golang import go_program
from bench.goload import run_go_load
from bench.load import Load
from bench.peers import Tool
from bench.process import free_port
from bench.rounds import Drive, take_rounds
from bench.stats import Row

__all__ = ["grpc_model", "measure"]

_HTTP, _GRPC = "8000", "8001"
_CASES: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("gRPC calls, c=32", ("-c", "32"), 0.7),
    ("gRPC calls, 32 connections", ("-c", "32", "-connections", "32"), 1.2),
    ("gRPC calls, deadlines, c=32", ("-c", "32", "-deadline", "10s"), None),
    ("gRPC streams, a message", ("-c", "32", "-stream"), 1.3),
)
"""Name, flags of the load, and what CPU over Envoy's must not exceed."""


def measure(run: Run) -> Measured:
    """CPU per call, and per message of a stream."""
    tool = go_program("grpc", "load", cache=run.cache)
    entries: list[Entry] = []
    rows: list[Row] = []
    with ExitStack() as stack:
        stage = begin(run, stack, grpc_model(run))
        contenders = start(stage, ("ebbtide", "envoy"))
        for case, flags, limit in _CASES:
            made = take_rounds(case, contenders, _drive(tool, flags), run)
            entries += made
            rows += () if limit is None else bound(made, "envoy", limit)
    return Measured(entries=tuple(entries), rows=tuple(rows), missing=tuple(stage.missing))


def _drive(tool: Tool, flags: Sequence[str]) -> Drive:
    def drive(contender: Contender, seconds: int) -> Load:
        address = f"127.0.0.1:{contender.port}"
        return run_go_load(tool, "-a", address, seconds=seconds, flags=flags)

    return drive


def grpc_model(run: Run) -> Model:
    """Our server with grpc-go, which says over HTTP that it is ready."""
    server = go_program("grpc", "model", cache=run.cache)
    run.facts["go"] = server.version

    def command(host: str, port: str, _folder: Path) -> Sequence[str]:
        http = _HTTP if port == _GRPC else str(free_port())
        return [str(server.path), host, http, port]

    return Model(
        name="fixed", command=command, annotations={"pinned": "true"}, port=_GRPC, http2=True
    )

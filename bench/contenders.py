"""Who is compared, and how each is started in front of one model server.

Every contender gets one core's worth of workers (Envoy `--concurrency 1`, nginx one process, Go
`GOMAXPROCS=1`, with which it spends less per request; ebbtide has one). For the small requests each
has been asked once, and has answered what the model answers, before it is measured.

KEDA's interceptor and Knative's activator are given by a variable, since no package registry has
them: `EBBTIDE_BENCH_KEDA` and `EBBTIDE_BENCH_KNATIVE` name a program, or a script around one, that
is started with `HOST:PORT` to listen on and the model server's URL.
"""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bench import peers
from bench.case import Run
from bench.envoy import Certificate, envoy_configuration
from bench.gateway import Gateway, deployment
from bench.golang import go_program
from bench.nginx import nginx_command, proxy_server, write_nginx
from bench.process import Process, free_port, listening

__all__ = ["GIVEN", "Contender", "Model", "Stage", "begin", "start"]

GIVEN = {"keda": "EBBTIDE_BENCH_KEDA", "knative": "EBBTIDE_BENCH_KNATIVE"}
"""Peers that only a variable brings."""
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A proxy that runs."""

    name: str
    process: Process
    port: int
    with_children: bool

    def cpu_s(self) -> float:
        return self.process.cpu_s(with_children=self.with_children)

    def rss_mb(self) -> float:
        return self.process.rss_bytes(with_children=self.with_children) / 1e6

    def peak_mb(self) -> float:
        """Since `process.forget_peak`, of its first process."""
        return self.process.peak_bytes() / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The model server all of a case's contenders stand in front of."""

    name: str
    command: Callable[[str, str, Path], Sequence[str]]
    """How one is started on a host and port, with a folder for what it writes."""
    annotations: Mapping[str, str]
    """For ebbtide, beyond what all of the benchmark's models have."""
    streams: bool = False
    """Whether answers must pass as they come: nginx then keeps none of them back."""
    http2: bool = False
    """Whether it is spoken to over HTTP/2 without TLS, as gRPC is."""
    port: str = "8000"
    """What ebbtide's replica of it listens on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Contenders and the model server they share, for as long as `stack` is open."""

    run: Run
    stack: ExitStack
    model: Model
    process: Process
    port: int
    """The model server's own."""
    tls: Certificate | None
    """What contenders show their clients."""
    prefixes: Sequence[str]
    """Of paths: Envoy has a route for each."""
    missing: list[str]
    """Who could not be had, and why."""


def begin(
    run: Run,
    stack: ExitStack,
    model: Model,
    *,
    tls: Certificate | None = None,
    prefixes: Sequence[str] = ("/",),
) -> Stage:
    """Start the model server that all but ebbtide share; ebbtide starts another of the same."""
    port = free_port()
    command = model.command("127.0.0.1", str(port), run.folder / "model")
    process = stack.enter_context(Process(command, log=run.folder / "model.log", cwd=_ROOT))
    process.wait_until(lambda: listening("127.0.0.1", port), what="listening")
    return Stage(
        run=run,
        stack=stack,
        model=model,
        process=process,
        port=port,
        tls=tls,
        prefixes=prefixes,
        missing=[],
    )


def start(stage: Stage, names: Sequence[str]) -> tuple[Contender, ...]:
    """Those of `names` that can be had here, in order; why others cannot goes to `missing`."""
    made = []
    for name in names:
        try:
            made.append(_STARTS[name](stage))
        except peers.PeerMissingError as error:
            stage.missing.append(f"{name}: {error}")
    return tuple(made)


def _ebbtide(stage: Stage) -> Contender:
    folder = stage.run.folder / "ebbtide"
    command = stage.model.command("$(POD_IP)", stage.model.port, folder / "model")
    manifest = deployment(stage.model.name, command, annotations=stage.model.annotations)
    settings = {} if stage.tls is None else _tls_settings(stage.tls)
    gateway = stage.stack.enter_context(
        Gateway([manifest], gpus=1, folder=folder, settings=settings)
    )
    return Contender(
        name="ebbtide", process=gateway.process, port=gateway.port, with_children=False
    )


def _tls_settings(tls: Certificate) -> dict[str, str]:
    return {"EBBTIDE_TLS_CERT": str(tls.chain), "EBBTIDE_TLS_KEY": str(tls.key)}


def _envoy(stage: Stage) -> Contender:
    tool, port = peers.envoy(stage.run.cache, lock=stage.run.lock), free_port()
    configuration = stage.run.folder / "envoy.json"
    configuration.write_text(
        envoy_configuration(
            port,
            stage.port,
            http2=stage.model.http2,
            tls=stage.tls,
            prefixes=stage.prefixes,
        )
    )
    flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    command: list[str | Path] = [tool.path, *flags, "-c", configuration]
    return _started(stage, "envoy", tool, command, port=port)


def _nginx(stage: Stage) -> Contender:
    tool, port = peers.nginx(stage.run.cache), free_port()
    server = proxy_server(port, stage.port, buffering=not stage.model.streams, tls=stage.tls)
    configuration = write_nginx(stage.run.folder / "nginx-proxy", server)
    return _started(stage, "nginx", tool, nginx_command(tool.path, configuration), port=port)


def _go(stage: Stage) -> Contender:
    tool, port = go_program("http", "reverseproxy", cache=stage.run.cache), free_port()
    tool = replace(tool, env={**tool.env, "GOMAXPROCS": "1"})
    command = [str(tool.path), f"127.0.0.1:{port}", f"http://127.0.0.1:{stage.port}"]
    if stage.tls is not None:
        command += [str(stage.tls.chain), str(stage.tls.key)]
    return _started(stage, "go", tool, command, port=port)


def _given(name: str) -> Callable[[Stage], Contender]:
    def begun(stage: Stage) -> Contender:
        words = shlex.split(os.environ.get(GIVEN[name], ""))
        if not words:
            msg = f"not given ({GIVEN[name]} names a program)"
            raise peers.PeerMissingError(msg)
        if stage.tls is not None:
            msg = "takes no part in TLS here"
            raise peers.PeerMissingError(msg)
        port = free_port()
        tool = peers.Tool(path=Path(words[0]), env=dict(os.environ), version="as given")
        command = [*words, f"127.0.0.1:{port}", f"http://127.0.0.1:{stage.port}"]
        return _started(stage, name, tool, command, port=port)

    return begun


_STARTS: Mapping[str, Callable[[Stage], Contender]] = {
    "ebbtide": _ebbtide,
    "envoy": _envoy,
    "nginx": _nginx,
    "go": _go,
    **{name: _given(name) for name in GIVEN},
}


def _started(
    stage: Stage, name: str, tool: peers.Tool, command: Sequence[str | Path], *, port: int
) -> Contender:
    stage.run.facts[name] = tool.version
    log = stage.run.folder / f"{name}.log"
    process = stage.stack.enter_context(Process(command, log=log, env=dict(tool.env)))
    process.wait_until(lambda: listening("127.0.0.1", port), what="listening")
    return Contender(name=name, process=process, port=port, with_children=True)

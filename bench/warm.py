"""CPU per warm request, beside Envoy in the same rounds.

POST of 150 bytes, keep-alive, 32 connections, one wrk thread; nginx with a fixed answer behind
both. Counted is the user and system time of the proxy's process (Envoy: its children too; ebbtide:
gateway, activator and autoscaler are one process, whose children are model servers).
"""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench import fixed, peers
from bench.case import Run
from bench.gateway import Gateway, ask, deployment, infer_path
from bench.process import DiedError, Process, free_port, listening
from bench.progress import say
from bench.stats import Row, cpu_us, ratios, turns
from bench.wrk import BODY, Load, run_load

__all__ = ["AIM_RATIO", "CONNECTIONS", "measure"]

CONNECTIONS = 32
AIM_RATIO = 1.0
"""Aim: not above Envoy."""
_MODEL = "fixed"
_WARM_UP_S = 1
_ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network\
.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: "/"}}, \
route: {{cluster: model}}}}]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: model
    connect_timeout: 1s
    circuit_breakers: {{thresholds: [{{max_connections: 4096, max_requests: 100000}}]}}
    load_assignment:
      cluster_name: model
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {model}}}}}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contender:
    name: str
    process: Process
    port: int
    with_children: bool


def measure(run: Run) -> Sequence[Row]:
    """CPU and latency of each contender, and the ratio to Envoy."""
    wrk = peers.wrk(run.cache)
    run.facts["wrk"] = wrk.version
    with ExitStack() as stack:
        contenders = {made.name: made for made in _start(run, stack)}
        cpu: dict[str, list[float]] = {name: [] for name in contenders}
        loads: dict[str, list[Load]] = {name: [] for name in contenders}
        for contender in contenders.values():
            _drive(run, wrk, contender, seconds=_WARM_UP_S)
        for turn in turns(list(contenders), run.rounds):
            say(f"warm: round {turn.round + 1} of {run.rounds}, {turn.name}")
            load, us = _drive(run, wrk, contenders[turn.name], seconds=run.seconds)
            cpu[turn.name].append(us)
            loads[turn.name].append(load)
    return _rows(cpu, loads)


def _drive(run: Run, wrk: peers.Tool, contender: _Contender, *, seconds: int) -> tuple[Load, float]:
    url = f"http://127.0.0.1:{contender.port}{infer_path(_MODEL)}"
    before = contender.process.cpu_s(with_children=contender.with_children)
    load = run_load(wrk, url, seconds=seconds, connections=CONNECTIONS, folder=run.folder)
    used = contender.process.cpu_s(with_children=contender.with_children) - before
    return load, cpu_us(used, load.requests)


def _start(run: Run, stack: ExitStack) -> Sequence[_Contender]:
    nginx = peers.nginx(run.cache)
    envoy = peers.envoy(run.cache, lock=run.lock)
    run.facts.update(nginx=nginx.version, envoy=envoy.version)
    say("warm: starting nginx, Envoy and ebbtide")
    model_port = _serve_fixed(run, stack, nginx)
    made = (_ebbtide(run, stack, nginx), _envoy(run, stack, envoy, model_port))
    for contender in made:
        answer = ask(contender.port, "POST", infer_path(_MODEL), BODY)
        if (answer.status, answer.body.decode()) != (200, fixed.ANSWER):
            msg = f"{contender.name} answered {answer.status} {answer.body[:200]!r}"
            raise DiedError(msg)
    return made


def _serve_fixed(run: Run, stack: ExitStack, nginx: peers.Tool) -> int:
    port = free_port()
    configuration = fixed.write_configuration("127.0.0.1", port, run.folder / "nginx")
    command = fixed.nginx_command(nginx.path, configuration)
    process = stack.enter_context(
        Process(command, log=run.folder / "nginx.log", env=dict(nginx.env))
    )
    process.wait_until(lambda: listening("127.0.0.1", port), what="listening")
    return port


def _envoy(run: Run, stack: ExitStack, envoy: peers.Tool, model: int) -> _Contender:
    port = free_port()
    configuration = run.folder / "envoy.yaml"
    configuration.write_text(_ENVOY.format(port=port, model=model))
    flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    process = stack.enter_context(
        Process([envoy.path, *flags, "-c", configuration], log=run.folder / "envoy.log")
    )
    process.wait_until(lambda: listening("127.0.0.1", port), what="listening")
    return _Contender(name="envoy", process=process, port=port, with_children=True)


def _ebbtide(run: Run, stack: ExitStack, nginx: peers.Tool) -> _Contender:
    folder = run.folder / "ebbtide"
    home = str(folder / "nginx")
    command = [sys.executable, "-m", "bench.fixed", str(nginx.path), "$(POD_IP)", "8000", home]
    manifest = deployment(_MODEL, command, annotations={"pinned": "true"})
    gateway = stack.enter_context(Gateway([manifest], gpus=1, folder=folder))
    return _Contender(
        name="ebbtide", process=gateway.process, port=gateway.port, with_children=False
    )


def _rows(cpu: dict[str, list[float]], loads: dict[str, list[Load]]) -> Sequence[Row]:
    rows = [
        Row(case="warm", figure=f"CPU per request, {name}", unit="us", values=tuple(values))
        for name, values in cpu.items()
    ]
    over = ratios(cpu["ebbtide"], cpu["envoy"])
    rows.append(
        Row(case="warm", figure="CPU, ebbtide / Envoy", unit="x", values=over, aim=AIM_RATIO)
    )
    for name, made in loads.items():
        rate = tuple(load.requests / load.seconds for load in made)
        p99 = tuple(load.p99_us / 1000 for load in made)
        rows.append(Row(case="warm", figure=f"requests, {name}", unit="1/s", values=rate))
        rows.append(Row(case="warm", figure=f"p99, {name}", unit="ms", values=p99))
    return rows

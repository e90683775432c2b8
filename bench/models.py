"""A thousand models: what finding the right one costs, and keeping account of all of them.

Of 1,000 Deployments 20 are awake, and requests go to those in turns; the other 980 sleep. Beside it
stand ebbtide with one model, and Envoy with a route for each of the 1,000.

Looking after the many must not halt the requests of the few: one comes every millisecond, and what
it waits for at the worst is told beside what it waits for where there is one model.
"""

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from bench import peers
from bench.case import Run
from bench.contenders import Contender, Model, begin, start
from bench.entries import Measured, entry_of
from bench.gateway import Gateway, ask, deployment, infer_path
from bench.load import Load
from bench.paced import Paced, paced
from bench.process import DiedError
from bench.progress import say
from bench.rounds import take_rounds
from bench.stats import Row, ratios
from bench.warm import fixed_model
from bench.wrk import BODY, run_load

__all__ = ["measure"]

_DEPLOYMENTS = 1000
_AWAKE_EVERY = 50
_CONNECTIONS = 32
_REST_S = 4.0
"""Two of the autoscaler's ticks."""
_NAMES = tuple(f"model-{number}" for number in range(_DEPLOYMENTS))
_AWAKE = _NAMES[::_AWAKE_EVERY]
_ONE = "ebbtide, one"
_P99_OVER_ONE = 2.0
"""A halt of 100 ms each second would make it ten and more."""


def measure(run: Run) -> Measured:
    """CPU per request among 1,000 models, and with one."""
    wrk = peers.wrk(run.cache)
    run.facts["wrk"] = wrk.version
    awake = [infer_path(name) for name in _AWAKE]

    def drive(contender: Contender, seconds: int) -> Load:
        return run_load(
            wrk,
            f"http://127.0.0.1:{contender.port}",
            seconds=seconds,
            connections=_CONNECTIONS,
            folder=run.folder,
            paths=[infer_path("fixed")] if contender.name == _ONE else awake,
        )

    prefixes = [infer_path(name).removesuffix("infer") for name in _NAMES]
    with ExitStack() as stack:
        stage = begin(run, stack, fixed_model(run), prefixes=prefixes)
        one, *others = start(stage, ("ebbtide", "envoy"))
        contenders = (_many(run, stack), replace(one, name=_ONE), *others)
        entries = take_rounds(f"{_DEPLOYMENTS:,} models", contenders, drive, run)
        rest = _at_rest(run, contenders[0])
        halts = _halts(run, contenders[0], contenders[1])
    many, alone = entry_of(entries, "ebbtide"), entry_of(entries, _ONE)
    assert many is not None
    assert alone is not None
    figure = f"CPU, {_DEPLOYMENTS:,} models / one"
    row = Row(case="models", figure=figure, unit="x", values=ratios(many.cpu_us, alone.cpu_us))
    return Measured(entries=entries, rows=(row, rest, *halts), missing=tuple(stage.missing))


def _at_rest(run: Run, contender: Contender) -> Row:
    """What keeping account of them takes while nobody calls."""
    shares = []
    for _ in range(run.rounds):
        before, began = contender.cpu_s(), time.monotonic()
        time.sleep(_REST_S)
        shares.append(100 * (contender.cpu_s() - before) / (time.monotonic() - began))
    figure = f"CPU at rest, {_DEPLOYMENTS:,} models, of a core"
    return Row(case="models", figure=figure, unit="%", values=tuple(shares))


def _halts(run: Run, many: Contender, one: Contender) -> tuple[Row, ...]:
    """What a request waits for, at the worst, when another comes every millisecond."""
    beside: list[Paced] = []
    alone: list[Paced] = []
    for _ in range(run.rounds):
        beside.append(paced(many.port, [infer_path(_AWAKE[0])], BODY, seconds=_REST_S))
        alone.append(paced(one.port, [infer_path("fixed")], BODY, seconds=_REST_S))
    rows = [
        Row(case="models", figure=f"{figure} of 1,000 rps, {who}", unit="ms", values=values)
        for who, found in ((f"{_DEPLOYMENTS:,} models", beside), ("one", alone))
        for figure, values in (
            ("p99", tuple(each.p99_ms for each in found)),
            ("longest", tuple(each.longest_ms for each in found)),
        )
    ]
    p99 = ratios([each.p99_ms for each in beside], [each.p99_ms for each in alone])
    figure = f"p99 of 1,000 rps, {_DEPLOYMENTS:,} models / one"
    return (*rows, Row(case="models", figure=figure, unit="x", values=p99, aim=_P99_OVER_ONE))


def _many(run: Run, stack: ExitStack) -> Contender:
    say(f"models: starting ebbtide with {_DEPLOYMENTS:,} Deployments, {len(_AWAKE)} of them awake")
    folder = run.folder / "ebbtide-many"
    model = fixed_model(run)
    manifests = [_deployment(run, model, name) for name in _NAMES]
    gateway = stack.enter_context(Gateway(manifests, gpus=len(_AWAKE), folder=folder))
    for name in _AWAKE:
        answer = ask(gateway.port, "POST", infer_path(name), BODY, wait=60)
        if answer.status != 200:
            msg = f"{name} was answered {answer.status} {answer.body[:200]!r}"
            raise DiedError(msg)
    return Contender(
        name="ebbtide", process=gateway.process, port=gateway.port, with_children=False
    )


def _deployment(run: Run, model: Model, name: str) -> dict[str, Any]:
    command = model.command("$(POD_IP)", model.port, run.folder / name)
    return deployment(name, command, annotations=model.annotations if name in _AWAKE else {})

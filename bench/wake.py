"""What ebbtide adds to a cold start, at both ends of it.

Each model is woken once by one request. Its server notes when it opened its port and when the
request reached it: the time between is ebbtide's (seeing the port, asking whether the model is
ready, sending). At the other end the journal notes when the scale had been written; the client
notes when it sent.
"""

import sys
import time
from dataclasses import dataclass
from typing import Any

from bench.case import Run
from bench.entries import Measured
from bench.gateway import Gateway, ask, deployment, infer_path
from bench.process import DiedError
from bench.progress import say
from bench.stats import Row
from bench.wrk import BODY

__all__ = ["AIM_DISPATCH_MS", "AIM_WRITTEN_MS", "WAKES_PER_ROUND", "measure"]

AIM_DISPATCH_MS = 20.0
AIM_WRITTEN_MS = 5.0
WAKES_PER_ROUND = 5
_LOADING_S = 0.3
_FIGURES = (
    "model ready to first request on it",
    "of that, from seeing its port to ready",
    "arrival to scale written",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wake:
    """One wake, seconds."""

    dispatch_s: float
    probe_s: float
    written_s: float


def measure(run: Run) -> Measured:
    """Model ready to the first request on it, and arrival to scale written."""
    names = [f"wake-{number}" for number in range(run.rounds * WAKES_PER_ROUND)]
    command = [sys.executable, "-m", "bench.model", "$(POD_IP)", "8000", "--after", str(_LOADING_S)]
    manifests = [
        deployment(name, command, annotations={"keep-alive": "1h", "start-timeout": "30s"})
        for name in names
    ]
    say(f"wake: {len(names)} models, each woken once")
    wakes: list[_Wake] = []
    with Gateway(manifests, gpus=len(names), folder=run.folder / "ebbtide") as gateway:
        for number, name in enumerate(names):
            if number % WAKES_PER_ROUND == 0:
                say(f"wake: round {number // WAKES_PER_ROUND + 1} of {run.rounds}")
            wakes.append(_wake(gateway, name))
    dispatch = tuple(wake.dispatch_s * 1000 for wake in wakes)
    probe = tuple(wake.probe_s * 1000 for wake in wakes)
    written = tuple(wake.written_s * 1000 for wake in wakes)
    sent, of_it, wrote = _FIGURES
    rows = (
        Row(case="wake", figure=sent, unit="ms", values=dispatch, aim=AIM_DISPATCH_MS),
        Row(case="wake", figure=of_it, unit="ms", values=probe),
        Row(case="wake", figure=wrote, unit="ms", values=written, aim=AIM_WRITTEN_MS),
    )
    return Measured(rows=rows)


def _wake(gateway: Gateway, name: str) -> _Wake:
    sent = time.time()
    answer = ask(gateway.port, "POST", infer_path(name), BODY, wait=60)
    if answer.status != 200:
        msg = f"{name} was answered {answer.status}: {answer.body[:200]!r}"
        raise DiedError(msg)
    times, model = answer.json(), gateway.model(name)
    return _Wake(
        dispatch_s=times["got"] - times["opened"],
        probe_s=model["cold_start_phases"]["probe"],
        written_s=_written_at(model) - sent,
    )


def _written_at(model: Any) -> float:
    """When 0 -> 1 had been written, out of the model's journal, Unix time."""
    for entry in model["journal"]:
        if entry["before"] == 0 and entry["after"] == 1:
            return float(entry["at"])
    msg = f"the journal of {model['model']} tells of no wake: {model['journal']}"
    raise DiedError(msg)

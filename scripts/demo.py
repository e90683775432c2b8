"""The demo: four real models share two GPUs; every request is answered, and here is the bill.

Starts `ebbtide up examples/quickstart --gpus 2`, sends real requests with Triton's own client,
checks the answers, and shows what happens. On a terminal it then stays up until Ctrl-C.

Exit code 0; 1 when a request was lost or answered wrongly; 130 after Ctrl-C before the end.
"""

import queue
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text
from tritonclient.utils import InferenceServerException

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "examples" / "quickstart"
sys.path[:0] = [str(QUICKSTART), str(ROOT)]

from client import QUESTIONS, Client, Finding  # noqa: E402  # the example beside the manifests

from scripts.demo_stage import Broken, Ebbtide, Stage  # noqa: E402

GPUS = 2
CROWD = 10
"""Requests at once for each model in the last step."""
PATIENCE_S = 180.0
"""A request that takes longer counts as lost."""
MONEY = ("cost", "saved")
GPU_SECONDS = {
    "starting": "starting",
    "serving": "serving",
    "idle": "idle",
    "draining": "draining",
    "held": "allocated",
    "always on": "always_on",
    "released": "released",
}
"""What the columns are called, and where their figures stand in /api/cost."""
_COLD = re.compile(r"\bcold;dur=([0-9.]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one request."""

    model: str
    seconds: float
    cold: bool = False
    finding: Finding | None = None
    """None when it was lost."""
    why: str = ""
    """Then this says why."""

    @property
    def good(self) -> bool:
        return self.finding is not None and self.finding.right

    def text(self) -> Text:
        if self.finding is None:
            return Text(f"LOST after {self.seconds:.2f} s: {self.why}", style="bold red")
        words = self.finding.words if self.good else f"WRONG: {self.finding.words}"
        start = Text("cold ", style="cyan") if self.cold else Text("warm ", style="green")
        seconds = Text(f"{self.seconds:6.2f} s  ", style="bold")
        return start + seconds + Text(words, style="" if self.good else "bold red")


@dataclass
class Demo:
    """The requests sent, and what became of them."""

    url: str
    stage: Stage
    answers: list[Answer] = field(default_factory=list)

    def play(self) -> None:
        """The story, in three steps."""
        models = list(QUESTIONS)
        self.stage.heading(f"1. All four sleep. One request each, all at once, for {GPUS} GPUs:")
        self.at_once(models)
        self.stage.heading("2. In turns: whoever is called takes the GPU of the one idle longest:")
        while models:
            model = self.asleep(models)
            models.remove(model)
            self.at_once([model])
            self.at_once([model])
        self.stage.heading(f"3. A crowd: {CROWD} requests for each model, all at once:")
        for answer in self.at_once(list(QUESTIONS) * CROWD, quiet=True):
            if not answer.good:
                self.stage.line(answer.model, answer.text())

    def asleep(self, models: list[str]) -> str:
        """One of these that holds no GPU, if there is one."""
        told = self.stage.ask("models")["models"]
        without = [model["model"] for model in told if not model["gpus"]]
        return next((model for model in models if model in without), models[0])

    def at_once(self, models: list[str], *, quiet: bool = False) -> list[Answer]:
        """A request for each, at the same moment; the answers as they come, said unless `quiet`."""
        done: queue.Queue[Answer] = queue.Queue()
        for model in models:
            threading.Thread(target=lambda m=model: done.put(one(self.url, m)), daemon=True).start()
        missing = list(models)
        found: list[Answer] = []
        deadline = time.monotonic() + PATIENCE_S
        while missing:
            try:
                answer = done.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                found += [Answer(model=m, seconds=PATIENCE_S, why="no answer") for m in missing]
                break
            missing.remove(answer.model)
            found.append(answer)
            if not quiet:
                self.stage.line(answer.model, answer.text())
            elif answer.model not in missing:
                self.stage.line(answer.model, summary(answer.model, found))
        self.answers += found
        return found


def one(url: str, model: str) -> Answer:
    """One real request, by a client of its own."""
    start = time.monotonic()
    client = Client(url)
    try:
        finding = QUESTIONS[model](client)
    except (InferenceServerException, OSError) as error:
        return Answer(model=model, seconds=time.monotonic() - start, why=str(error))
    finally:
        client.close()
    cold = _COLD.search(client.server_timing) is not None
    return Answer(model=model, seconds=time.monotonic() - start, cold=cold, finding=finding)


def summary(model: str, answers: list[Answer]) -> Text:
    own = [answer for answer in answers if answer.model == model]
    good = sum(answer.good for answer in own)
    seconds = sorted(answer.seconds for answer in own)
    return Text(
        f"{good} of {len(own)} answered right, after {seconds[0]:.2f} to {seconds[-1]:.2f} s",
        style="" if good == len(own) else "bold red",
    )


def bill(stage: Stage) -> None:
    """What it cost, by model and by what the GPUs were held for."""
    cost = stage.ask("cost")
    states = {model["model"]: model for model in stage.ask("models")["models"]}
    lines, total = cost["models"], cost["total"]
    money = table(
        "requests", "cold starts", "last cold start", f"cost, {cost['currency']}", "saved"
    )
    held = table(*GPU_SECONDS)
    for line in lines:
        state = states[line["model"]]
        last = state["last_cold_start_s"]
        counts = [str(state["requests"]), str(state["cold_starts"])]
        counts.append("-" if last is None else f"{last:.1f} s")
        money.add_row(line["model"], *counts, *figures(line, MONEY, 4))
        held.add_row(line["model"], *figures(line, GPU_SECONDS.values(), 1))
    requests, cold = (sum(s[key] for s in states.values()) for key in ("requests", "cold_starts"))
    money.add_section()
    money.add_row("all", str(requests), str(cold), "", *figures(total, MONEY, 4), style="bold")
    held.add_section()
    held.add_row("all", *figures(total, GPU_SECONDS.values(), 1), style="bold")
    stage.heading(f"What it cost, in {cost['seconds']:.0f} s:")
    stage.console.print(money)
    stage.console.print("GPU-seconds, by what the GPUs were held for:")
    stage.console.print(held)
    stage.console.print(
        f"Always on they would have held {total['always_on']:.0f} GPU-seconds on four GPUs;"
        f" they held {total['allocated']:.0f} on {GPUS}.",
        soft_wrap=True,
    )


def table(*heads: str) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column("model")
    for head in heads:
        made.add_column(head, justify="right")
    return made


def figures(line: dict, keys: Iterable[str], decimals: int) -> list[str]:
    return [f"{line[key]:.{decimals}f}" for key in keys]


def stay(ebbtide: Ebbtide, stage: Stage) -> None:
    """Say where everything is, until Ctrl-C. Raises `Broken` when ebbtide ends by itself."""
    stage.heading("It stays up. Try it from a second terminal; Ctrl-C ends it.")
    text = f"""\
  models      http://{ebbtide.url}      the page   {ebbtide.admin}/

  .venv/bin/python examples/quickstart/client.py --url {ebbtide.url}
  .venv/bin/ebbtide top --admin {ebbtide.admin}
  curl -s {ebbtide.admin}/api/cost
  curl -s {ebbtide.url}/v2/models/embed/infer -d \\
    '{{"inputs": [{{"name": "TEXT", "datatype": "BYTES", "shape": [1, 1], "data": ["Hello"]}}]}}'
"""
    stage.console.print(text, soft_wrap=True, highlight=False, markup=False)
    ebbtide.wait()


def run(ebbtide: Ebbtide) -> bool:
    """Whether every request was answered, and rightly."""
    with Stage(ebbtide.admin) as stage:
        demo = Demo(url=ebbtide.url, stage=stage)
        demo.play()
        good = sum(answer.good for answer in demo.answers)
        bill(stage)
    sent = len(demo.answers)
    well = good == sent
    verdict = f"All {sent} requests were answered, and answered right."
    if not well:
        verdict = f"{sent - good} of {sent} requests were lost or answered wrongly."
    stage.console.print(Text(verdict, style="bold green" if well else "bold red"))
    if stage.console.is_terminal and well:
        try:
            stay(ebbtide, stage)
        except KeyboardInterrupt:
            stage.console.print()
    return well


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    models = ROOT / ".venv-models"
    if not (models / "bin" / "python").exists():
        print("demo: .venv-models is missing: run `make demo`, which sets it up", file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "ebbtide", "up", str(QUICKSTART), "--gpus", str(GPUS)]
    state = ROOT / ".ebbtide"
    ebbtide = Ebbtide(
        command,
        settings={"EBBTIDE_TRITONSERVER": str(models), "EBBTIDE_STATE_DIR": str(state)},
        log=state / "demo.log",
    )
    print(f"$ ebbtide up {QUICKSTART.relative_to(ROOT)} --gpus {GPUS}", flush=True)
    code = 130
    try:
        ebbtide.start()
        print(f"models at http://{ebbtide.url}, admin at {ebbtide.admin}", flush=True)
        code = 0 if run(ebbtide) else 1
    except Broken as broken:
        print(f"demo: {broken}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted, stopping ebbtide", file=sys.stderr)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ended = ebbtide.stop(urgent=code == 130)
    if ended != 0 and code == 0:
        print(f"demo: `ebbtide up` ended with exit code {ended}", file=sys.stderr)
        code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())

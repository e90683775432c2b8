"""An `AdminView` made of plain values, and one with a bit of everything in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from activator.core.retries import Denied, Loss
from fleet.messages import (
    CostLine,
    CostReport,
    DecisionReport,
    Entry,
    ReplicaSample,
    RevisionSample,
)
from fleet.model import Drain, Fleet, GpuNode, GpuPool, Phase, Problem, Replica, Served
from fleet.names import ModelName, ReplicaName, RevisionName
from fleet.reasons import Reason
from fleet.starts import Failure
from gateway.admin.ports import ProcessState, Unready
from gateway.core.tally import Tally
from tests.fakes.cluster import revision


@dataclass
class FakeLine:
    """A `LineView`."""

    seen: RevisionSample
    stands: Phase
    cold_starts: int = 0
    last_cold_start_s: float | None = None
    cold_start_phases: Mapping[str, float] = field(default_factory=dict)
    last_failure: Failure | None = None

    def phase(self) -> Phase:
        return self.stands

    def sample(self, now: float) -> RevisionSample:
        return self.seen


@dataclass
class FakeView:
    """An `AdminView`."""

    snapshot: Fleet = field(default_factory=Fleet)
    lines: dict[str, FakeLine] = field(default_factory=dict)
    tallies: dict[str | None, Tally] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    decisions: dict[str, DecisionReport] = field(default_factory=dict)
    account: CostReport = field(
        default_factory=lambda: CostReport(currency="USD", seconds=0.0, lines=())
    )
    lacks: Unready | None = None
    state: ProcessState = field(default_factory=ProcessState)
    time: float = 1000.0

    def fleet(self) -> Fleet:
        return self.snapshot

    def line(self, revision: RevisionName) -> FakeLine | None:
        return self.lines.get(revision)

    def tally(self, revision: RevisionName | None) -> Tally | None:
        return self.tallies.get(revision)

    def journal(self, limit: int, *, revision: RevisionName | None = None) -> Sequence[Entry]:
        return [e for e in self.entries if revision in (None, e.revision)][-limit:]

    def decision(self, revision: RevisionName) -> DecisionReport | None:
        return self.decisions.get(revision)

    def cost(self) -> CostReport:
        return self.account

    def unready(self) -> Unready | None:
        return self.lacks

    def process(self) -> ProcessState:
        return self.state

    def now(self) -> float:
        return self.time


def sample(name: str, **changes: object) -> RevisionSample:
    """A revision's sample: nobody waits or runs, nothing is ready."""
    made = RevisionSample(
        revision=RevisionName(name),
        waiting=0,
        running=0,
        waiting_s=0.0,
        running_s=0.0,
        arrivals=0,
        completions=0,
        service_s=0.0,
        oldest_wait=None,
        idle_for=None,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def seat(name: str) -> ReplicaSample:
    """A replica whose model answers."""
    return ReplicaSample(
        name=ReplicaName(name), running=1, busy_s=1.0, slots=4, ready_for=3.0, ready_after=2.0
    )


def replica(name: str, phase: Phase, **changes: object) -> Replica:
    """A replica that has one GPU."""
    made = Replica(
        name=ReplicaName(name),
        phase=phase,
        since=990.0,
        template="t1",
        address="127.1.0.1",
        gpus=1,
        gpu_ids=("0",),
        started=985.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def entry(event: str, model: str, **changes: object) -> Entry:
    """A line of the journal."""
    made = Entry(
        at=1.7e9, revision=RevisionName(f"default/{model}"), model=ModelName(model), event=event
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def cost_line(model: str, *, gpu_seconds: tuple[float, ...], always_on: float) -> CostLine:
    """A line of the bill; `gpu_seconds` by state: starting, serving, idle, draining."""
    starting, serving, idle, draining = gpu_seconds
    return CostLine(
        model=ModelName(model),
        revision=RevisionName(f"default/{model}"),
        gpu_class="gpu",
        price=3.6,
        starting=starting,
        serving=serving,
        idle=idle,
        draining=draining,
        always_on=always_on,
    )


def busy_view() -> FakeView:
    """Four models: one serves, one starts, one sleeps, one failed; two GPUs."""
    names = [Served(name=ModelName("team/ocr"), served="ocr")]
    names.append(Served(name=ModelName("reader"), served="ocr"))
    serving = revision("ocr", models=tuple(names), replicas=3)
    marked = Drain(number=1, replicas=frozenset({ReplicaName("ocr-2")}))
    revisions = (
        replace(serving, drain=marked),
        revision("speech", replicas=1),
        revision("magika", replicas=0, second_writer="HorizontalPodAutoscaler magika"),
        revision("broken", replicas=1),
    )
    view = FakeView()
    view.snapshot = Fleet(
        number=7,
        revisions={r.name: r for r in revisions},
        replicas={
            RevisionName("default/ocr"): (
                replica("ocr-1", Phase.LOADING, node="n1"),
                replica("ocr-2", Phase.LOADING, gpu_ids=("1",)),
                replica(
                    "ocr-3",
                    Phase.PENDING,
                    gpus=0,
                    gpu_ids=(),
                    started=None,
                    address=None,
                    reason=Reason.NO_FREE_GPU,
                ),
            ),
            RevisionName("default/speech"): (
                replica("speech-1", Phase.LOADING, reason=Reason.STARTING, gpu_ids=("2",)),
            ),
            RevisionName("default/broken"): (
                replica(
                    "broken-4",
                    Phase.FAILED,
                    gpus=0,
                    gpu_ids=(),
                    address=None,
                    reason=Reason.CRASH_LOOP_BACK_OFF,
                    message="no weights",
                ),
            ),
            RevisionName("default/gone"): (
                replica("gone-1", Phase.DRAINING, reason=Reason.STOPPING, gpu_ids=("3",)),
            ),
        },
        gpus=(GpuPool(name="gpu", total=5, free=1, elastic=3),),
        nodes=(GpuNode(name="n1", gpu_class="gpu", total=5, free=1),),
        problems=(
            Problem(
                source="bad.yaml",
                deployment="x",
                key="ebbtide.dev/slots",
                value="many",
                allowed="auto or a whole number from 1 to 10000",
            ),
            Problem(
                source="odd.yaml",
                deployment="y",
                key="command",
                value="",
                allowed="it cannot bind an address",
                warning=True,
            ),
        ),
    )
    failure = Failure(
        replica=ReplicaName("broken-3"),
        reason=Reason.EXITED,
        message="broken: no weights",
        log=("line 1", "line 2"),
        at=940.0,
    )
    view.lines = {
        "default/ocr": FakeLine(
            sample("default/ocr", waiting=2, running=3, replicas=(seat("ocr-1"), seat("ocr-2"))),
            Phase.READY,
            cold_starts=2,
            last_cold_start_s=2.25,
            cold_start_phases={"ask": 0.01, "load": 2.1},
        ),
        "default/speech": FakeLine(sample("default/speech", waiting=1), Phase.LOADING, 1),
        "default/magika": FakeLine(sample("default/magika", idle_for=75.5), Phase.ASLEEP, 4, 1.5),
        "default/broken": FakeLine(sample("default/broken"), Phase.FAILED, last_failure=failure),
    }
    view.tallies = {"default/ocr": _tally(), None: Tally()}
    view.tallies[None].count(404)
    view.tallies[None].refuse(Reason.UNKNOWN_MODEL)
    view.entries = [
        entry("woken", "speech", reason=Reason.DEMAND, before=0, after=1),
        entry("ready", "ocr", seconds=2.0, message='<b>not "markup"</b>'),
    ]
    view.decisions = {
        "default/ocr": DecisionReport(
            revision=RevisionName("default/ocr"),
            at=1.7e9,
            before=2,
            after=3,
            reason=Reason.QUEUE_AND_GPU,
            message="queue grows",
            inputs={"waiting": 2, "gpu_use": None},
        )
    }
    view.account = CostReport(
        currency="EUR",
        seconds=600.0,
        lines=(
            cost_line("ocr", gpu_seconds=(10.0, 200.0, 50.0, 5.0), always_on=600.0),
            cost_line("magika", gpu_seconds=(5.0, 20.0, 40.0, 2.0), always_on=600.0),
        ),
    )
    view.state = ProcessState(leader=True, gateways=2, cluster_cut_s=0.0, bus_cut_s=12.5)
    view.state = replace(view.state, bus_refused=False, bus_lost={"odd": 0, "crowded": 7})
    return view


def _tally() -> Tally:
    made = Tally()
    for code, count in ((200, 40), (404, 2), (503, 3), (502, 1)):
        made.codes[code] = count
    made.refuse(Reason.WAIT_TIMEOUT)
    made.retry(Loss.RESET)
    made.deny(Denied.BUDGET)
    for seconds in (0.0005, 0.3, 700.0, 5000.0):
        made.wait.add(seconds)
    return made

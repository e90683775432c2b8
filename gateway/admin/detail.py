"""What the admin API tells of one model beyond its state: why, and what went before."""

from dataclasses import dataclass

from fleet.messages import DecisionReport, Entry
from fleet.model import Revision
from fleet.starts import Failure
from gateway.admin.ports import AdminView
from gateway.admin.state import answering, standing

__all__ = [
    "Decision",
    "Detail",
    "JournalEntry",
    "LastError",
    "ReplicaState",
    "detail",
    "journal_entry",
]

_RECENT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The autoscaler's last answer, with what it was decided on. `at` is Unix time, seconds."""

    at: float
    before: int
    after: int
    reason: str
    message: str
    inputs: dict[str, float | int | str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastError:
    """The last failed start, in the runtime's own words."""

    replica: str
    reason: str
    message: str
    log: tuple[str, ...]
    ago_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One line of the journal. `at` is Unix time, seconds."""

    at: float
    model: str
    revision: str
    event: str
    reason: str | None
    message: str
    before: int | None
    after: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaState:
    """One replica now."""

    replica: str
    phase: str
    reason: str | None
    message: str
    address: str | None
    gpus: int
    gpu_ids: tuple[str, ...]
    node: str | None
    started_s: float | None
    """Seconds since it got its GPU; None while Pending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What stands beside a model's state under its own address."""

    replicas: tuple[ReplicaState, ...]
    """Eldest first."""
    decision: Decision | None
    cold_start_phases: dict[str, float]
    """Seconds by phase of the cold start under way, else of the last one."""
    journal: tuple[JournalEntry, ...]
    """The newest entries, oldest first."""
    last_error: LastError | None


def detail(view: AdminView, revision: Revision) -> Detail:
    """Why the model is as it is."""
    line = view.line(revision.name)
    failure = None if line is None else line.last_failure
    journal = view.journal(_RECENT, revision=revision.name)
    return Detail(
        replicas=_replicas(view, revision),
        decision=_decision(view.decision(revision.name)),
        cold_start_phases={} if line is None else dict(line.cold_start_phases),
        journal=tuple(map(journal_entry, journal)),
        last_error=None if failure is None else _last_error(failure, view.now()),
    )


def journal_entry(entry: Entry) -> JournalEntry:
    """A line of the journal as the API tells it."""
    return JournalEntry(
        at=entry.at,
        model=entry.model,
        revision=entry.revision,
        event=entry.event,
        reason=None if entry.reason is None else entry.reason.value,
        message=entry.message,
        before=entry.before,
        after=entry.after,
        seconds=entry.seconds,
    )


def _replicas(view: AdminView, revision: Revision) -> tuple[ReplicaState, ...]:
    now = view.now()
    ready = answering(view.line(revision.name), now)
    return tuple(
        ReplicaState(
            replica=replica.name,
            phase=standing(replica, revision, ready).value,
            reason=None if replica.reason is None else replica.reason.value,
            message=replica.message,
            address=replica.address,
            gpus=replica.gpus,
            gpu_ids=replica.gpu_ids,
            node=replica.node,
            started_s=None if replica.started is None else now - replica.started,
        )
        for replica in view.fleet().of(revision.name)
    )


def _decision(report: DecisionReport | None) -> Decision | None:
    if report is None:
        return None
    return Decision(
        at=report.at,
        before=report.before,
        after=report.after,
        reason=report.reason.value,
        message=report.message,
        inputs=dict(report.inputs),
    )


def _last_error(failure: Failure, now: float) -> LastError:
    return LastError(
        replica=failure.replica,
        reason=failure.reason.value,
        message=failure.message,
        log=failure.log,
        ago_s=max(0.0, now - failure.at),
    )

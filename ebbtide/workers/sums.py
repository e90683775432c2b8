"""What all workers have counted and seen, added up. Pure but for what it keeps.

Rule 1: no counter falls: what a worker had told before it ended stays in the sum.
Rule 2: gauges come from the newest samples of the workers that live.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from ebbtide.workers.messages import LineReport, Report
from fleet.bus import Bus
from fleet.cluster import Cluster
from fleet.messages import ReplicaSample, RevisionSample
from fleet.model import Fleet, Phase
from fleet.names import ReplicaName, RevisionName
from fleet.starts import Failure
from gateway.core.sums import Figures, added_up, figures
from gateway.core.tally import Tally

__all__ = ["Counted", "Summed", "SummedLine", "Totals", "added_samples"]


class Counted:
    """What one worker has told so far."""

    def __init__(self) -> None:
        self.tallies: dict[RevisionName, Figures] = {}
        self.other: Figures | None = None
        self.lines: dict[RevisionName, LineReport] = {}
        self.news: dict[RevisionName, int] = {}
        """When each line's cold starts were last news, as a number that grows."""

    def take(self, report: Report, number: int) -> None:
        """A report came in, the `number`-th of all workers."""
        self.tallies.update(report.tallies)
        self.other = report.other or self.other
        for name, line in report.lines.items():
            before = self.lines.get(name)
            if before is None or before.cold_start_phases != line.cold_start_phases:
                self.news[name] = number
            self.lines[name] = line


class Totals:
    """All workers, those that have ended too."""

    def __init__(self) -> None:
        self._past = Counted()
        self._past_starts: dict[RevisionName, int] = {}
        self._living: list[Counted] = []
        self._reports = 0

    def begin(self) -> Counted:
        """A worker begins."""
        counted = Counted()
        self._living.append(counted)
        return counted

    def take(self, counted: Counted, report: Report) -> None:
        """A worker reports."""
        self._reports += 1
        counted.take(report, self._reports)

    def end(self, counted: Counted) -> None:
        """A worker has ended: what it counted goes over to the past."""
        self._living.remove(counted)
        past = self._past
        for name, told in counted.tallies.items():
            before = [past.tallies[name]] if name in past.tallies else []
            past.tallies[name] = figures(added_up([*before, told]))
        others = [one for one in (past.other, counted.other) if one is not None]
        past.other = figures(added_up(others))
        for name, line in counted.lines.items():
            starts = self._past_starts.get(name, 0) + line.cold_starts
            self._past_starts[name] = starts
        past.lines.update(counted.lines)
        past.news.update(counted.news)

    def keep(self, revisions: Iterable[RevisionName]) -> None:
        """Forget all other revisions."""
        here = frozenset(revisions)
        for counted in (self._past, *self._living):
            for known in (counted.tallies, counted.lines, counted.news):
                for name in known.keys() - here:
                    del known[name]
        for name in self._past_starts.keys() - here:
            del self._past_starts[name]

    def tally(self, revision: RevisionName | None) -> Tally:
        """A revision's requests; with None those that reached no model."""
        every = (self._past, *self._living)
        told = [one.other if revision is None else one.tallies.get(revision) for one in every]
        return added_up(one for one in told if one is not None)

    def line(
        self, revision: RevisionName, fleet: Fleet, samples: Iterable[RevisionSample]
    ) -> "SummedLine":
        """A revision's line, as if one process had it."""
        every = [one for one in (self._past, *self._living) if revision in one.lines]
        every.sort(key=lambda one: one.news.get(revision, 0))
        living = [one.lines[revision] for one in self._living if revision in one.lines]
        return SummedLine(
            fleet=fleet,
            sample=added_samples(revision, samples),
            newest=every[-1].lines[revision] if every else None,
            reports=living,
            past_starts=self._past_starts.get(revision, 0),
        )


class Summed:
    """What the admin port shows of all workers together."""

    def __init__(self, cluster: Cluster, bus: Bus, totals: Totals) -> None:
        self._cluster, self._bus, self._totals = cluster, bus, totals

    def fleet(self) -> Fleet:
        return self._cluster.fleet()

    def line(self, revision: RevisionName) -> "SummedLine":
        found = (got.sample.revisions.get(revision) for got in self._bus.samples().values())
        samples = [sample for sample in found if sample is not None]
        return self._totals.line(revision, self._cluster.fleet(), samples)

    def tally(self, revision: RevisionName | None) -> Tally:
        return self._totals.tally(revision)


class SummedLine:
    """A `LineView` over the lines of several workers."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        sample: RevisionSample,
        newest: LineReport | None,
        reports: list[LineReport],
        past_starts: int,
    ) -> None:
        self._fleet, self._sample = fleet, sample
        self._newest, self._reports = newest, reports
        self._past_starts = past_starts

    @property
    def cold_starts(self) -> int:
        return self._past_starts + sum(line.cold_starts for line in self._reports)

    @property
    def last_cold_start_s(self) -> float | None:
        newest = None if self._newest is None else self._newest.last_cold_start_s
        if newest is not None:
            return newest
        known = [line.last_cold_start_s for line in self._reports]
        return next((seconds for seconds in known if seconds is not None), None)

    @property
    def cold_start_phases(self) -> Mapping[str, float]:
        return MappingProxyType({}) if self._newest is None else self._newest.cold_start_phases

    @property
    def last_failure(self) -> Failure | None:
        failures = [line.last_failure for line in self._reports if line.last_failure is not None]
        return max(failures, key=lambda failure: failure.at, default=None)

    def phase(self) -> Phase:
        """That of the replica that has come furthest."""
        name = self._sample.revision
        revision = self._fleet.revisions.get(name)
        replicas = self._fleet.of(name)
        marked = revision.drain.replicas if revision and revision.drain else frozenset()
        loading = {replica.name for replica in replicas if replica.phase is Phase.LOADING}
        ready = {known.name for known in self._sample.replicas if known.ready_for is not None}
        phases = {replica.phase for replica in replicas if replica.name not in ready}
        if (ready & loading) - marked:
            return Phase.READY
        for phase in (Phase.LOADING, Phase.PENDING):
            if phase in phases:
                return phase
        blocked = any(line.phase is Phase.FAILED for line in self._reports)
        if blocked or Phase.FAILED in phases:
            return Phase.FAILED
        return Phase.DRAINING if replicas else Phase.ASLEEP

    def sample(self, now: float) -> RevisionSample:  # noqa: ARG002 - as of the workers' own
        return self._sample


def added_samples(revision: RevisionName, samples: Iterable[RevisionSample]) -> RevisionSample:
    """What one gateway would say that has all their requests."""
    every = list(samples)
    waits = [one.oldest_wait for one in every if one.oldest_wait is not None]
    idle = [one.idle_for for one in every if one.idle_for is not None]
    busy = any(one.waiting or one.running for one in every)
    return RevisionSample(
        revision=revision,
        waiting=sum(one.waiting for one in every),
        running=sum(one.running for one in every),
        waiting_s=sum(one.waiting_s for one in every),
        running_s=sum(one.running_s for one in every),
        arrivals=sum(one.arrivals for one in every),
        completions=sum(one.completions for one in every),
        service_s=sum(one.service_s for one in every),
        oldest_wait=max(waits, default=None),
        idle_for=None if busy else min(idle, default=None),
        longest_s=max((one.longest_s for one in every), default=0.0),
        drained=min((one.drained for one in every), default=0),
        replicas=_added_replicas(every),
    )


def _added_replicas(samples: Iterable[RevisionSample]) -> tuple[ReplicaSample, ...]:
    found: dict[ReplicaName, ReplicaSample] = {}
    for known in (replica for sample in samples for replica in sample.replicas):
        before = found.get(known.name)
        found[known.name] = known if before is None else _both(before, known)
    return tuple(found.values())


def _both(one: ReplicaSample, other: ReplicaSample) -> ReplicaSample:
    ready = [s.ready_for for s in (one, other) if s.ready_for is not None]
    after = [s.ready_after for s in (one, other) if s.ready_after is not None]
    return replace(
        one,
        running=one.running + other.running,
        busy_s=one.busy_s + other.busy_s,
        slots=max(one.slots, other.slots),
        ready_for=max(ready, default=None),
        ready_after=min(after, default=None),
        warming=one.warming or other.warming,
    )

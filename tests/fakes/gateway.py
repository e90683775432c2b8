"""A gateway reduced to what the autoscaler sees of one: requests that wait and run, and samples.

It finds a replica ready as soon as it has an address, dispatches first come first served, honours
drains, and publishes once a second, at every snapshot, and when a drain is acknowledged.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from fleet.bus import Bus
from fleet.clock import Clock
from fleet.messages import ReplicaSample, RevisionSample, Sample
from fleet.model import Fleet, Phase
from fleet.names import GatewayName, ReplicaName, RevisionName


@dataclass
class At:
    """One replica."""

    ready_at: float
    ready_after: float
    running: int = 0
    busy_s: float = 0.0


@dataclass
class Row:
    """One revision."""

    waiting: list[float] = field(default_factory=list)
    """When each of them came."""
    at: dict[ReplicaName, At] = field(default_factory=dict)
    waiting_s: float = 0.0
    running_s: float = 0.0
    arrivals: int = 0
    completions: int = 0
    service_s: float = 0.0
    longest_s: float = 0.0
    ended_at: float | None = None
    drained: int = 0
    marked: frozenset[ReplicaName] = frozenset()
    number: int = 0

    @property
    def running(self) -> int:
        return sum(at.running for at in self.at.values())


class ScriptedGateway:
    def __init__(
        self,
        cluster,
        bus: Bus,
        clock: Clock,
        *,
        call_later: Callable[..., object],
        name: str = "gw",
        slots: int = 4,
        service_s: float = 1.0,
    ) -> None:
        self.name = GatewayName(name)
        self.slots, self.service_s = slots, service_s
        self.probing = True
        self.silent = False
        self.rows: dict[RevisionName, Row] = {}
        self.lost = 0
        self._bus, self._clock, self._later = bus, clock, call_later
        self._at = clock.now()
        cluster.subscribe(self.snapshot)
        self.snapshot(cluster.fleet())

    async def run(self) -> None:
        while True:
            self.publish()
            await self._clock.sleep(1.0)

    def arrive(self, revision: RevisionName, count: int = 1) -> None:
        self._advance()
        row = self.rows[revision]
        row.arrivals += count
        row.waiting += [self._clock.now()] * count
        self._dispatch(revision)
        if row.waiting:
            self.publish()
            self._bus.poke(revision)

    def give_up(self, revision: RevisionName) -> None:
        self._advance()
        self.rows[revision].waiting.clear()

    def snapshot(self, fleet: Fleet) -> None:
        self._advance()
        now = self._clock.now()
        for name, revision in fleet.revisions.items():
            row = self.rows.setdefault(name, Row())
            live = {r.name: r for r in fleet.of(name) if r.phase is Phase.LOADING}
            for gone in row.at.keys() - live.keys():
                self.lost += row.at.pop(gone).running
            for replica in live.values():
                if self.probing and replica.address and replica.name not in row.at:
                    row.at[replica.name] = At(ready_at=now, ready_after=now - replica.started)
            row.marked = revision.drain.replicas if revision.drain else frozenset()
            row.number = revision.drain.number if revision.drain else 0
            self._dispatch(name)
        self.publish()

    def publish(self) -> None:
        self._advance()
        if self.silent:
            return
        self._bus.publish(self.sample())

    def sample(self) -> Sample:
        self._advance()
        return Sample(gateway=self.name, revisions={name: self._row(name) for name in self.rows})

    def _row(self, name: RevisionName) -> RevisionSample:
        row, now = self.rows[name], self._clock.now()
        busy = sum(row.at[name].running for name in row.marked if name in row.at)
        if row.number and not busy:
            row.drained = row.number
        idle = not row.waiting and not row.running and row.ended_at is not None
        return RevisionSample(
            revision=name,
            waiting=len(row.waiting),
            running=row.running,
            waiting_s=row.waiting_s,
            running_s=row.running_s,
            arrivals=row.arrivals,
            completions=row.completions,
            service_s=row.service_s,
            oldest_wait=now - row.waiting[0] if row.waiting else None,
            idle_for=now - row.ended_at if idle else None,
            longest_s=row.longest_s,
            drained=row.drained,
            replicas=tuple(
                ReplicaSample(
                    name=name,
                    running=at.running,
                    busy_s=at.busy_s,
                    slots=self.slots,
                    ready_for=now - at.ready_at,
                    ready_after=at.ready_after,
                )
                for name, at in row.at.items()
            ),
        )

    def _dispatch(self, name: RevisionName) -> None:
        row = self.rows[name]
        for replica, at in row.at.items():
            while row.waiting and at.running < self.slots and replica not in row.marked:
                row.waiting.pop(0)
                at.running += 1
                self._later(self.service_s, self._end, name, replica, at)

    def _end(self, name: RevisionName, replica: ReplicaName, at: At) -> None:
        row = self.rows[name]
        if row.at.get(replica) is not at:
            return
        self._advance()
        at.running -= 1
        row.completions += 1
        row.service_s += self.service_s
        row.longest_s = max(row.longest_s, self.service_s)
        row.ended_at = self._clock.now()
        self._dispatch(name)
        if replica in row.marked and not at.running:
            self.publish()

    def _advance(self) -> None:
        now = self._clock.now()
        span, self._at = now - self._at, now
        for row in self.rows.values():
            row.waiting_s += len(row.waiting) * span
            row.running_s += row.running * span
            for at in row.at.values():
                at.busy_s += span if at.running else 0.0

"""What is remembered of every revision between looks, and the decisions made with it.

Rule 1: a revision that is gone is forgotten; one that comes back is new.
Rule 2: whether a start has failed is judged only while every gateway is heard: without them a
        replica that serves looks like one that never got ready.
Rule 3: so it is right after this process's own start for replicas that were there before it: the
        gateways may still be probing them.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from math import inf

from autoscaler.core.arrange import Case
from autoscaler.core.decide import decide
from autoscaler.core.lifecycle import IllegalMoveError, path
from autoscaler.core.memory import Memory, Tuning, remember_nothing
from autoscaler.core.plan import Mark, Step
from autoscaler.core.seen import Seen
from autoscaler.observe import Heard, Servers, hear, see
from fleet.messages import Received
from fleet.model import Fleet, Phase, Replica, Revision
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.settings import Settings
from fleet.starts import Starts
from fleet.telemetry import log

__all__ = ["Minds"]

_log = log(__name__)


class _Mind:
    """One revision's memory."""

    def __init__(self, settings: Settings, tuning: Tuning) -> None:
        self.memory: Memory = remember_nothing(tuning)
        self.starts = Starts(tries=settings.start_tries, retry=settings.start_retry)
        self.last_drain = 0
        self.marked_at = -inf
        self.phases: dict[ReplicaName, Phase] = {}

    def decide(self, revision: Revision, seen: Seen, heard: Heard, now: float) -> Case:
        """Decide, and remember."""
        if heard.complete:
            self.watch(seen)
        decision = decide(self.memory, seen, revision.policy, now)
        self.memory = decision.memory
        return Case(
            revision=revision,
            seen=seen,
            decision=decision,
            waiting=heard.waiting,
            last_drain=self.last_drain,
        )

    def watch(self, seen: Seen) -> None:
        """Notice the moves of its replicas; an impossible one is the adapter's defect."""
        phases = {member.name: member.phase for member in seen.members}
        for name in self.phases.keys() | phases.keys():
            before = self.phases.get(name, Phase.ASLEEP)
            after = phases.get(name, Phase.ASLEEP)
            if before is after:
                continue
            try:
                events = path(before, after)
            except IllegalMoveError as error:
                _log("impossible_move", level=logging.WARNING, replica=name, error=str(error))
            else:
                what = ",".join(event.value for event in events)
                _log("replica_moved", replica=name, phase=after.value, by=what)
        self.phases = phases


class Minds:
    """All of them. `now` is when this process began to watch."""

    def __init__(self, settings: Settings, now: float) -> None:
        self._settings = settings
        self._tuning = Tuning(
            stable=settings.stable_window, panic=settings.panic_window, tick=settings.tick
        )
        self._began = now
        self._minds: dict[RevisionName, _Mind] = {}

    def decide(
        self,
        fleet: Fleet,
        received: Mapping[GatewayName, Received],
        *,
        members: Collection[GatewayName],
        servers: Servers,
        now: float,
    ) -> tuple[Case, ...]:
        """A decision for every revision there is."""
        for gone in self._minds.keys() - fleet.revisions.keys():
            del self._minds[gone]
        cases = []
        for name, revision in fleet.revisions.items():
            mind = self._minds.get(name)
            if mind is None:
                mind = self._minds[name] = _Mind(self._settings, self._tuning)
            heard = hear(name, received, members, now=now, marked_at=mind.marked_at)
            replicas = fleet.of(name)
            if heard.complete:
                self._judge(mind.starts, revision, replicas, heard, now)
            seen = see(
                revision,
                replicas,
                heard,
                servers=servers,
                now=now,
                blocked=_blocked(mind.starts, now),
            )
            cases.append(mind.decide(revision, seen, heard, now))
        return tuple(cases)

    def number(self, steps: Iterable[Step], now: float) -> None:
        """Remember the drains that are about to be marked: no number is ever used twice."""
        for action in (action for step in steps for action in step):
            if isinstance(action, Mark):
                mind = self._minds[action.revision]
                mind.last_drain, mind.marked_at = action.drain.number, now

    def _judge(
        self,
        starts: Starts,
        revision: Revision,
        replicas: tuple[Replica, ...],
        heard: Heard,
        now: float,
    ) -> None:
        young = now - self._began < self._tuning.stable
        starts.observe(
            revision,
            [
                replica
                for replica in replicas
                if not (young and replica.started is not None and replica.started < self._began)
            ],
            ready=frozenset(
                known.name
                for _, sample in heard.samples.values()
                for known in sample.replicas
                if known.ready_for is not None
            ),
            now=now,
        )


def _blocked(starts: Starts, now: float) -> str | None:
    if not starts.blocked(now):
        return None
    last = starts.last
    return f"{last.reason.value}: {last.message}" if last else "starting it failed"

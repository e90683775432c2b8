"""What is remembered of every revision between looks, and the decisions made with it.

Rule 1: a revision that is gone is forgotten; one that comes back is new.
Rule 2: whether a start has failed is judged only while every gateway is heard: without them a
        replica that serves looks like one that never got ready.
Rule 3: so it is right after this process's own start for replicas that were there before it: the
        gateways may still be probing them.
Rule 4: a revision that sleeps, that nobody calls and of which every gateway says what it said
        before, is decided no further (`autoscaler.core.rest`): the last answer stands.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import inf

from autoscaler.core.arrange import Case
from autoscaler.core.decide import decide
from autoscaler.core.footing import Footing, is_certain
from autoscaler.core.lifecycle import IllegalMoveError, path
from autoscaler.core.memory import Memory, Tuning, remember_nothing
from autoscaler.core.plan import Mark, Scale, Standing, Step
from autoscaler.core.rest import caught_up, rests
from autoscaler.core.seen import Seen
from autoscaler.observe import Heard, Sight, hear, see
from fleet.messages import Received, RevisionSample
from fleet.model import Phase, Replica, Revision
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.reasons import Reason
from fleet.settings import Settings
from fleet.starts import Starts
from fleet.telemetry import log

__all__ = ["Minds"]

_log = log(__name__)

_AT_ONCE = 500
"""Revisions at rest that are passed over without a pause."""

_Samples = tuple[RevisionSample | None, ...]
"""What every member says of one revision, in one order."""


class _Mind:
    """One revision's memory."""

    def __init__(self, settings: Settings, tuning: Tuning) -> None:
        self.memory: Memory = remember_nothing(tuning)
        self.starts = Starts(tries=settings.start_tries, retry=settings.start_retry)
        self.marked_at = self.lowered_at = -inf
        self.promised = False
        self.phases: dict[ReplicaName, Phase] = {}
        self._rest: tuple[Revision, Seen, _Samples] | None = None

    def still_rests(self, revision: Revision, samples: _Samples) -> bool:
        """Whether nothing has changed since its rest began."""
        if self._rest is None:
            return False
        was, _, before = self._rest
        same = revision is was or revision == was
        return same and len(before) == len(samples) and all(map(_rests_on, samples, before))

    def rest(self, revision: Revision, case: Case, samples: _Samples | None) -> None:
        """Rest from now on, if it may."""
        if samples is not None and rests(case):
            self._rest = (revision, case.seen, samples)

    def end_rest(self, at: float, now: float) -> None:
        """Catch up on the looks that were spared, the last at `now` with samples from `at`."""
        if self._rest is not None:
            self.memory = caught_up(self.memory, self._rest[1], at=at, now=now)
            self._rest = None

    def decide(
        self, revision: Revision, seen: Seen, heard: Heard, *, footing: Footing, now: float
    ) -> Case:
        """Decide, and remember."""
        if heard.complete:
            self.watch(seen)
        decision = decide(self.memory, seen, revision.policy, now)
        self.memory = decision.memory
        if self.promised and decision.reason is Reason.IDLE and not revision.replicas:
            # Another model gave its GPU for this one: it is woken, whoever still waits.
            decision = replace(decision, after=1, reason=Reason.DEMAND)
        return Case(
            revision=revision,
            seen=seen,
            decision=decision,
            waiting=heard.waiting,
            footing=footing,
            promised=self.promised,
            spares=self.starts.spares(now),
        )

    def watch(self, seen: Seen) -> None:
        """Notice the moves of its replicas; an impossible one is the adapter's defect."""
        phases = {member.name: member.phase for member in seen.members}
        for name in self.phases.keys() | phases.keys():
            before = self.phases.get(name, Phase.ASLEEP)
            after = phases.get(name, Phase.ASLEEP)
            if before is after or (before is Phase.READY and after is Phase.LOADING):
                # That it was ready, one gateway said that is gone, or was started anew.
                phases[name] = before
                continue
            if (before, after) == (Phase.READY, Phase.LOADING):
                # Its gateways have seen it stop already.
                phases[name] = before
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
        self._number = 0
        """The highest that was given to any drain here, of whatever revision."""
        self._freeing: dict[RevisionName, list[RevisionName]] = {}
        """Whose GPUs are freed by an eviction, if it is written, and for whom."""
        self._members: list[GatewayName] | None = None
        """Who was heard at the last look; None unless all were."""
        self._looked = (now, now)
        """Of the last look that heard everyone: when its newest sample came in, and when it was."""

    def decide(self, sight: Sight) -> Iterator[Case | None]:
        """A decision for every revision that does not rest; None now and then: time for a pause.

        To be gone through to its end before the next one begins.
        """
        revisions = sight.fleet.revisions
        for gone in self._minds.keys() - revisions.keys():
            del self._minds[gone]
        received = sight.samples
        members = None if received is None else [got.sample.gateway for got in received]
        same, self._members = members == self._members, members
        for number, (name, revision) in enumerate(revisions.items(), 1):
            mind = self._minds.get(name)
            if mind is None:
                mind = self._minds[name] = _Mind(self._settings, self._tuning)
            samples = None if received is None else _samples(received, name)
            alone = same and not sight.fleet.of(name)
            if samples is None or not alone or not mind.still_rests(revision, samples):
                mind.end_rest(*self._looked)
                case = self._decide(mind, revision, sight)
                mind.rest(revision, case, samples)
                yield case
            if number % _AT_ONCE == 0:
                yield None
        if received is not None:
            self._looked = (max(got.at for got in received), sight.now)

    def _decide(self, mind: _Mind, revision: Revision, sight: Sight) -> Case:
        name, now = revision.name, sight.now
        heard = hear(name, sight.received, sight.members, now=now, marked_at=mind.marked_at)
        replicas = sight.fleet.of(name)
        if heard.complete:
            self._judge(mind.starts, revision, replicas, heard, now)
        blocked = _blocked(mind.starts, now)
        seen = see(revision, replicas, heard, servers=sight.servers, now=now, blocked=blocked)
        behind = heard.stranger(replicas)
        footing = self._footing(mind, revision, term=sight.term, behind=behind, now=now)
        return mind.decide(revision, seen, heard, footing=footing, now=now)

    def _footing(
        self, mind: _Mind, revision: Revision, *, term: int, behind: bool, now: float
    ) -> Footing:
        drain = revision.drain
        if drain is not None and drain.term != term:
            # Whoever marked it may have written fewer just before its turn was over.
            mind.lowered_at = now
        elif is_certain(revision, since=now - mind.lowered_at):
            mind.lowered_at = -inf
        return Footing(
            term=term,
            last_drain=self._number,
            settled=revision.settled,
            sure=mind.lowered_at == -inf,
            behind=behind,
        )

    def promise(self, standings: Iterable[Standing]) -> None:
        """Remember for whom GPUs are being freed, and whose those are that may be."""
        self._freeing = {}
        for standing in standings:
            self._minds[standing.revision].promised = standing.deferred and not standing.victims
            for victim in standing.victims if standing.deferred else ():
                self._freeing.setdefault(victim, []).append(standing.revision)

    def about_to(self, steps: Iterable[Step], now: float) -> None:
        """Remember what is about to be written, whatever comes of it."""
        for action in (action for step in steps for action in step):
            mind = self._minds[action.revision]
            if isinstance(action, Mark):
                self._number = max(self._number, action.drain.number)
                mind.marked_at = now
            elif isinstance(action, Scale) and action.after < action.before:
                mind.lowered_at = now
                for newcomer in self._freeing.get(action.revision, ()):
                    self._minds[newcomer].promised = True

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


def _samples(received: Iterable[Received], name: RevisionName) -> _Samples:
    return tuple(got.sample.revisions.get(name) for got in received)


def _rests_on(sample: RevisionSample | None, before: RevisionSample | None) -> bool:
    return sample is not None and sample.rests_on(before)


def _blocked(starts: Starts, now: float) -> str | None:
    if not starts.blocked(now):
        return None
    last = starts.last
    return f"{last.reason.value}: {last.message}" if last else "starting it failed"

"""What is remembered of every revision between looks, and the decisions made with it.

Rule 1: a revision that is gone is forgotten; one that comes back is new.
Rule 2: whether a start has failed is judged only while every gateway is heard: without them a
        replica that serves looks like one that never got ready.
Rule 3: so it is right after this process's own start for replicas that were there before it: the
        gateways may still be probing them.
Rule 4: a revision that nobody calls, of which every gateway and server says what it said before,
        is decided no further while time alone changes nothing (`autoscaler.core.rest`): the last
        answer stands.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import inf
from types import MappingProxyType

from autoscaler.core.arrange import Case
from autoscaler.core.decide import decide
from autoscaler.core.footing import Footing, hangs, is_certain
from autoscaler.core.lifecycle import IllegalMoveError, path
from autoscaler.core.memory import Memory, Tuning, remember_nothing
from autoscaler.core.plan import Mark, Scale, Standing, Step
from autoscaler.core.rest import caught_up, rests_until, same_answer
from autoscaler.core.seen import Seen
from autoscaler.observe import Heard, Sight, hear, see
from fleet.aged import as_made
from fleet.messages import Received, RevisionSample
from fleet.model import Phase, Replica, Revision
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.reasons import Reason
from fleet.settings import Settings
from fleet.starts import Starts
from fleet.telemetry import log

__all__ = ["Minds"]

_log = log(__name__)

_REFUSED_S = 60.0
"""For how long others give their GPUs before one that could not be written."""
_AT_ONCE = 500
"""Revisions at rest that are passed over without a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    """What one revision was decided on, but for the time."""

    revision: Revision
    replicas: tuple[Replica, ...]
    samples: tuple[RevisionSample | None, ...]
    """What every member says of it, in one order."""
    answers: tuple[object, ...]
    """What every replica's server says."""

    def still(self, before: "_Inputs") -> bool:
        """Whether nothing of it has changed since `before` but ages."""
        return (
            (self.revision is before.revision or self.revision == before.revision)
            and (self.replicas is before.replicas or self.replicas == before.replicas)
            and len(self.samples) == len(before.samples)
            and all(map(_still_on, self.samples, before.samples))
            and all(map(same_answer, before.answers, self.answers))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """A revision's rest: from what it was decided on, until when at most."""

    inputs: _Inputs
    case: Case
    until: float


class _Mind:
    """One revision's memory."""

    def __init__(self, settings: Settings, tuning: Tuning) -> None:
        self.memory: Memory = remember_nothing(tuning)
        self.starts = Starts(tries=settings.start_tries, retry=settings.start_retry)
        self.marked_at = self.lowered_at = -inf
        self.unsettled_at = inf
        """When it was first seen unsettled since it was settled; infinite while it is."""
        self.refused_at = -inf
        self.promised = False
        self.phases: dict[ReplicaName, Phase] = {}
        self._rest: _Rest | None = None

    @property
    def resting(self) -> Case | None:
        """What was decided when its rest began; None: it does not rest."""
        return None if self._rest is None else self._rest.case

    def still_rests(self, inputs: _Inputs, now: float) -> bool:
        """Whether its rest goes on."""
        rest = self._rest
        return rest is not None and now < rest.until and inputs.still(rest.inputs)

    def rest(self, inputs: _Inputs, case: Case, now: float) -> None:
        """Rest from now on, if it may."""
        until = rests_until(case, now)
        if until > now:
            self._rest = _Rest(inputs=inputs, case=case, until=until)

    def end_rest(self, at: float, now: float) -> None:
        """Catch up on the looks that were spared, the last at `now` with samples from `at`."""
        if self._rest is not None:
            self.memory = caught_up(self.memory, self._rest.case.seen, at=at, now=now)
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
        self._heard: tuple[list[GatewayName] | None, int] = (None, 0)
        """Who was heard at the last look, None unless all were; and by the leader of which term."""
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
        heard = members, sight.term
        same, self._heard = heard == self._heard, heard
        for number, (name, revision) in enumerate(revisions.items(), 1):
            mind = self._minds.get(name)
            if mind is None:
                mind = self._minds[name] = _Mind(self._settings, self._tuning)
            inputs = None if received is None else _inputs(sight, received, revision)
            if inputs is None or not same or not mind.still_rests(inputs, sight.now):
                mind.end_rest(*self._looked)
                case = self._decide(mind, revision, sight)
                if inputs is not None:
                    mind.rest(inputs, case, sight.now)
                yield case
            if number % _AT_ONCE == 0:
                yield None
        if received is not None:
            self._looked = (max(got.at for got in received), sight.now)

    def resting(self, sight: Sight) -> Iterator[Case]:
        """The cases of those that rest, awake, since the last `decide`, as they stand now."""
        for name, mind in self._minds.items():
            case = mind.resting
            if case is not None and not case.asleep:
                revision = sight.fleet.revisions[name]
                footing = self._footing(mind, revision, term=sight.term, now=sight.now)
                yield _standing_by(case, revision, footing, sight.now)

    def _decide(self, mind: _Mind, revision: Revision, sight: Sight) -> Case:
        name, now = revision.name, sight.now
        heard = hear(name, sight.received, sight.members, now=now, marked_at=mind.marked_at)
        replicas = sight.fleet.of(name)
        if heard.complete:
            self._judge(mind.starts, revision, replicas, heard, now)
        blocked = _blocked(mind.starts, now)
        seen = see(revision, replicas, heard, servers=sight.servers, now=now, blocked=blocked)
        footing = self._footing(mind, revision, term=sight.term, now=now)
        footing = replace(footing, behind=heard.stranger(replicas))
        if revision.drain is not None and sight.term:
            lingering = heard.lingering(revision.drain.replicas, replicas)
            footing = replace(footing, lingering=lingering)
        return mind.decide(revision, seen, heard, footing=footing, now=now)

    def _footing(self, mind: _Mind, revision: Revision, *, term: int, now: float) -> Footing:
        drain = revision.drain
        if drain is not None and drain.term != term:
            # Whoever marked it may have written fewer just before its turn was over.
            mind.lowered_at = now
        elif is_certain(revision, since=now - mind.lowered_at):
            mind.lowered_at = -inf
        mind.unsettled_at = inf if revision.settled else min(mind.unsettled_at, now)
        return Footing(
            term=term,
            last_drain=self._number,
            settled=revision.settled,
            refused=now - mind.refused_at < _REFUSED_S,
            hangs=hangs(unsettled=now - mind.unsettled_at),
            sure=mind.lowered_at == -inf,
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

    def refused(self, revisions: Iterable[RevisionName], now: float) -> None:
        """Remember which could not be written, though nobody else had written them."""
        for name in revisions:
            self._minds[name].refused_at = now

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


def _inputs(sight: Sight, received: Iterable[Received], revision: Revision) -> _Inputs:
    name, replicas = revision.name, sight.fleet.of(revision.name)
    return _Inputs(
        revision=revision,
        replicas=replicas,
        samples=tuple([as_made(got.sample.revisions, name) for got in received]),
        answers=tuple([sight.servers.get(replica.name) for replica in replicas]),
    )


def _still_on(sample: RevisionSample | None, before: RevisionSample | None) -> bool:
    if sample is None:
        return False
    return sample.still_on(before) or sample.rests_on(before)


def _standing_by(case: Case, revision: Revision, footing: Footing, now: float) -> Case:
    """A case that stands since a while ago, as of now."""
    decision, since = case.decision, case.seen.idle_since
    idle_s = None if since is None else now - since
    inputs = MappingProxyType({**decision.inputs, "idle_s": idle_s})
    return replace(
        case, revision=revision, footing=footing, decision=replace(decision, inputs=inputs)
    )


def _blocked(starts: Starts, now: float) -> str | None:
    if not starts.blocked(now):
        return None
    last = starts.last
    return f"{last.reason.value}: {last.message}" if last else "starting it failed"

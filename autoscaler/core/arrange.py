"""From the decisions for single models to where each of them should be, within the GPUs. Pure.

Puts `budget` and `evict` between `decide` and `plan`.

Rule 1: only models in mode `auto` that nobody else scales are moved; the others' replicas count as
        held.
Rule 2: a model that somebody waits for and whose replicas all wait for a GPU is a newcomer still.
        One that has others is not, whatever waits: the pod of a rollout takes nobody's GPU.
Rule 3: newcomers for whom GPUs are free are left to the activators for one tick, as many as these
        write at once.
Rule 4: models that sleep undisturbed take no part: they hold, want and free nothing.
Rule 5: while no model demands more than it has, each is where its own decision says.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from autoscaler.core.budget import Rank, Share, Wish, share
from autoscaler.core.decide import Decision
from autoscaler.core.evict import Candidate, may_go
from autoscaler.core.footing import Footing
from autoscaler.core.ground import Ground
from autoscaler.core.plan import Standing
from autoscaler.core.seen import Seen
from autoscaler.core.window import Unknown
from fleet.model import Fleet, Mode, Phase, Revision
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason

__all__ = ["Case", "Rules", "arrange"]


_PATIENCE = 2
"""Ticks that a newcomer waits for an idle model before it asks for a new node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for all models. Durations in seconds."""

    tick: float = 2.0
    min_residency: float = 0.0
    gateways: int = 1
    """Gateways that there are: each takes its part of the free GPUs by itself."""
    grow_first: bool = False
    """A newcomer asks for a new node rather than evict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One model: what there is, what was seen, what was decided."""

    revision: Revision
    seen: Seen
    decision: Decision
    waiting: int = 0
    """Requests known to wait, even where some gateway was not heard."""
    footing: Footing = field(default_factory=Footing)
    promised: bool = False
    """GPUs are being freed for it."""
    spares: bool = False
    """Its starts have failed: for a while no other model gives its GPU for one."""

    @property
    def auto(self) -> bool:
        revision = self.revision
        return revision.policy.mode is Mode.AUTO and not revision.second_writer

    @property
    def asleep(self) -> bool:
        """It has nothing, wants nothing, and nobody waits for it: it is in nobody's way."""
        holds = self.revision.replicas or self.seen.members or self.decision.after
        return not (holds or self.waiting)

    @property
    def stranded(self) -> bool:
        """Somebody waits, and all its replicas wait for a GPU."""
        seen = self.seen
        return (
            self.waiting > 0
            and seen.count(Phase.PENDING) > 0
            and seen.count(Phase.READY, Phase.LOADING) == 0
        )

    @property
    def pressing(self) -> bool:
        """It may take an idle model's GPU for its first replica."""
        return self.waiting > 0 or self.promised or self.revision.policy.pinned

    @property
    def divisible(self) -> bool:
        """It may lose one of its replicas: while it is rolled out it loses all or none."""
        return self.footing.settled or len(self.seen.ready) <= 1

    @property
    def taken(self) -> bool:
        """Fewer are wanted already than there are: the cluster has not acted on that yet."""
        return len(self.seen.ready) > self.revision.replicas

    @property
    def demands(self) -> bool:
        """It may want what others have, or what is free."""
        lacking = self.seen.count(Phase.PENDING, Phase.FAILED)
        return self.auto and (self.decision.after > self.revision.replicas or lacking > 0)

    @property
    def waited(self) -> float:
        """Seconds that the first in line has waited."""
        load = self.seen.load
        return 0.0 if isinstance(load, Unknown) else load.oldest_wait or 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What a victim loses, and for which model (the last one, if for several)."""

    replicas: int = 0
    names: frozenset[ReplicaName] = frozenset()
    model: str = ""


def arrange(
    cases: Iterable[Case], fleet: Fleet, rules: Rules, *, now: float
) -> tuple[Standing, ...]:
    """Where each model should be, and why."""
    every = tuple(cases)
    if not any(case.demands for case in every):
        return tuple(map(_undisturbed, every))
    cases, ground = [case for case in every if not case.asleep], Ground(fleet)
    candidates = {
        case.revision.name: _candidate(case, ground)
        for case in cases
        if case.revision.gpus > 0
        and case.auto
        and (case.divisible or case.footing.hangs)
        and not case.taken
        and may_go(case.seen, case.revision.policy, min_residency=rules.min_residency, now=now)
    }
    wishes = [_wish(case, ground, rules, idle=case.revision.name in candidates) for case in cases]
    supply = ground.supply(grow_first=rules.grow_first)
    shares = share(wishes, candidates.values(), supply)
    taken, aside = _taken(cases, shares), _aside(cases, shares)
    left = _left(cases, shares, ground, rules)

    def stands(case: Case) -> Standing:
        name = case.revision.name
        if case.asleep:
            return _standing(case)
        if name in taken:
            return _evicted(case, taken[name])
        if name in aside:
            return _without_queue(case, ground, model=aside[name])
        placed = _placed(case, shares[name], without=_without(case, ground))
        return replace(placed, left=name in left)

    return tuple(stands(case) for case in every)


def _taken(
    cases: Iterable[Case], shares: Mapping[RevisionName, Share]
) -> Mapping[RevisionName, _Taken]:
    taken: dict[RevisionName, _Taken] = {}
    for case in cases:
        for victim in shares[case.revision.name].victims:
            before = taken.get(victim.revision, _Taken())
            taken[victim.revision] = _Taken(
                replicas=before.replicas + victim.replicas,
                names=before.names | {name for name, _ in victim.at},
                model=case.revision.model,
            )
    return taken


def _aside(cases: Iterable[Case], shares: Mapping[RevisionName, Share]) -> dict[RevisionName, str]:
    """Who gives up the pods that wait for a GPU, and for which model."""
    return {
        name: case.revision.model for case in cases for name in shares[case.revision.name].aside
    }


def _candidate(case: Case, ground: Ground) -> Candidate:
    revision, ready = case.revision, case.seen.ready
    going = revision.drain.replicas if revision.drain else frozenset()
    where = ground.where(revision)
    first = sorted(ready, key=lambda member: (member.name not in going, -member.since))
    at = tuple(
        (member.name, where[member.name])
        for member in first
        if member.name in where and where[member.name][1] is not None
    )
    apart = ground.may(revision) is not None
    return Candidate(
        revision=revision.name,
        gpu_class=revision.gpu_class,
        priority=revision.policy.priority,
        unused_since=case.seen.idle_since or 0.0,
        replicas=len(at) if apart else len(ready),
        gpus=revision.gpus,
        marked=any(member.name in going for member in case.seen.members),
        refused=case.footing.refused,
        whole=not case.divisible,
        going=going,
        at=at,
    )


def _wish(case: Case, ground: Ground, rules: Rules, *, idle: bool) -> Wish:
    seen, revision = case.seen, case.revision
    without = _without(case, ground)
    waits = seen.count(Phase.PENDING) - ground.apart(revision)
    unplaced = max(0, waits) if case.stranded or idle else 0
    held = max(0, revision.replicas - without - unplaced)
    wanted = max(held, case.decision.after - without) if case.auto else held
    if case.auto and held == 0 and case.pressing:
        rank = Rank.NEWCOMER
    elif case.decision.reason in (Reason.MINIMUM, Reason.PINNED):
        rank = Rank.MINIMUM
    else:
        rank = Rank.MORE
    return Wish(
        revision=revision.name,
        gpu_class=revision.gpu_class,
        gpus=revision.gpus,
        held=held,
        queued=0 if rank is Rank.NEWCOMER or idle else _queued(case, ground),
        yields=case.footing.settled,
        wanted=wanted,
        rank=rank,
        priority=revision.policy.priority,
        oldest_wait=case.waited,
        first=case.stranded or case.promised,
        asks=_may_ask(case, rules),
        evicts=not case.spares,
        may=ground.may(revision),
        at=ground.at(revision, held),
    )


def _queued(case: Case, ground: Ground) -> int:
    """Its pods that wait for a GPU and are none that a rollout has added."""
    if not (case.auto and case.revision.gpus):
        return 0
    placed = case.seen.count(Phase.READY, Phase.LOADING) + _without(case, ground)
    waits = case.seen.count(Phase.PENDING) - ground.apart(case.revision)
    return max(0, min(waits, case.revision.replicas - placed))


def _may_ask(case: Case, rules: Rules) -> bool:
    """Whether it has waited for somebody to become idle."""
    patient = case.waiting and not isinstance(case.seen.load, Unknown)
    return not patient or case.waited >= _PATIENCE * rules.tick


def _without(case: Case, ground: Ground) -> int:
    """Its replicas that hold no GPU and wait for none."""
    return case.seen.count(Phase.FAILED) + ground.apart(case.revision)


def _evicted(case: Case, taken: _Taken) -> Standing:
    # What still waits for a GPU goes with it: an idle model needs no more of them.
    stay = case.seen.count(Phase.READY) - taken.replicas if case.divisible else 0
    return replace(
        _standing(case),
        target=max(0, stay),
        reason=Reason.EVICTED,
        message=f"for {taken.model}",
        first=taken.names,
    )


def _without_queue(case: Case, ground: Ground, *, model: str) -> Standing:
    standing, revision = _standing(case), case.revision
    return replace(
        standing,
        target=min(standing.target, revision.replicas - _queued(case, ground)),
        reason=Reason.EVICTED,
        message=f"for {model}",
        first=ground.queue(revision),
    )


def _placed(case: Case, got: Share, *, without: int) -> Standing:
    before, standing = case.revision.replicas, _standing(case)
    if not case.auto:
        return replace(standing, target=before)
    wanted = standing.target
    if wanted > before:
        fits = got.replicas - got.coming + without
        standing = replace(standing, target=max(before, min(wanted, fits)))
    if got.short and standing.target == before:
        why = "; none is taken from others while its starts fail" if case.spares else ""
        standing = replace(
            standing,
            reason=Reason.NO_FREE_GPU,
            message=f"{standing.reason.value}, but no GPU is free for it{why}",
        )
    elif got.coming and standing.target == before:
        standing = replace(standing, message="as soon as the GPU is free that is being freed")
    victims = (*(victim.revision for victim in got.victims), *got.aside)
    return replace(standing, victims=victims, deferred=got.coming > 0 and before == 0)


def _left(
    cases: Iterable[Case], shares: Mapping[RevisionName, Share], ground: Ground, rules: Rules
) -> frozenset[RevisionName]:
    """Whom the activators wake: the first that come, up to what they write at once."""
    left: set[RevisionName] = set()
    spent: dict[str, int] = {}
    for case in sorted(cases, key=lambda case: -case.waited):
        revision = case.revision
        if not _may_be_left(case, shares[revision.name], rules):
            continue
        gpu_class, gpus, vacant = revision.gpu_class, revision.gpus, ground.vacant(revision)
        spent[gpu_class] = spent.get(gpu_class, 0) + gpus
        within = spent[gpu_class] <= max(gpus, vacant // rules.gateways)
        if not gpus or (within and vacant):
            left.add(revision.name)
    return frozenset(left)


def _may_be_left(case: Case, got: Share, rules: Rules) -> bool:
    asked = case.auto and case.revision.replicas == 0 and case.decision.reason is Reason.DEMAND
    known = not isinstance(case.seen.load, Unknown)
    return asked and known and got.at_once and case.waited < rules.tick


def _undisturbed(case: Case) -> Standing:
    """Nobody wants more than there is."""
    standing = _standing(case)
    return standing if case.auto else replace(standing, target=case.revision.replicas)


def _standing(case: Case) -> Standing:
    load, revision, decision = case.seen.load, case.revision, case.decision
    unheard = isinstance(load, Unknown) or decision.reason is Reason.UNKNOWN_READING
    return Standing(
        revision=revision.name,
        version=revision.version,
        replicas=revision.replicas,
        target=decision.after,
        reason=decision.reason,
        message=decision.message,
        members=case.seen.members,
        drain=revision.drain,
        acknowledged=0 if isinstance(load, Unknown) else load.drained,
        footing=case.footing,
        known=case.waiting > 0 or not unheard,
    )

"""From the decisions for single models to where each of them should be, within the GPUs. Pure.

Puts `budget` and `evict` between `decide` and `plan`.

Rule 1: only models in mode `auto` that nobody else scales are moved; the others' replicas count as
        held.
Rule 2: a model that somebody waits for and whose replicas all wait for a GPU is a newcomer still.
Rule 3: a newcomer for whom a GPU is free is left to the activator for one tick.
Rule 4: models that sleep undisturbed take no part: they hold, want and free nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from autoscaler.core.budget import Rank, Share, Wish, share
from autoscaler.core.decide import Decision
from autoscaler.core.evict import Candidate, may_go
from autoscaler.core.footing import Footing
from autoscaler.core.plan import Standing
from autoscaler.core.seen import Seen
from autoscaler.core.window import Unknown
from fleet.model import GpuPool, Mode, Phase, Revision
from fleet.names import RevisionName
from fleet.reasons import Reason

__all__ = ["Case", "arrange"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One model: what there is, what was seen, what was decided."""

    revision: Revision
    seen: Seen
    decision: Decision
    waiting: int = 0
    """Requests known to wait, even where some gateway was not heard."""
    footing: Footing = field(default_factory=Footing)

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
        return self.waiting > 0 or self.revision.policy.pinned


def arrange(
    cases: Iterable[Case],
    pools: Iterable[GpuPool],
    *,
    tick: float,
    min_residency: float,
    now: float,
) -> tuple[Standing, ...]:
    """Where each model should be, and why."""
    every, pools = tuple(cases), tuple(pools)
    cases = [case for case in every if not case.asleep]
    candidates = {
        case.revision.name: _candidate(case)
        for case in cases
        if case.revision.gpus > 0
        and case.auto
        and may_go(case.seen, case.revision.policy, min_residency=min_residency, now=now)
    }
    wishes = {
        case.revision.name: _wish(case, idle=case.revision.name in candidates) for case in cases
    }
    shares = share(wishes.values(), candidates.values(), {p.name: p.total for p in pools})
    taken = _taken(cases, shares)
    free = {pool.name: pool.free for pool in pools}

    def stands(case: Case) -> Standing:
        name = case.revision.name
        if case.asleep:
            return _standing(case)
        if name in taken:
            return _evicted(case, *taken[name])
        return _placed(case, shares[name], free=free, tick=tick)

    return tuple(stands(case) for case in every)


def _taken(
    cases: Iterable[Case], shares: Mapping[RevisionName, Share]
) -> Mapping[RevisionName, tuple[int, str]]:
    """How many replicas each victim loses, and for which model (the last one, if for several)."""
    taken: dict[RevisionName, tuple[int, str]] = {}
    for case in cases:
        for victim in shares[case.revision.name].victims:
            before, _ = taken.get(victim.revision, (0, ""))
            taken[victim.revision] = (before + victim.replicas, case.revision.model)
    return taken


def _candidate(case: Case) -> Candidate:
    revision = case.revision
    return Candidate(
        revision=revision.name,
        gpu_class=revision.gpu_class,
        priority=revision.policy.priority,
        unused_since=case.seen.idle_since or 0.0,
        replicas=case.seen.count(Phase.READY),
        gpus=revision.gpus,
        marked=revision.drain is not None,
    )


def _wish(case: Case, *, idle: bool) -> Wish:
    seen, revision = case.seen, case.revision
    failed = seen.count(Phase.FAILED)
    unplaced = seen.count(Phase.PENDING) if case.stranded or idle else 0
    held = max(0, revision.replicas - failed - unplaced)
    wanted = max(held, case.decision.after - failed) if case.auto else held
    if case.auto and held == 0 and case.pressing:
        rank = Rank.NEWCOMER
    elif case.decision.reason in (Reason.MINIMUM, Reason.PINNED):
        rank = Rank.MINIMUM
    else:
        rank = Rank.MORE
    load = seen.load
    return Wish(
        revision=revision.name,
        gpu_class=revision.gpu_class,
        gpus=revision.gpus,
        held=held,
        wanted=wanted,
        rank=rank,
        priority=revision.policy.priority,
        oldest_wait=0.0 if isinstance(load, Unknown) else load.oldest_wait or 0.0,
    )


def _evicted(case: Case, replicas: int, model: str) -> Standing:
    # What still waits for a GPU goes with it: an idle model needs no more of them.
    return replace(
        _standing(case),
        target=max(0, case.seen.count(Phase.READY) - replicas),
        reason=Reason.EVICTED,
        message=f"for {model}",
    )


def _placed(case: Case, got: Share, *, free: Mapping[str, int], tick: float) -> Standing:
    before, standing = case.revision.replicas, _standing(case)
    if not case.auto:
        return replace(standing, target=before)
    wanted = standing.target
    if wanted > before:
        fits = got.replicas + case.seen.count(Phase.FAILED)
        standing = replace(standing, target=max(before, min(wanted, fits)))
    if got.short and standing.target == before:
        standing = replace(
            standing,
            reason=Reason.NO_FREE_GPU,
            message=f"{standing.reason.value}, but no GPU is free for it",
        )
    victims = tuple(victim.revision for victim in got.victims)
    left = not victims and standing.reason is Reason.DEMAND and _is_left(case, free, tick)
    return replace(standing, victims=victims, left=left)


def _is_left(case: Case, free: Mapping[str, int], tick: float) -> bool:
    revision, load = case.revision, case.seen.load
    waited = 0.0 if isinstance(load, Unknown) else load.oldest_wait or 0.0
    there = free.get(revision.gpu_class, 0) >= revision.gpus
    return revision.replicas == 0 and there and waited < tick


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

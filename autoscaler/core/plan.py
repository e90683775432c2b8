"""From decisions to writes, in order, with reasons. Pure.

Rule 1: fewer replicas are written in two phases. A numbered drain is marked first; the write comes
        when every member gateway has acknowledged that number. Where all gateways read the leader's
        own snapshot, replicas that are not open in it need no drain; nor, anywhere, does one that
        the cluster refuses to make.
Rule 2: who no longer needs to go is taken back; while readings are missing a drain just stays, and
        so it does until it is certain that nothing written before takes them away. One of replicas
        that some gateway still takes for being there stays too, and is in nobody's way.
Rule 3: a victim's 1 -> 0 and the newcomer's 0 -> 1 are adjacent, in one step; a step is given up
        at its first failed write, so a newcomer never asks for a GPU that is not given.
Rule 4: the plan of a carried-out plan is empty: everything is read off what is there.
Rule 5: to more than none: drained and written only while the rollout is over and all that stay are
        held ready by the cluster too, since it takes those that are not before any that is marked.
Rule 6: a mark of another leader's term is taken over before anything else is done with it; that of
        another ebbtide is left alone.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from autoscaler.core.footing import Footing
from autoscaler.core.seen import ReplicaSeen
from fleet.model import Drain, Phase
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason

__all__ = [
    "Action",
    "ClearDrain",
    "Mark",
    "Scale",
    "Standing",
    "Step",
    "falling",
    "lowered",
    "plan",
    "without",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Let some replicas take nothing new."""

    revision: RevisionName
    expect: str
    drain: Drain
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Write the replicas wanted."""

    revision: RevisionName
    expect: str
    before: int
    after: int
    reason: Reason
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearDrain:
    """Take a drain back, or tidy up the mark of one that is over."""

    revision: RevisionName
    expect: str
    reason: Reason


Action = Mark | Scale | ClearDrain
Step = tuple[Action, ...]
"""Writes that belong together, in order; the first that fails ends the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one revision stands, and where it should be."""

    revision: RevisionName
    version: str
    """What the writes are decided on."""
    replicas: int
    """Wanted so far."""
    target: int
    reason: Reason
    message: str = ""
    members: tuple[ReplicaSeen, ...] = ()
    drain: Drain | None = None
    acknowledged: int = 0
    """The drain that every member gateway has acknowledged."""
    footing: Footing = field(default_factory=Footing)
    known: bool = True
    """False while readings are missing: a drain is neither written nor taken back."""
    victims: tuple[RevisionName, ...] = ()
    """Whose replicas go first so that this one has room."""
    left: bool = False
    """The activator writes this one's 0 -> 1."""
    first: frozenset[ReplicaName] = frozenset()
    """The replicas that go before any others, because of where they are."""
    deferred: bool = False
    """GPUs are being freed for it, or will be, and it must not ask for them yet."""

    @property
    def falling(self) -> bool:
        """Whether replicas are to be taken away."""
        return self.target < self.replicas


def plan(standings: Iterable[Standing]) -> tuple[Step, ...]:
    """The writes that are due now; a second call after a drain is acknowledged gives the rest."""
    by_name = {standing.revision: standing for standing in standings}
    steps: list[Step] = [*_each(_taken_back(standing) for standing in by_name.values())]
    shared: set[RevisionName] = set()
    for newcomers, victims in _groups(by_name):
        steps.extend(_swap(newcomers, victims))
        shared.update(standing.revision for standing in (*newcomers, *victims))
    alone = [standing for standing in by_name.values() if standing.revision not in shared]
    steps.extend(_each(_fall(standing) for standing in alone if standing.falling))
    steps.extend(_each(_rise(standing) for standing in alone))
    return tuple(steps)


def _each(actions: Iterable[Action | None]) -> Iterator[Step]:
    return ((action,) for action in actions if action is not None)


def _groups(
    by_name: Mapping[RevisionName, Standing],
) -> list[tuple[list[Standing], list[Standing]]]:
    """Newcomers with their victims; those who share a victim belong together."""
    groups: list[tuple[list[Standing], list[Standing]]] = []
    for standing in by_name.values():
        if not standing.victims:
            continue
        newcomers, victims = [standing], [by_name[name] for name in standing.victims]
        for group in [g for g in groups if any(v in g[1] for v in victims)]:
            groups.remove(group)
            newcomers = group[0] + newcomers
            victims = group[1] + [victim for victim in victims if victim not in group[1]]
        groups.append((newcomers, victims))
    return groups


def _swap(newcomers: list[Standing], victims: list[Standing]) -> list[Step]:
    """All victims' writes and then the newcomers', or the drains that are still lacking."""
    # Of one that is written already, only its replicas are there still.
    falls = [_fall(victim) for victim in victims if victim.falling]
    scales = [action for action in falls if isinstance(action, Scale)]
    if len(scales) < len(falls):
        return list(_each(action for action in falls if isinstance(action, Mark)))
    rises = [action for action in map(_rise, newcomers) if action is not None]
    return [(*scales, *rises)]


def _taken_back(standing: Standing) -> Mark | ClearDrain | None:
    drain = standing.drain
    if drain is None or drain.foreign or standing.falling:
        return None
    there = drain.replicas & _names(standing)
    if (there or standing.footing.lingering) and standing.footing.foreign(drain):
        return _mark(standing, there, Reason.NEW_LEADER)
    if there and not (standing.known and standing.footing.sure):
        return None
    if _only_lingers(standing):
        return None
    return ClearDrain(
        revision=standing.revision,
        expect=standing.version,
        reason=Reason.DRAIN_TAKEN_BACK if there else Reason.STOPPING,
    )


def _only_lingers(standing: Standing) -> bool:
    """Whether the mark stands for those alone that some gateway has not heard are gone."""
    drain, footing = standing.drain, standing.footing
    if drain is None or drain.foreign or footing.foreign(drain):
        return False
    return bool(footing.lingering) and not drain.replicas & _names(standing)


def _rise(standing: Standing) -> Scale | None:
    if standing.target <= standing.replicas or standing.left:
        return None
    if standing.drain is not None and not _only_lingers(standing):
        # It is cleared first: that write changes the version this one is decided on.
        return None
    return _scale(standing)


def _fall(standing: Standing) -> Mark | Scale | None:
    going, drain, footing = _going(standing), standing.drain, standing.footing
    # A mark names pods: one of what was never made would be read back as another, without end.
    names = frozenset(member.name for member in going if member.made) | _falling_still(standing)
    if drain is not None and drain.foreign:
        return None
    if footing.foreign(drain):
        return _mark(standing, names, Reason.NEW_LEADER)
    if not _safe_for_others(standing, going):
        return None
    if drain is None and (not names or (footing.term == 0 and not _reachable(going))):
        return _scale_unless_behind(standing)
    if drain is None or drain.replicas & _names(standing) != names:
        # One that names others would choose them instead.
        return _mark(standing, names, standing.reason)
    if names and standing.acknowledged != drain.number:
        return None
    return _scale_unless_behind(standing)


def _falling_still(standing: Standing) -> frozenset[ReplicaName]:
    """Those marked that a write of before may take away yet, whoever else is to go now."""
    drain = standing.drain
    if drain is None or standing.footing.sure:
        return frozenset()
    return drain.replicas & _names(standing)


def _reachable(going: Iterable[ReplicaSeen]) -> bool:
    return any(member.open for member in going)


def _safe_for_others(standing: Standing, going: Collection[ReplicaSeen]) -> bool:
    """Whether the cluster will take those that go, and no other."""
    stay = [member for member in standing.members if member not in going]
    if standing.target == 0 and not stay and going:
        return True
    return standing.footing.settled and all(member.available for member in stay)


def _mark(standing: Standing, names: frozenset[ReplicaName], reason: Reason) -> Mark:
    drain, footing = standing.drain, standing.footing
    number = footing.numbered(standing.acknowledged, drain.number if drain else 0)
    return Mark(
        revision=standing.revision,
        expect=standing.version,
        drain=Drain(number=number, replicas=names | footing.lingering, term=footing.term),
        reason=reason,
    )


def _scale_unless_behind(standing: Standing) -> Scale | None:
    return None if standing.footing.behind else _scale(standing)


def _names(standing: Standing) -> frozenset[ReplicaName]:
    return frozenset(member.name for member in standing.members)


def _going(standing: Standing) -> tuple[ReplicaSeen, ...]:
    """Who goes: those that must, then those whom the cluster takes first; then the youngest."""
    marked = standing.drain.replicas if standing.drain else frozenset()
    ranked = sorted(
        standing.members,
        key=lambda member: (
            member.name not in standing.first,
            member.available,
            member.name not in marked,
            member.phase is Phase.READY,
            member.open,
            -member.since,
            member.name,
        ),
    )
    return tuple(ranked[: max(0, len(ranked) - standing.target)])


def _scale(standing: Standing) -> Scale:
    return Scale(
        revision=standing.revision,
        expect=standing.version,
        before=standing.replicas,
        after=standing.target,
        reason=standing.reason,
        message=standing.message,
    )


def falling(steps: Iterable[Step]) -> frozenset[RevisionName]:
    """The revisions that lose replicas in `steps`, or whose drains begin there."""
    marked = {action.revision for step in steps for action in step if isinstance(action, Mark)}
    return lowered(steps) | marked


def lowered(steps: Iterable[Step]) -> frozenset[RevisionName]:
    """The revisions that lose replicas in `steps`."""
    return frozenset(
        action.revision
        for step in steps
        for action in step
        if isinstance(action, Scale) and action.after < action.before
    )


def without(steps: Iterable[Step], revisions: frozenset[RevisionName]) -> tuple[Step, ...]:
    """The steps that touch none of `revisions`."""
    return tuple(step for step in steps if not any(action.revision in revisions for action in step))

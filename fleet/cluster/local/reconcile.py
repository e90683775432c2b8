"""What to do so that there are the replicas that are wanted. Pure.

`plan` gives the next steps; the cluster takes them and asks again until there are none.

Rule 1: too many: those named in the drain go first, then those not open yet, then the youngest.
Rule 2: a GPU that is free goes to the eldest PENDING replica that it is enough for.
Rule 3: an out-of-date replica goes once one of the new template is open in its place. That one is
        started beside it when a GPU is free that nobody waits for, else after it: then the old one
        goes first. One at a time; never another while a new one is not open (or fails).
Rule 4: PENDING and FAILED replicas have no process: they are dropped, not retired.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from fleet.model import Phase, Replica, Revision
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason

__all__ = ["Create", "Drop", "Retire", "Start", "Step", "World", "plan"]

_WITHOUT_PROCESS = (Phase.PENDING, Phase.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A new PENDING replica of a revision."""

    revision: RevisionName


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Give a PENDING replica its GPUs and start its process."""

    replica: ReplicaName
    gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    """Let a replica finish what runs on it and stop it."""

    replica: ReplicaName
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Forget a replica that has no process."""

    replica: ReplicaName


Step = Create | Start | Retire | Drop


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What there is."""

    revisions: Mapping[RevisionName, Revision]
    replicas: Mapping[RevisionName, Sequence[Replica]]
    """Eldest first; also those of removed revisions."""
    free: int
    """GPUs that nobody holds."""
    due: AbstractSet[ReplicaName] = field(default_factory=frozenset)
    """FAILED replicas whose back-off is over."""


def plan(world: World) -> tuple[Step, ...]:
    """The next steps; empty when all is as it should be, or only time will tell."""
    counts = tuple(_counts(world))
    if counts:
        return counts
    return tuple(_starts(world)) or tuple(_rollout(world))


def _counts(world: World) -> Iterator[Step]:
    """Bring each revision to its number of replicas."""
    for name, replicas in world.replicas.items():
        if name not in world.revisions:
            for replica in replicas:
                if replica.phase is not Phase.DRAINING:
                    yield _end(replica, Reason.REMOVED)
    for name, revision in world.revisions.items():
        live = [r for r in world.replicas.get(name, ()) if r.phase is not Phase.DRAINING]
        over = [r for r in live if _is_over(r, revision, world.due)]
        for replica in over:
            yield Drop(replica=replica.name)
        yield from _fit(revision, [r for r in live if r not in over])


def _is_over(replica: Replica, revision: Revision, due: AbstractSet[ReplicaName]) -> bool:
    if replica.phase is Phase.FAILED and replica.name in due:
        return True
    return replica.template != revision.template and replica.phase in _WITHOUT_PROCESS


def _fit(revision: Revision, live: list[Replica]) -> Iterator[Step]:
    """Remove what is too much of one revision, create what is missing."""
    wanted = revision.replicas
    drained = revision.drain.replicas if revision.drain is not None else frozenset()
    named = [r for r in live if r.name in drained]
    victims = _first_to_go(named, drained, len(live) - wanted)
    fresh = [r for r in live if r.template == revision.template and r not in victims]
    victims += _first_to_go(fresh, drained, len(fresh) - wanted)
    for victim in victims:
        yield _end(victim, Reason.STOPPING)
    fresh = [r for r in fresh if r not in victims]
    stale = [r for r in live if r.template != revision.template and r not in victims]
    replaced = sum(r.address is not None for r in fresh)
    reason = Reason.TEMPLATE_CHANGED if fresh else Reason.STOPPING
    outdated = _first_to_go(stale, drained, len(stale) - max(0, wanted - replaced))
    for victim in outdated:
        yield _end(victim, reason)
    for _ in range(wanted - len(fresh) - len(stale)):
        yield Create(revision=revision.name)


def _first_to_go(
    replicas: Sequence[Replica], drained: AbstractSet[ReplicaName], count: int
) -> list[Replica]:
    """`count` of `replicas` (eldest first), by Rule 1."""
    if count <= 0:
        return []
    youngest_first = reversed(replicas)
    return sorted(youngest_first, key=lambda r: (r.name not in drained, r.address is not None))[
        :count
    ]


def _end(replica: Replica, reason: Reason) -> Step:
    if replica.phase in _WITHOUT_PROCESS:
        return Drop(replica=replica.name)
    return Retire(replica=replica.name, reason=reason)


def _starts(world: World) -> Iterator[Start]:
    pending = [
        (replica, revision.gpus)
        for name, revision in world.revisions.items()
        for replica in world.replicas.get(name, ())
        if replica.phase is Phase.PENDING
    ]
    free = world.free
    for replica, need in sorted(pending, key=lambda pair: pair[0].since):
        if need <= free:
            free -= need
            yield Start(replica=replica.name, gpus=need)


def _rollout(world: World) -> Iterator[Step]:
    """The next step from an old template to the new one: of one revision, then ask again."""
    for name, revision in world.revisions.items():
        live = [r for r in world.replicas.get(name, ()) if r.phase is not Phase.DRAINING]
        stale = [r for r in live if r.template != revision.template]
        waiting = any(r.address is None for r in live if r not in stale)
        if not stale or waiting or len(live) > revision.replicas:
            continue
        if revision.gpus <= world.free:
            yield Create(revision=name)
        else:
            victim = _first_to_go(stale, frozenset(), 1)[0]
            yield Retire(replica=victim.name, reason=Reason.TEMPLATE_CHANGED)
        return

"""Which Deployment a model name belongs to. Pure.

Rule: two that claim one name: the elder keeps it, and the younger is refused as a whole, since
half of its names would be worse than none. Elder is created earlier, then first by uid and name.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fleet.annotations import MODEL, PREFIX
from fleet.model import Problem, Revision
from fleet.names import ModelName

__all__ = ["Settled", "settle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The revisions that keep their names, eldest first, and what is said to the others."""

    accepted: tuple[Revision, ...]
    problems: tuple[Problem, ...]


def settle(revisions: Sequence[Revision]) -> Settled:
    """Give each model name to one of `revisions`, whatever their order."""
    owners: dict[ModelName, Revision] = {}
    accepted: list[Revision] = []
    problems: list[Problem] = []
    for revision in sorted(revisions, key=lambda each: (each.created, each.uid, each.name)):
        claims = [_claimed(revision, name, owners[name]) for name in _names(revision, owners)]
        problems.extend(claims)
        if not claims:
            accepted.append(revision)
            owners.update((model.name, revision) for model in revision.models)
    return Settled(accepted=tuple(accepted), problems=tuple(problems))


def _names(revision: Revision, owners: dict[ModelName, Revision]) -> list[ModelName]:
    return [model.name for model in revision.models if model.name in owners]


def _claimed(revision: Revision, name: ModelName, owner: Revision) -> Problem:
    where = f" ({owner.source})" if owner.source else ""
    return Problem(
        source=revision.source,
        deployment=revision.name,
        key=PREFIX + MODEL,
        value=name,
        allowed=f"a name that no other Deployment has; {owner.name}{where} is elder and keeps it",
    )

"""Which Deployment a model name belongs to. Pure.

Rule 1: two that claim one name: the elder keeps it, and the younger is refused as a whole, since
        half of its names would be worse than none. Elder is created earlier, then first by uid and
        name.
Rule 2: in a cluster a name is kept with all beneath it: `ocr/infer` of another namespace would be
        sent what callers of `ocr` ask at that path. Within a namespace both may be there.
"""

from collections.abc import Iterator, Sequence
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


def settle(revisions: Sequence[Revision], *, in_cluster: bool = False) -> Settled:
    """Give each model name to one of `revisions`, whatever their order."""
    owners: dict[ModelName, Revision] = {}
    accepted: list[Revision] = []
    problems: list[Problem] = []
    for revision in sorted(revisions, key=lambda each: (each.created, each.uid, each.name)):
        claims = list(_contested(revision, owners, in_cluster=in_cluster))
        problems.extend(claims)
        if not claims:
            accepted.append(revision)
            owners.update((model.name, revision) for model in revision.models)
    return Settled(accepted=tuple(accepted), problems=tuple(problems))


def _contested(
    revision: Revision, owners: dict[ModelName, Revision], *, in_cluster: bool
) -> Iterator[Problem]:
    """A problem for each of its names that an elder keeps."""
    for model in revision.models:
        owner = owners.get(model.name)
        if owner is not None:
            allowed = f"a name that no other Deployment has; {_called(owner)} is elder and keeps it"
            yield _problem(revision, model.name, allowed)
        elif in_cluster and (above := _above(revision, model.name, owners)) is not None:
            owner = owners[above]
            allowed = (
                f"a name that is not beneath one of another namespace; {_called(owner)} is elder "
                f"and keeps {above!r} with all paths beneath it"
            )
            yield _problem(revision, model.name, allowed)


def _above(
    revision: Revision, name: ModelName, owners: dict[ModelName, Revision]
) -> ModelName | None:
    """The name of another namespace that `name` lies beneath."""
    end = name.find("/")
    while end >= 0:
        above = ModelName(name[:end])
        owner = owners.get(above)
        if owner is not None and _namespace(owner) != _namespace(revision):
            return above
        end = name.find("/", end + 1)
    return None


def _namespace(revision: Revision) -> str:
    return revision.name.partition("/")[0]


def _called(owner: Revision) -> str:
    return f"{owner.name} ({owner.source})" if owner.source else owner.name


def _problem(revision: Revision, name: ModelName, allowed: str) -> Problem:
    return Problem(
        source=revision.source,
        deployment=revision.name,
        key=PREFIX + MODEL,
        value=name,
        allowed=allowed,
    )

"""What manifests read anew change in what runs. Pure.

Rule 1: `spec.replicas` and the place among claimants count from when a Deployment was first seen.
        What changed gets a new version; what did not keeps its own.
Rule 2: a Deployment that became wrong, or whose file cannot be read to its end, stays as it was.
Rule 3: of two that claim one name the elder keeps it (`fleet.registry`); one that already runs and
        now claims another's name stays as it was, too.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from fleet.cluster.local.manifests import Deployments, LocalDeployment, Manifests
from fleet.model import Problem
from fleet.names import RevisionName
from fleet.registry import settle

__all__ = ["Taken", "take_over"]

_AFTER_EACH_OTHER = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What runs from now on."""

    deployments: Deployments
    problems: tuple[Problem, ...]


def take_over(
    current: Deployments, manifests: Manifests, *, wall: float, version: Callable[[], str]
) -> Taken:
    """The Deployments after `manifests`; `version` makes versions never given before."""
    merged: dict[RevisionName, LocalDeployment] = {}
    for place, found in enumerate(manifests.deployments):
        old = current.get(found.revision.name)
        new = (
            _first_seen(found, created=wall + place * _AFTER_EACH_OTHER, version=version)
            if old is None
            else _merge(old, found, version=version)
        )
        merged[new.revision.name] = new
    for name, old in current.items():
        if name not in merged and _goes_on(old, manifests):
            merged[name] = old
    return _settle(current, merged, manifests.problems)


def _goes_on(old: LocalDeployment, manifests: Manifests) -> bool:
    """Whether a Deployment that was not read may still be there."""
    unread = manifests.broken.intersection((old.file, *old.file.parents))
    return old.revision.name in manifests.refused or bool(unread)


def _first_seen(
    found: LocalDeployment, *, created: float, version: Callable[[], str]
) -> LocalDeployment:
    revision = replace(found.revision, created=created, version=version())
    return replace(found, revision=revision)


def _merge(
    old: LocalDeployment, found: LocalDeployment, *, version: Callable[[], str]
) -> LocalDeployment:
    was = old.revision
    same = replace(
        found.revision,
        replicas=was.replicas,
        drain=was.drain,
        created=was.created,
        version=was.version,
    )
    if same == was:
        return replace(found, revision=was)
    return replace(found, revision=replace(same, version=version()))


def _settle(
    current: Deployments,
    merged: Mapping[RevisionName, LocalDeployment],
    problems: tuple[Problem, ...],
) -> Taken:
    settled = settle([each.revision for each in merged.values()])
    problems += settled.problems
    accepted = {revision.name for revision in settled.accepted}
    going_on = {
        name: current[name] if name in current and name not in accepted else deployment
        for name, deployment in merged.items()
    }
    again = settle([each.revision for each in going_on.values()])
    return Taken(
        deployments=_in_order(going_on, (revision.name for revision in again.accepted)),
        problems=problems,
    )


def _in_order(deployments: Deployments, names: Iterable[RevisionName]) -> Deployments:
    return {name: deployments[name] for name in names}

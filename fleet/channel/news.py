"""What is new in a fleet since an older snapshot, so that not all of it is sent each time. Pure.

Rule: `with_news(before, news_since(before, after)) == after`, whatever the two are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from fleet.model import Fleet, GpuPool, Problem, Replica, Revision
from fleet.names import RevisionName

__all__ = ["FleetNews", "news_since", "with_news"]

_T = TypeVar("_T")


def _nothing() -> Mapping[RevisionName, tuple[Replica, ...]]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetNews:
    """What differs."""

    number: int
    """That of the newer snapshot."""
    revisions: Mapping[RevisionName, Revision] = field(default_factory=lambda: MappingProxyType({}))
    """The new and changed ones."""
    gone: tuple[RevisionName, ...] = ()
    replicas: Mapping[RevisionName, tuple[Replica, ...]] = field(default_factory=_nothing)
    """All replicas of those revisions where one is new, changed or gone."""
    gpus: tuple[GpuPool, ...] = ()
    problems: tuple[Problem, ...] | None = None
    """None: as before."""


def news_since(before: Fleet, after: Fleet) -> FleetNews:
    """What `after` has that `before` has not."""
    replicas = {**_changed(before.replicas, after.replicas)}
    for name in before.replicas.keys() - after.replicas.keys():
        replicas[name] = ()
    return FleetNews(
        number=after.number,
        revisions=MappingProxyType(_changed(before.revisions, after.revisions)),
        gone=tuple(sorted(before.revisions.keys() - after.revisions.keys())),
        replicas=MappingProxyType(replicas),
        gpus=after.gpus,
        problems=None if before.problems == after.problems else after.problems,
    )


def with_news(before: Fleet, news: FleetNews) -> Fleet:
    """The snapshot that `news` makes of `before`."""
    revisions = {name: known for name, known in before.revisions.items() if name not in news.gone}
    revisions.update(news.revisions)
    replicas = {**before.replicas, **news.replicas}
    return Fleet(
        number=news.number,
        revisions=MappingProxyType(revisions),
        replicas=MappingProxyType({name: known for name, known in replicas.items() if known}),
        gpus=news.gpus,
        problems=before.problems if news.problems is None else news.problems,
    )


def _changed(
    before: Mapping[RevisionName, _T], after: Mapping[RevisionName, _T]
) -> dict[RevisionName, _T]:
    return {name: found for name, found in after.items() if before.get(name) != found}

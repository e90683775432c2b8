"""What there is to tell of Deployments that is nobody's decision: registered, refused, ready. Pure.

Rule 1: what was so when this process began is no news; but what is wrong is told then too.
Rule 2: everything is told once: of a replica that it got ready, of a Deployment what is wrong with
        it until that changes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fleet.aged import as_made
from fleet.messages import Received
from fleet.model import Fleet, Problem
from fleet.names import GatewayName, ReplicaName, RevisionName

__all__ = ["Known", "News", "ready_after", "tell"]

_LONGEST = 4000
"""Characters about one Deployment: it may be wrong in many ways, and all that is told is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something to tell of a Deployment."""

    revision: RevisionName
    event: str
    message: str
    registered: bool = True
    """Whether it has a model; one that is refused has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """How things stood when there was last a look at them."""

    registered: frozenset[RevisionName] = frozenset()
    wrong: Mapping[RevisionName, str] = field(default_factory=lambda: MappingProxyType({}))
    second_writers: Mapping[RevisionName, str] = field(default_factory=lambda: MappingProxyType({}))
    ready: frozenset[ReplicaName] = frozenset()

    def untold(self) -> "Known":
        """The same, as if nobody had told yet what is wrong."""
        return Known(registered=self.registered, ready=self.ready)


def ready_after(received: Mapping[GatewayName, Received]) -> Mapping[ReplicaName, float]:
    """Seconds from having its GPU to ready, of every replica that some gateway saw get ready."""
    found: dict[ReplicaName, float] = {}
    for got in received.values():
        for name in got.sample.revisions:
            sample = as_made(got.sample.revisions, name)
            for replica in sample.replicas if sample is not None else ():
                took = replica.ready_after
                if replica.ready_for is not None and took is not None:
                    found[replica.name] = min(took, found.get(replica.name, took))
    return found


def tell(
    before: Known | None, fleet: Fleet, ready: Mapping[ReplicaName, float]
) -> tuple[Known, tuple[News, ...]]:
    """How things stand now, and what of it is news. `before`: None at the first look."""
    now = Known(
        registered=frozenset(fleet.revisions),
        wrong=MappingProxyType(_wrong(fleet.problems)),
        second_writers=MappingProxyType(
            {name: one.second_writer for name, one in fleet.revisions.items() if one.second_writer}
        ),
        # One that nobody reports for a moment is not ready anew when somebody does again.
        ready=frozenset(
            replica.name
            for replicas in fleet.replicas.values()
            for replica in replicas
            if replica.name in ready or (before is not None and replica.name in before.ready)
        ),
    )
    begun = before is not None
    before = before or now.untold()
    news = [
        *(_registered(fleet, name) for name in sorted(now.registered - before.registered)),
        *_changed(before.wrong, now.wrong, "refused", now.registered),
        *_changed(before.second_writers, now.second_writers, "second_writer", now.registered),
        *(_ready(fleet, ready, now.ready - before.ready) if begun else ()),
    ]
    return now, tuple(news)


def _wrong(problems: Iterable[Problem]) -> dict[RevisionName, str]:
    """What is wrong with each Deployment, warnings left out."""
    found: dict[RevisionName, list[str]] = {}
    for problem in problems:
        if problem.deployment and not problem.warning:
            what = f"{problem.key}: {problem.value!r}" if problem.value else problem.key
            found.setdefault(RevisionName(problem.deployment), []).append(
                f"{what}: {problem.allowed}"
            )
    return {name: "; ".join(told)[:_LONGEST] for name, told in found.items()}


def _registered(fleet: Fleet, name: RevisionName) -> News:
    models = ", ".join(model.name for model in fleet.revisions[name].models)
    return News(revision=name, event="registered", message=f"as {models}")


def _changed(
    before: Mapping[RevisionName, str],
    now: Mapping[RevisionName, str],
    event: str,
    registered: frozenset[RevisionName],
) -> Iterator[News]:
    for name, message in sorted(now.items()):
        if before.get(name) != message:
            yield News(revision=name, event=event, message=message, registered=name in registered)


def _ready(
    fleet: Fleet, ready: Mapping[ReplicaName, float], fresh: frozenset[ReplicaName]
) -> Iterator[News]:
    for name, replicas in fleet.replicas.items():
        for replica in replicas:
            if replica.name in fresh and name in fleet.revisions:
                message = f"{replica.name} after {ready[replica.name]:.1f} s"
                yield News(revision=name, event="ready", message=message)

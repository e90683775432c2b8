"""Samples of many revisions, as old as they are at one moment, made from what was said last. Pure.

Rule: nothing is made of what nobody looks at, and what nothing has happened to is told apart by
      being the same object as before.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from fleet.messages import ReplicaSample, RevisionSample
from fleet.names import RevisionName

__all__ = ["Aged", "as_made", "later"]


class Aged(Mapping[RevisionName, RevisionSample]):
    """What was `made` of each revision, with when that was, as of `now`."""

    __slots__ = ("_made", "_now")

    def __init__(
        self, made: Mapping[RevisionName, tuple[RevisionSample, float]], now: float
    ) -> None:
        self._made, self._now = made, now

    def __getitem__(self, name: RevisionName) -> RevisionSample:
        sample, at = self._made[name]
        return later(sample, self._now - at)

    def __iter__(self) -> Iterator[RevisionName]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)

    def as_made(self, name: RevisionName) -> RevisionSample | None:
        """One as it was made, with the ages of then; None: it is not known."""
        made = self._made.get(name)
        return None if made is None else made[0]


def as_made(
    samples: Mapping[RevisionName, RevisionSample], name: RevisionName
) -> RevisionSample | None:
    """A sample for all but its ages: the same object as before where nothing has happened since.

    Another object may say the same.
    """
    return samples.as_made(name) if isinstance(samples, Aged) else samples.get(name)


def later(sample: RevisionSample, seconds: float) -> RevisionSample:
    """What holds `seconds` after `sample` when nothing has happened meanwhile."""
    if seconds == 0.0 or (sample.idle_for is None and not sample.replicas):
        return sample
    return replace(
        sample,
        idle_for=_older(sample.idle_for, seconds),
        replicas=tuple(_older_replica(one, seconds) for one in sample.replicas),
    )


def _older_replica(replica: ReplicaSample, seconds: float) -> ReplicaSample:
    return replace(replica, ready_for=_older(replica.ready_for, seconds))


def _older(age: float | None, seconds: float) -> float | None:
    return None if age is None else age + seconds

"""What is new in a gateway's sample, so that models at rest cost nothing each second. Pure.

Rule: `SamplesHeard.take` of all that `SamplesTold.news` made gives each sample again; only ages of
      models at rest, which are told no more, may be off by what a message took on its way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from fleet.messages import RevisionSample, Sample
from fleet.names import GatewayName, RevisionName

__all__ = ["SampleNews", "SamplesHeard", "SamplesTold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleNews:
    """A sample without the revisions that rest as they did in the one before."""

    gateway: GatewayName
    passed: float
    """Seconds since the sample before."""
    revisions: Mapping[RevisionName, RevisionSample] = field(
        default_factory=lambda: MappingProxyType({})
    )
    gone: tuple[RevisionName, ...] = ()


class SamplesTold:
    """The side that tells."""

    def __init__(self) -> None:
        self._last: Mapping[RevisionName, RevisionSample] = {}
        self._at: float | None = None

    def news(self, sample: Sample, now: float) -> SampleNews:
        """What is to be told of `sample`, which is made at `now`."""
        last, passed = self._last, 0.0 if self._at is None else now - self._at
        self._last, self._at = sample.revisions, now
        changed = {
            name: one
            for name, one in sample.revisions.items()
            if not (one.rests and one.rests_on(last.get(name)))
        }
        return SampleNews(
            gateway=sample.gateway,
            passed=passed,
            revisions=MappingProxyType(changed),
            gone=tuple(sorted(last.keys() - sample.revisions.keys())),
        )


class SamplesHeard:
    """The side that is told."""

    def __init__(self) -> None:
        self._last: dict[RevisionName, RevisionSample] = {}

    def take(self, news: SampleNews) -> Sample:
        """The whole sample."""
        for name in news.gone:
            self._last.pop(name, None)
        self._last = {name: _later(one, news.passed) for name, one in self._last.items()}
        self._last.update(news.revisions)
        return Sample(gateway=news.gateway, revisions=MappingProxyType(dict(self._last)))


def _later(sample: RevisionSample, seconds: float) -> RevisionSample:
    if sample.idle_for is None:
        return sample
    return replace(sample, idle_for=sample.idle_for + seconds)

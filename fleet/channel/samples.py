"""What is new in a gateway's sample, so that models at rest cost nothing each second. Pure.

Rule 1: `SamplesHeard.take` of all that `SamplesTold.news` made gives each sample again; only ages
        of revisions that nothing has happened to, which are told no more, may be off by what a
        message took on its way.
Rule 2: news may be told in parts: the sample is whole when the last of them is in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from types import MappingProxyType

from fleet.aged import Aged, as_made
from fleet.messages import RevisionSample, Sample
from fleet.names import GatewayName, RevisionName

__all__ = ["SampleNews", "SamplesHeard", "SamplesTold", "parts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleNews:
    """A sample without the revisions that nothing has happened to since the one before."""

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
        self._last: dict[RevisionName, RevisionSample] = {}
        """Of each what was said last, with ages of whenever."""
        self._at: float | None = None

    def news(self, sample: Sample, now: float) -> SampleNews:
        """What is to be told of `sample`, which is made at `now`."""
        last, passed = self._last, 0.0 if self._at is None else now - self._at
        self._last, self._at = {}, now
        changed: dict[RevisionName, RevisionSample] = {}
        for name in sample.revisions:
            made = self._last[name] = _made(sample, name)
            if not made.still_on(last.get(name)):
                changed[name] = sample.revisions[name]
        return SampleNews(
            gateway=sample.gateway,
            passed=passed,
            revisions=MappingProxyType(changed),
            gone=tuple(sorted(last.keys() - self._last.keys())),
        )


class SamplesHeard:
    """The side that is told."""

    def __init__(self) -> None:
        self._last: dict[RevisionName, tuple[RevisionSample, float]] = {}
        """What was told last of each, and when by the teller's own clock."""
        self._clock = 0.0

    def take(self, news: SampleNews) -> Sample:
        """The whole sample."""
        self.hear(news)
        return Sample(gateway=news.gateway, revisions=self.revisions())

    def hear(self, news: SampleNews) -> None:
        """Remember a part, or all, of some news."""
        self._clock += news.passed
        for name in news.gone:
            self._last.pop(name, None)
        for name, one in news.revisions.items():
            self._last[name] = one, self._clock

    def names(self) -> frozenset[RevisionName]:
        """The revisions that were told of and are not gone."""
        return frozenset(self._last)

    def revisions(self) -> Mapping[RevisionName, RevisionSample]:
        """All that was heard, as old as it is by now."""
        return Aged(self._last.copy(), self._clock)


def parts(news: SampleNews, most: int) -> Iterator[SampleNews]:
    """`news` as parts of at most `most` revisions, at least one part."""
    left = iter(news.revisions.items())
    first = MappingProxyType(dict(islice(left, most)))
    yield replace(news, revisions=first)
    while more := dict(islice(left, most)):
        yield SampleNews(gateway=news.gateway, passed=0.0, revisions=MappingProxyType(more))


def _made(sample: Sample, name: RevisionName) -> RevisionSample:
    made = as_made(sample.revisions, name)
    return sample.revisions[name] if made is None else made

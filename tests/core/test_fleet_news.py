"""News of a fleet: added to the older snapshot they make the newer one, and say no more."""

from dataclasses import replace
from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from fleet.channel.news import news_since, with_news
from fleet.model import Fleet, GpuPool, Phase, Problem, Replica
from fleet.names import ReplicaName
from tests.fakes.cluster import revision

REVISIONS = [revision(name, replicas=n) for name in "abc" for n in range(3)]
REPLICAS = [
    Replica(name=ReplicaName(name), phase=phase, since=1.0, template="t")
    for name in "xyz"
    for phase in (Phase.PENDING, Phase.LOADING)
]
PROBLEMS = [
    Problem(source="f", deployment="d", key="k", value=value, allowed="a") for value in "12"
]


@st.composite
def fleets(draw):
    revisions = {one.name: one for one in draw(st.lists(st.sampled_from(REVISIONS), max_size=4))}
    names = [one.name for one in REVISIONS]
    some = st.lists(st.sampled_from(REPLICAS), min_size=1, max_size=3).map(tuple)
    return Fleet(
        number=draw(st.integers(1, 9)),
        revisions=MappingProxyType(revisions),
        replicas=MappingProxyType(draw(st.dictionaries(st.sampled_from(names), some, max_size=3))),
        gpus=(GpuPool(name="gpu", total=2, free=draw(st.integers(0, 2))),),
        problems=tuple(draw(st.lists(st.sampled_from(PROBLEMS), max_size=2))),
    )


@given(fleets(), fleets())
def test_news_added_to_the_older_make_the_newer(before, after):
    assert with_news(before, news_since(before, after)) == after


@given(fleets())
def test_nothing_is_told_twice(fleet):
    news = news_since(fleet, replace(fleet, number=10))
    assert (news.number, news.revisions, news.gone, news.replicas) == (10, {}, (), {})
    assert news.problems is None

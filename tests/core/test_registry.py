"""Who keeps a name that two Deployments claim."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from fleet.model import Revision, Served
from fleet.names import RevisionName
from fleet.registry import settle
from tests.fakes import cluster as fakes


def revision(name: str, *models: str, created: float = 0.0) -> Revision:
    served = tuple(Served(name=model, served=model) for model in models)
    return fakes.revision(name, models=served, created=created, source=f"{name}.yaml")


def test_the_elder_keeps_the_name_and_the_problem_names_both() -> None:
    elder, younger = revision("z", "m", created=1), revision("a", "m", created=2)
    settled = settle([younger, elder])
    assert settled.accepted == (elder,)
    (problem,) = settled.problems
    assert str(problem) == (
        "a.yaml default/a: ebbtide.dev/model: 'm': a name that no other Deployment has; "
        "default/z (z.yaml) is elder and keeps it"
    )
    assert not problem.warning


def test_of_the_same_age_the_first_by_name_keeps_it() -> None:
    settled = settle([revision("b", "m"), revision("a", "m")])
    assert [each.name for each in settled.accepted] == ["default/a"]


def test_of_the_same_second_the_first_by_uid_keeps_it() -> None:
    first, second = revision("b", "m"), revision("a", "m")
    settled = settle([replace(first, uid="1"), replace(second, uid="2")])
    assert [each.name for each in settled.accepted] == ["default/b"]


def test_an_alias_is_a_name_too_and_each_clash_is_told() -> None:
    settled = settle(
        [
            revision("a", "x", "y", created=1),
            revision("b", "y", "z", "x", created=2),
            revision("c", "z", created=3),
        ]
    )
    assert [each.name for each in settled.accepted] == ["default/a", "default/c"]
    assert [problem.value for problem in settled.problems] == ["y", "x"]


def test_the_refused_claims_nothing() -> None:
    # b loses to a, so what b also asked for stays free for c.
    settled = settle(
        [revision("a", "x"), revision("b", "x", "y", created=1), revision("c", "y", created=2)]
    )
    assert len(settled.accepted) == 2


def elsewhere(name: str, *models: str, created: float) -> Revision:
    return replace(revision(name, *models, created=created), name=RevisionName(f"other/{name}"))


@pytest.mark.parametrize("name", ["ocr/infer", "ocr/versions/1", "team/a/b", "x=ocr/infer"])
def test_in_a_cluster_an_elder_keeps_its_name_and_all_beneath_it(name: str) -> None:
    elder = revision("a", "ocr", "team/a", created=1)
    alias, _, served = name.rpartition("=")
    younger = elsewhere("b", *filter(None, [alias, served]), created=2)
    settled = settle([younger, elder], in_cluster=True)
    assert settled.accepted == (elder,)
    (problem,) = settled.problems
    assert "default/a (a.yaml) is elder and keeps" in problem.allowed
    assert settle([younger, elder]).problems == (), "on one machine all files are one operator's"


def test_beside_it_above_it_and_in_its_own_namespace_others_may_be() -> None:
    elder = revision("a", "ocr/x", created=1)
    mine = revision("b", "ocr/x/large", created=2)
    others = elsewhere("c", "ocr", "ocr/xy", "ocr/y/x", created=3)
    assert settle([elder, mine, others], in_cluster=True).problems == ()


_REVISIONS = st.lists(
    st.builds(
        lambda name, models, created: revision(name, *models, created=created),
        st.sampled_from("abcdef"),
        st.lists(st.sampled_from("uvwxyz"), min_size=1, max_size=3, unique=True),
        st.integers(0, 2),
    ),
    max_size=6,
    unique_by=lambda each: each.name,
)


@examples(max_examples=100, deadline=None)
@given(_REVISIONS, st.randoms())
def test_each_name_has_one_owner_and_order_does_not_matter(revisions, random) -> None:
    settled = settle(revisions)
    names = [model.name for each in settled.accepted for model in each.models]
    assert len(names) == len(set(names))
    refused = {problem.deployment for problem in settled.problems}
    assert refused | {each.name for each in settled.accepted} == {each.name for each in revisions}
    assert refused.isdisjoint({each.name for each in settled.accepted})
    shuffled = list(revisions)
    random.shuffle(shuffled)
    assert settle(shuffled) == settled
    # Settling what was settled changes nothing.
    assert settle(settled.accepted).accepted == settled.accepted

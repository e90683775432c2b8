"""How many Events a Deployment gets, and which counts they carry."""

from hypothesis import given
from hypothesis import strategies as st

from fleet.cluster.kubernetes.ration import Ration, Telling
from fleet.names import RevisionName

A, B = RevisionName("default/a"), RevisionName("default/b")


def said(ration: Ration, revision: RevisionName, message: str, *, now: float) -> Telling | None:
    return ration.take(revision, "woken", message, now=now)


def test_what_is_said_again_is_one_event_with_a_count() -> None:
    ration = Ration()
    first = said(ration, A, "x", now=0.0)
    assert first == Telling(number=1, count=1, made=False)
    assert said(ration, A, "y", now=0.0) == Telling(number=2, count=1, made=False)
    assert said(ration, A, "x", now=1.0) == Telling(number=1, count=2, made=True)
    assert said(ration, B, "x", now=1.0) == Telling(number=3, count=1, made=False)
    assert ration.take(A, "asleep", "x", now=1.0) == Telling(number=4, count=1, made=False)


def test_after_a_long_silence_it_is_told_anew() -> None:
    ration = Ration()
    said(ration, A, "x", now=0.0)
    assert said(ration, A, "x", now=600.0) == Telling(number=1, count=2, made=True)
    assert said(ration, A, "x", now=1200.0) == Telling(number=1, count=3, made=True)
    assert said(ration, A, "x", now=1800.1) == Telling(number=2, count=1, made=False)


def test_too_much_is_counted_and_the_next_told_has_the_whole_count() -> None:
    ration = Ration()
    told = [said(ration, A, f"{n}", now=0.0) for n in range(30)]
    assert [each is not None for each in told] == [True] * 20 + [False] * 10
    assert said(ration, A, "29", now=14.9) is None
    assert said(ration, A, "29", now=15.1) == Telling(number=30, count=3, made=False)
    assert said(ration, A, "29", now=15.2) is None
    assert said(ration, B, "29", now=15.2) is not None


def test_one_that_could_not_be_written_is_made_anew() -> None:
    ration = Ration()
    first = said(ration, A, "x", now=0.0)
    assert first is not None
    ration.lost(first)
    ration.lost(first)
    assert said(ration, A, "x", now=1.0) == Telling(number=2, count=1, made=False)


def test_what_is_remembered_is_bounded_and_the_newest_stays() -> None:
    ration = Ration()
    for number in range(10_000):
        said(ration, RevisionName(f"default/{number}"), "x", now=float(number))
    assert len(ration._series) <= 4096
    assert len(ration._buckets) <= 4096
    newest = said(ration, RevisionName("default/9999"), "x", now=10_000.0)
    assert newest is not None
    assert newest.count == 2


@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.sampled_from("xyz")), max_size=200))
def test_never_more_than_a_few_at_once_and_one_now_and_then(
    steps: list[tuple[float, str]],
) -> None:
    ration, now = Ration(), 0.0
    told: list[float] = []
    for pause, message in steps:
        now += pause
        if said(ration, A, message, now=now) is not None:
            told.append(now)
    for first, at in enumerate(told):
        within = [other for other in told[first:] if other - at <= 60.0]
        assert len(within) <= 20 + 60.0 / 15 + 1

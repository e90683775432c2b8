"""What a leader may take for certain, and which numbers its drains have."""

import pytest

from autoscaler.core.footing import Footing, first_number, is_certain
from fleet.model import Drain
from tests.fakes.cluster import revision


@pytest.mark.parametrize(
    ("since", "enacted", "certain"),
    [
        (0.5, True, False),
        (1.0, True, True),
        (1.0, False, False),
        (59.0, False, False),
        (60.0, False, True),
        (float("inf"), False, True),
    ],
)
def test_when_a_write_of_fewer_is_over(since, enacted, certain):
    assert is_certain(revision(enacted=enacted), since=since) is certain


def test_every_term_has_numbers_of_its_own():
    for term in range(5):
        number = Footing(term=term).numbered()
        assert first_number(term) < number < first_number(term + 1)
    assert Footing(term=1, last_drain=first_number(1) + 7).numbered() == first_number(1) + 8


def test_a_number_that_was_seen_is_passed_over_and_not_counted_on_from():
    first = first_number(1) + 1
    assert Footing(term=1).numbered(first, first + 1) == first + 2
    for strange in (0, first_number(4), 2**53 - 1, 2**53):
        assert Footing(term=1).numbered(strange) == first


def test_numbers_fit_into_what_a_mark_may_hold():
    assert Footing(term=2**31).numbered() < 2**53


def test_whose_mark_it_is():
    mine = Drain(number=1, replicas=frozenset(), term=2)
    assert not Footing(term=2).foreign(mine)
    assert Footing(term=3).foreign(mine)
    assert not Footing(term=3).foreign(None)

"""Tallies of several processes: sent as values, added up."""

from dataclasses import fields

from activator.core.retries import Denied, Loss
from fleet.codec import Codec
from fleet.reasons import Reason
from gateway.core.sums import Figures, added_up, figures, size
from gateway.core.tally import Tally


def tally(*codes: int, seconds: float = 0.02) -> Tally:
    made = Tally()
    for code in codes:
        made.count(code)
        made.wait.add(seconds)
        made.upstream.add(2 * seconds)
    made.refuse(Reason.QUEUE_FULL)
    return made


def test_figures_have_all_that_a_tally_counts():
    assert {field.name for field in fields(Figures)} == set(Tally.__slots__)


def test_figures_stand_still_while_the_tally_goes_on():
    counted = tally(200)
    before = figures(counted)
    counted.count(200)
    counted.wait.add(1.0)
    counted.refuse(Reason.QUEUE_FULL)
    assert before == figures(tally(200))


def test_two_are_added_up():
    total = added_up([figures(tally(200, 503)), figures(tally(200, seconds=5.0))])
    assert total.codes == {200: 2, 503: 1}
    assert total.refused == {Reason.QUEUE_FULL: 2}
    assert sum(total.wait.counts) == 3
    assert total.wait.total == 0.02 * 2 + 5.0
    assert total.upstream.total == 2 * (0.02 * 2 + 5.0)


def test_its_size_changes_with_whatever_is_counted():
    counted = tally(200)
    seen = {size(counted)}
    for count in (
        lambda: counted.count(404),
        lambda: counted.refuse(Reason.QUEUE_FULL),
        lambda: counted.wait.add(0.0),
        lambda: counted.upstream.add(9.0),
        lambda: counted.retry(next(iter(Loss))),
        lambda: counted.deny(next(iter(Denied))),
        lambda: setattr(counted, "put_out", 1),
    ):
        count()
        assert size(counted) not in seen
        seen.add(size(counted))


def test_none_is_a_tally_of_nothing():
    assert figures(added_up([])) == figures(Tally())


def test_figures_are_the_same_at_the_other_end():
    codec = Codec(Figures)
    sent = figures(tally(200, 404))
    assert codec.read(Figures, codec.encode(sent)) == sent

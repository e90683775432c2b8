"""Two ebbtides over one Deployment: the mark of the other one is honoured, and left alone."""

import pytest

from fleet.cluster.kubernetes.drainmark import DRAINING, write_mark
from fleet.cluster.kubernetes.objects import Kind, Objects, trim
from fleet.cluster.kubernetes.othermarks import LASTING
from fleet.cluster.kubernetes.snapshot import Reader, read_fleet
from fleet.kubernetes.objects import key_of
from fleet.model import Drain, Revision
from tests.core.test_kube_snapshot import DEMO
from tests.fakes.kubeobjects import deployment

PODS = frozenset({"default/demo-1"})


class One:
    """What a process of the ebbtide `own` reads of the Deployment, mark by mark."""

    def __init__(self) -> None:
        self.reader = Reader(offset=lambda: 0.0, owner="own")

    def sees(self, now: float, owner: str | None, *, number: int = 3, term: int = 7) -> Revision:
        demo = deployment()
        if owner is not None:
            text = write_mark(number, ["demo-1"], term=term, owner=owner)
            demo["metadata"]["annotations"][DRAINING] = text
        kept = trim(Kind.DEPLOYMENT, demo)
        assert kept is not None
        self.reader.take(Kind.DEPLOYMENT, {key_of(kept): kept}, now=now)
        return self.at(now)

    def at(self, now: float) -> Revision:
        return self.reader.read(now=now).revisions[DEMO]


@pytest.mark.parametrize("owner", ["own", ""])
def test_a_mark_of_ones_own_is_no_second_writer(owner: str) -> None:
    found = One().sees(0.0, owner)
    assert found.drain == Drain(number=3, replicas=PODS, term=7)
    assert found.second_writer == ""


def test_a_mark_of_another_ebbtide_is_honoured_and_nobody_scales() -> None:
    one = One()
    found = one.sees(0.0, "other")
    assert found.drain == Drain(number=3, replicas=PODS, foreign=True)
    assert "of the namespace other" in found.second_writer
    assert one.reader.due == LASTING


def test_ebbtide_doctor_sees_it_too() -> None:
    demo = deployment()
    demo["metadata"]["annotations"][DRAINING] = write_mark(3, ["demo-1"], term=7, owner="other")
    for owner, expected in (("own", True), ("other", False)):
        found = read_fleet(Objects(deployments=[demo]), now=1e9, owner=owner).revisions[DEMO]
        assert bool(found.second_writer) is expected


def test_for_a_while_after_it_went_so_that_the_two_do_not_take_turns() -> None:
    one = One()
    one.sees(0.0, "other")
    found = one.sees(100.0, None)
    assert found.drain is None
    assert "other" in found.second_writer
    assert one.at(100.0 + LASTING - 1).second_writer
    assert one.at(100.0 + LASTING).second_writer == ""


def test_being_read_again_is_no_change() -> None:
    one = One()
    one.sees(0.0, "other")
    assert one.sees(LASTING - 1, "other").second_writer
    assert one.at(LASTING).second_writer == ""


def test_each_change_of_it_counts_anew() -> None:
    one = One()
    one.sees(0.0, "other")
    one.sees(LASTING - 1, "other", number=4)
    assert one.at(LASTING).second_writer
    assert one.at(2 * LASTING - 1).second_writer == ""


def test_what_an_ebbtide_left_that_is_no_more_is_taken_over_in_the_end() -> None:
    """As if it was of a former leader, also where terms happen to be the same."""
    one = One()
    one.sees(0.0, "other", term=7)
    found = one.at(LASTING)
    assert found.drain == Drain(number=3, replicas=PODS, term=0)
    assert found.second_writer == ""
    # Ours in its place, and then none: that was us.
    assert one.sees(LASTING + 1, "own", number=9).second_writer == ""
    assert one.sees(LASTING + 2, None).second_writer == ""


def test_one_that_no_longer_counts_may_be_cleared_at_once() -> None:
    one = One()
    one.sees(0.0, "other")
    assert one.at(LASTING).drain is not None
    assert one.sees(LASTING + 1, None).second_writer == ""


def test_the_next_deployment_of_that_name_has_nothing_to_do_with_it() -> None:
    one = One()
    one.sees(0.0, "other")
    one.reader.take(Kind.DEPLOYMENT, {}, now=1.0)
    assert one.sees(2.0, None).second_writer == ""

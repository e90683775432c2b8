"""When starting a revision is given up for a while."""

from dataclasses import replace

import pytest

from fleet.model import Phase, Policy, Replica
from fleet.names import ReplicaName
from fleet.reasons import Reason
from fleet.starts import LONGEST_SPARING, Starts
from tests.fakes.cluster import revision


def failed(name: str, **changes) -> Replica:
    return replace(
        Replica(
            name=ReplicaName(name),
            phase=Phase.FAILED,
            since=0.0,
            template="t1",
            reason=Reason.EXITED,
            message="boom",
            log=("line",),
        ),
        **changes,
    )


def observe(starts: Starts, *replicas: Replica, now: float, ready=(), **changes) -> bool:
    policy = Policy(start_timeout=100.0, slots=changes.pop("slots", 4))
    return starts.observe(
        revision(policy=policy, **changes), replicas, ready=frozenset(ready), now=now
    )


@pytest.fixture
def starts() -> Starts:
    return Starts(tries=3, retry=60.0)


def block(starts: Starts) -> None:
    for number in range(3):
        observe(starts, failed(f"r{number}"), now=float(number))


def test_three_in_a_row_block_for_a_minute(starts):
    assert not observe(starts, failed("a"), now=1.0)
    assert not observe(starts, failed("b"), now=2.0)
    assert not starts.blocked(2.0)
    assert observe(starts, failed("c"), now=3.0)
    assert starts.blocked(62.9)
    assert not starts.blocked(63.0)
    assert starts.last.message == "boom"
    assert starts.last.log == ("line",)


def test_one_failed_replica_counts_once_however_often_it_is_seen(starts):
    for now in range(10):
        assert not observe(starts, failed("a"), now=float(now))
    assert starts.row == 1


def test_a_replica_that_was_ready_and_broke_is_no_failed_start(starts):
    for number in range(5):
        name = f"r{number}"
        observe(starts, failed(name, phase=Phase.LOADING), now=1.0, ready=(name,))
        observe(starts, failed(name), now=2.0)
    assert starts.row == 0


def test_getting_ready_clears_the_count_but_keeps_the_last_failure(starts):
    observe(starts, failed("a"), now=1.0)
    observe(starts, failed("b", phase=Phase.LOADING), now=2.0, ready=("b",))
    assert starts.row == 0
    assert starts.last.replica == "a"


def test_another_template_clears_everything_and_old_replicas_do_not_count(starts):
    block(starts)
    assert not observe(starts, failed("r3"), now=4.0, template="t2")
    assert starts.row == 0
    assert not starts.blocked(4.0)


def test_any_other_change_of_the_manifest_clears_the_count_too(starts):
    block(starts)
    assert not observe(starts, failed("r2"), now=4.0, slots=5)
    assert not starts.blocked(4.0)
    assert not observe(starts, failed("r3"), now=5.0, slots=5)
    assert starts.row == 1


def test_after_the_block_one_failed_start_blocks_again(starts):
    block(starts)
    assert not starts.blocked(100.0)
    assert observe(starts, failed("again"), now=100.0)
    assert starts.blocked(159.0)


def test_each_time_it_is_given_up_others_are_spared_for_twice_as_long(starts):
    assert not starts.spares(0.0)
    observe(starts, failed("r0"), now=0.0)
    assert not starts.spares(0.0), "tried again at once, where it is"
    block(starts)
    at = starts.last.at
    for number, pause in enumerate([120.0, 240.0, 480.0, 960.0, *[LONGEST_SPARING] * 30]):
        assert starts.spares(at + pause - 0.1)
        assert not starts.spares(at + pause)
        at += pause
        observe(starts, failed(f"again{number}"), now=at)
    observe(starts, failed("b", phase=Phase.LOADING), now=at, ready=("b",))
    assert not starts.spares(at), "it got ready"


def test_a_start_out_of_time_blocks_at_once(starts):
    slow = failed("slow", phase=Phase.LOADING, started=10.0, reason=Reason.STARTING)
    assert not observe(starts, slow, now=109.0)
    assert not starts.overdue(slow, start_timeout=100.0, now=109.0)
    assert starts.overdue(slow, start_timeout=100.0, now=110.0)
    assert observe(starts, slow, now=110.0)
    assert starts.last.reason is Reason.START_TIMEOUT


def test_a_ready_replica_is_never_overdue(starts):
    old = failed("old", phase=Phase.LOADING, started=0.0)
    observe(starts, old, now=1.0, ready=("old",))
    assert not observe(starts, old, now=1000.0)
    assert not starts.overdue(old, start_timeout=100.0, now=1000.0)


@pytest.mark.parametrize(
    "reason",
    [
        Reason.CREATE_CONTAINER_CONFIG_ERROR,
        Reason.INVALID_IMAGE_NAME,
        Reason.ERR_IMAGE_NEVER_PULL,
        Reason.FAILED_CREATE,
    ],
)
def test_what_no_further_try_mends_blocks_at_once(starts, reason):
    assert observe(starts, failed("a", reason=reason), now=1.0)
    assert starts.blocked(60.9)
    assert starts.last.reason is reason


def test_an_image_that_cannot_be_pulled_is_a_start_that_lasts(starts):
    """Until the start's time is up: then the cluster's own words are the cause."""
    pulling = failed(
        "a",
        phase=Phase.LOADING,
        started=0.0,
        reason=Reason.IMAGE_PULL_BACK_OFF,
        message="Back-off pulling image",
    )
    assert not observe(starts, pulling, now=99.0)
    assert observe(starts, pulling, now=100.0)
    assert starts.last.reason is Reason.START_TIMEOUT
    assert starts.last.message == "not ready 100 s after it had its GPU: Back-off pulling image"


def test_who_begins_to_look_gives_old_replicas_a_moment_to_say_that_they_are_ready():
    starts = Starts(tries=3, retry=60.0, since=1000.0)
    old = failed("old", phase=Phase.LOADING, started=10.0)
    assert not observe(starts, old, now=1000.0)
    assert not observe(starts, old, now=1009.9)
    assert observe(starts, old, now=1010.0)
    new = failed("new", phase=Phase.LOADING, started=1000.0)
    assert not starts.overdue(new, start_timeout=5.0, now=1004.0)
    assert starts.overdue(new, start_timeout=5.0, now=1005.0)

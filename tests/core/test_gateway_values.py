"""Tallies, copies, and the bytes of an answer's head."""

import pytest

from fleet.reasons import Reason
from gateway.core.answers import status_line, timing_line
from gateway.core.copies import Copies, Copy, Copying
from gateway.core.limits import COPY_BYTES, connections_within
from gateway.core.tally import Buckets, Tally
from tests.fakes.cluster import revision


def test_a_duration_falls_into_one_bucket_bounds_included():
    buckets = Buckets((1.0, 2.0))
    for seconds in (0.0, 1.0, 1.1, 2.0, 2.1, 900.0):
        buckets.add(seconds)
    assert buckets.counts == [2, 2, 2]
    assert buckets.total == pytest.approx(906.2)


def test_the_bounds_reach_fifteen_minutes():
    assert Buckets().bounds[-1] == 900.0


def test_a_tally_counts():
    tally = Tally()
    tally.count(200)
    tally.count(200)
    tally.refuse(Reason.QUEUE_FULL)
    assert tally.codes == {200: 2}
    assert tally.refused == {Reason.QUEUE_FULL: 1}


def test_timing_is_told_in_milliseconds():
    assert timing_line(1.5, 0.0123) == b"Server-Timing: wait;dur=1500.0, upstream;dur=12.3"
    assert timing_line(0, 0, 2.0).endswith(b", cold;dur=2000.0")


def test_a_status_line_ends_in_its_phrase_or_a_space():
    assert status_line(404) == b"HTTP/1.1 404 Not Found"
    assert status_line(299) == b"HTTP/1.1 299 "


def test_a_copy_belongs_to_a_pod_template():
    copies = Copies()
    made = Copy(media=b"a/b", body=b"x")
    copies.remember(revision(), b"GET /x", made)
    assert copies.find(revision(), b"GET /x") is made
    assert copies.find(revision(), b"GET /y") is None
    assert copies.find(revision(template="t2"), b"GET /x") is None
    assert copies.find(revision("other"), b"GET /x") is None


def test_copies_are_bounded_and_the_one_unused_longest_goes_first():
    copies = Copies(limit=40)
    for name in (b"a", b"b", b"c"):
        copies.remember(revision(), name, Copy(media=b"", body=b"x" * 12))
    assert copies.size == 39
    copies.remember(revision(), b"a", Copy(media=b"", body=b"y" * 12))
    copies.find(revision(), b"b")
    copies.remember(revision(), b"d", Copy(media=b"", body=b"x" * 12))
    assert copies.find(revision(), b"c") is None
    assert copies.find(revision(), b"b") is not None
    assert copies.size == 39


def test_an_answer_too_large_is_not_copied():
    small, large = Copying(b"a/b"), Copying(b"a/b")
    small.add(b"x")
    small.add(b"y")
    assert small.copy == Copy(media=b"a/b", body=b"xy")
    large.add(b"x" * COPY_BYTES)
    large.add(b"y")
    assert large.copy is None


@pytest.mark.parametrize(
    ("files", "connections"), [(8, 2), (256, 64), (1024, 640), (4096, 3431), (20_000, 17_744)]
)
def test_files_are_spared_from_connections(files, connections):
    assert connections_within(files) == connections

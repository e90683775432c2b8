"""Every cell of the table of phases and events, and the way between two looks."""

import pytest

from autoscaler.core.lifecycle import TABLE, Event, IllegalMoveError, move, path
from fleet.model import Phase

P = Phase
# A row for each phase, a column for each event in the order of `Event`; . is an illegal move.
EXPECTED = """
          wanted placed answered marked taken_back failed stopped gone
asleep    PENDING .      .        .      .          .      .       .
pending   .      LOADING .        .      .          FAILED .       ASLEEP
loading   .      .      READY    DRAINING .         FAILED DRAINING .
ready     .      .      .        DRAINING .         FAILED DRAINING .
draining  .      .      .        .      READY       FAILED .       ASLEEP
failed    .      .      .        .      .           .      .       ASLEEP
"""
HEAD, *ROWS = (line.split() for line in EXPECTED.strip().splitlines())
CELLS = [
    (Phase(row[0]), Event(event), cell)
    for row in ROWS
    for event, cell in zip(HEAD, row[1:], strict=True)
]


def test_the_expectation_has_every_cell():
    assert len(CELLS) == len(Phase) * len(Event)


@pytest.mark.parametrize(("phase", "event", "cell"), CELLS)
def test_every_cell(phase, event, cell):
    if cell == ".":
        assert (phase, event) not in TABLE
        with pytest.raises(IllegalMoveError, match=f"{event.value} in phase {phase.value}"):
            move(phase, event)
    else:
        assert move(phase, event) is Phase[cell]


@pytest.mark.parametrize("before", Phase)
@pytest.mark.parametrize("after", Phase)
def test_a_path_leads_where_it_says_without_the_replica_going_in_between(before, after):
    try:
        events = path(before, after)
    except IllegalMoveError:
        return
    phase = before
    for number, event in enumerate(events):
        assert number == 0 or phase is not Phase.ASLEEP
        phase = move(phase, event)
    assert phase is after


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        (P.ASLEEP, P.READY, ("wanted", "placed", "answered")),
        (P.READY, P.ASLEEP, ("marked", "gone")),
        (P.LOADING, P.ASLEEP, ("stopped", "gone")),
        (P.DRAINING, P.READY, ("taken_back",)),
        (P.READY, P.READY, ()),
    ],
)
def test_what_happened_between_two_looks(before, after, events):
    assert tuple(event.value for event in path(before, after)) == events


@pytest.mark.parametrize(
    ("before", "after"),
    [(P.FAILED, P.LOADING), (P.READY, P.LOADING), (P.READY, P.PENDING), (P.FAILED, P.READY)],
)
def test_nothing_comes_back_under_its_old_name(before, after):
    with pytest.raises(IllegalMoveError):
        path(before, after)

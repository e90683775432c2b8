"""With whom a process of a cluster is in touch, as it is told."""

from dataclasses import dataclass

import pytest

from ebbtide.kubernetes.touches import BusTouch
from fleet.messages import Look, Looked


@dataclass
class At:
    """A clock that stands, and a bus that heard of a look, or of none."""

    time: float = 100.0
    heard: Looked | None = None

    def now(self) -> float:
        return self.time

    def last_look(self) -> Looked | None:
        return self.heard


@pytest.mark.parametrize(("tick", "patience"), [(2.0, 10.0), (60.0, 180.0)])
def test_a_leader_is_away_once_it_has_told_of_no_look_for_some_ticks(
    tick: float, patience: float
) -> None:
    at = At()
    touch = BusTouch(at, at, tick=tick)
    at.time += patience - 1
    assert touch.unled_since is None, "it may be about to"
    at.time += 1
    assert touch.unled_since == 100.0
    at.heard = Looked(look=Look(term=1, number=1), at=at.time)
    assert touch.unled_since is None
    at.time += patience
    assert touch.unled_since == 100.0 + patience

"""When a replica that fails while others are fine takes nothing for a while, and how long. Pure.

Rule 1: five failures in a row put a seat out: answers of 500 and above, answers that break or never
        end, connections that cannot be made. One good answer clears them all.
Rule 2: only beside another open seat whose last answer was good, and while no more than half of the
        seats are out: what fails everywhere is the model's fault, and the last one stays.
Rule 3: out for 1 s, then twice as long each time, up to a minute; then its model must answer. Back,
        it has one failure left. When it has been back for as long again as it was out, it begins
        anew.
"""

from collections.abc import Collection

from activator.core.seats import Seat

__all__ = ["MOST_FAILURES", "come_back", "is_outlier", "put_out"]

MOST_FAILURES = 5
_FIRST_S = 1.0
_LONGEST_S = 60.0


def is_outlier(seat: Seat, seats: Collection[Seat]) -> bool:
    """Whether `seat`, one of `seats`, is to take nothing for a while."""
    if seat.failures < MOST_FAILURES or not seat.open:
        return False
    others = [other for other in seats if other is not seat]
    out = sum(other.doubtful for other in others)
    fine = any(other.open and other.proved and not other.failures for other in others)
    return fine and 2 * (out + 1) <= len(seats)


def put_out(seat: Seat, now: float) -> None:
    """It takes nothing from now on, until `seat.out_until` at least."""
    if now - seat.back_at >= _out_s(seat.ejections):
        seat.ejections = 0
    seat.ejections += 1
    seat.turn(doubtful=True)
    seat.out_until = now + _out_s(seat.ejections)


def come_back(seat: Seat, now: float) -> None:
    """Its time is over and its model answers."""
    seat.turn(doubtful=False)
    seat.back_at = now
    seat.failures = min(seat.failures, MOST_FAILURES - 1)


def _out_s(ejections: int) -> float:
    return min(_LONGEST_S, _FIRST_S * 2.0 ** min(ejections - 1, 16))

"""On which seat a request runs. Pure: seats and dice in, a seat out.

Rule 1: a request that any seat has room for does not wait, whatever it would like best.
Rule 2: the seat with the fewest running, the eldest of equals; beyond 16 seats the better of two
        drawn at random (Mitzenmacher), and of all of them only when both are full.
Rule 3: a request with a key goes to the seat that its key ranks first (rendezvous hashing: each
        seat that comes or goes moves only its own keys), unless that seat has more than 1.25 times
        its share of what runs; then to the next in the key's own order (consistent hashing with
        bounded loads, Mirrokni, Thorup and Zadimoghaddam 2016). Every gateway ranks alike.
Rule 4: a seat that has just got ready counts for less than one, for as long as slow start lasts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from activator.core.seats import Seat

__all__ = ["LEAST_SHARE", "MANY", "Choosing", "Dice", "choose", "rank", "roomiest", "share"]

MANY = 16
_LOAD_FACTOR = 1.25
LEAST_SHARE = 0.1
_MASK = 2**64 - 1

Dice = Callable[[int], int]
"""A whole number from 0 to below the given one, each as likely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choosing:
    """How the seats of one revision are chosen among."""

    dice: Dice
    slow_start: float = 0.0
    """Seconds until a new seat has its full share; 0 is at once."""


def rank(key: int, seat: Seat) -> int:
    """How much `key` would like this seat: the highest comes first."""
    mixed = (key ^ seat.salt) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ mixed >> 31) * 0x94D049BB133111EB & _MASK
    return mixed ^ mixed >> 32


def share(seat: Seat, now: float, slow_start: float) -> float:
    """How much of a seat it counts for: from a tenth, when it got ready, to 1."""
    age = now - seat.ready_at
    return 1.0 if age >= slow_start else max(LEAST_SHARE, age / slow_start)


def roomiest(seats: Iterable[Seat]) -> Seat | None:
    """The seat with room that has the fewest running; the eldest of equals."""
    best = None
    least = 0
    for seat in seats:
        running = len(seat.running)
        if seat.open and running < seat.limit and (best is None or running < least):
            best, least = seat, running
    return best


def choose(
    seats: Sequence[Seat], how: Choosing, *, key: int | None = None, now: float = 0.0
) -> Seat | None:
    """The seat for a request that would begin at `now`; None when none has room."""
    if key is not None:
        return _nearest(seats, how, key=key, now=now)
    count = len(seats)
    if count > MANY:
        first = how.dice(count)
        second = how.dice(count - 1)
        pair = (seats[first], seats[second + (second >= first)])
        found = _lightest(pair, how, now)
        if found is not None:
            return found
    return _lightest(seats, how, now)


def _has_room(seat: Seat) -> bool:
    return seat.open and len(seat.running) < seat.limit


def _lightest(seats: Sequence[Seat], how: Choosing, now: float) -> Seat | None:
    if not how.slow_start:
        return roomiest(seats)

    def load(seat: Seat) -> float:
        return (len(seat.running) + 1) / share(seat, now, how.slow_start)

    return min(filter(_has_room, seats), key=load, default=None)


def _nearest(seats: Sequence[Seat], how: Choosing, *, key: int, now: float) -> Seat | None:
    free = [seat for seat in seats if _has_room(seat)]
    if len(free) < 2:
        return free[0] if free else None
    opened = [seat for seat in seats if seat.open]
    fair = _LOAD_FACTOR * (sum(len(seat.running) for seat in opened) + 1) / len(opened)
    within = [
        seat for seat in free if len(seat.running) < ceil(fair * share(seat, now, how.slow_start))
    ]
    return max(within or free, key=lambda seat: rank(key, seat))

"""May a request be sent again whose replica gave no answer, and why not. Pure.

Rule 1: `connect` sends again only what cannot have run (or, on a connection that had been closed
        while idle, what may run twice by its method: RFC 9110, 9.2.2), `replica` also what a
        replica broke on; a step of a sequence is never sent again, whatever the policy says.
Rule 2: what is sent again is what was kept of it, byte for byte, or nothing.
Rule 3: a request is sent at most four times, and not again once it was present at two crashes.
Rule 4: of a model's requests in the last minute at most a tenth are sent again, or as many as one
        replica has slots if that is more: retries cannot feed an outage. What never was sent, for
        no connection was to be had, is not sent *again*; what broke on a stale connection and on a
        fresh one to the same replica counts once, so that all that ran on one replica may go on.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from fleet.model import Retry

__all__ = ["MOST_CRASHES", "MOST_SENDS", "Attempt", "Budget", "Denied", "Loss", "denied"]

MOST_SENDS = 4
MOST_CRASHES = 2


class Loss(Enum):
    """How a dispatch came to nothing."""

    REFUSED = "refused"
    """No connection was to be had: not a byte was sent."""
    STALE = "stale"
    """An idle connection turned out to be closed; the replica is tried on a fresh one."""
    RESET = "reset"
    """The connection broke before a byte of an answer."""
    DRAINING = "draining"
    """503 from a replica that takes nothing new."""


class Denied(Enum):
    """Why a request is not sent again."""

    POLICY = "policy"
    SEQUENCE = "sequence"
    NOT_KEPT = "not_kept"
    SENDS = "sends"
    CRASHES = "crashes"
    BUDGET = "budget"
    LATE = "late"
    """Its time to wait is up."""
    HOPELESS = "hopeless"
    """Nobody will serve it: the model is removed, or cannot be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One dispatch that came to nothing."""

    loss: Loss
    policy: Retry
    """What the model allows; not AUTO, which is resolved when the policy is read."""
    kept: bool
    """All that was received of it is still there."""
    sends: int
    """How often it has been sent, this time included."""
    repeatable: bool = False
    """By its method it may run twice."""


def denied(attempt: Attempt, *, crashes: int = 0, sequence: object = False) -> Denied | None:
    """Why a request may not be sent again, as far as it alone tells; None: it may.

    `crashes`: at how many it was present, this one included; `sequence`: it is a step of one.
    """
    harmless = attempt.loss is Loss.REFUSED or (attempt.repeatable and attempt.loss is Loss.STALE)
    if sequence:
        return Denied.SEQUENCE
    if attempt.policy is Retry.NEVER or (attempt.policy is Retry.CONNECT and not harmless):
        return Denied.POLICY
    if not attempt.kept:
        return Denied.NOT_KEPT
    if crashes >= MOST_CRASHES:
        return Denied.CRASHES
    return Denied.SENDS if attempt.sends >= MOST_SENDS else None


class Budget:
    """How many of one model's requests may be sent again now.

    Requests are not counted one by one: `note` takes over the counter of arrivals about once a
    second, so that the path of a request that needs no second try knows nothing of this.
    """

    __slots__ = ("_arrivals", "_spent")

    WINDOW_S = 60.0
    SHARE = 0.1
    _STEP_S = 1.0

    def __init__(self) -> None:
        self._arrivals: deque[tuple[float, int]] = deque()
        """(when, arrivals until then); the first is the newest that is a window old."""
        self._spent: deque[float] = deque()

    @property
    def spent(self) -> int:
        """How many were sent again in the last window, as of the last `take`."""
        return len(self._spent)

    def note(self, now: float, arrivals: int) -> None:
        """`arrivals` requests have come so far."""
        noted = self._arrivals
        if not noted or now - noted[-1][0] >= self._STEP_S:
            if noted and noted[-1][1] == arrivals:
                # Nobody came since: it says what the new one says.
                noted.pop()
            noted.append((now, arrivals))
        while len(noted) > 1 and noted[1][0] <= now - self.WINDOW_S:
            noted.popleft()

    def take(self, now: float, arrivals: int, *, least: int) -> bool:
        """Whether one more may be sent again; if so, it is counted.

        `arrivals`: how many requests have come so far; `least`: the slots of one replica.
        """
        self.note(now, arrivals)
        spent = self._spent
        while spent and spent[0] <= now - self.WINDOW_S:
            spent.popleft()
        if len(spent) >= max(least, int(self.SHARE * (arrivals - self._before(now)))):
            return False
        spent.append(now)
        return True

    def _before(self, now: float) -> int:
        """Arrivals that are older than the window: rather too many than too few."""
        since = now - self.WINDOW_S
        return next(count for at, count in self._arrivals if at >= since)

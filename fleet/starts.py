"""When starting a revision is given up for a while. Pure.

Every process draws the same conclusion from the same snapshots, so nothing has to be told around:
the activator refuses those who wait, the autoscaler takes the GPU back.

Rule 1: a replica that failed, or ran out of its start time, without ever having been ready, is one
        failed start. `tries` of them in a row block the revision for `retry` seconds.
Rule 2: after that one start is tried; it alone decides whether the revision is blocked again.
Rule 3: a replica that gets ready, or a changed manifest, clears the count.
Rule 4: what no further try mends by itself blocks at once: a start that ran out of its time, and
        what a cluster refuses until somebody changes something. What a cluster goes on trying by
        itself (an image that cannot be pulled) is no failure before the start's time is up.
Rule 5: who begins to look meets replicas that have long been ready without knowing it: these have
        a moment (`ACQUAINTED`) to say so.
Rule 6: once given up, no other model's GPU is taken for it, each time for twice as long as before:
        one that can never start would put the others to sleep again and again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from fleet.model import Phase, Replica, Revision
from fleet.names import ReplicaName
from fleet.reasons import Reason

__all__ = ["ACQUAINTED", "LONGEST_SPARING", "Failure", "Starts"]

ACQUAINTED = 10.0
"""Seconds for replicas that were started before somebody looked."""
LONGEST_SPARING = 1800.0
"""Seconds for which others are spared at most."""

_AT_ONCE = frozenset(
    {
        Reason.START_TIMEOUT,
        Reason.CREATE_CONTAINER_CONFIG_ERROR,
        Reason.INVALID_IMAGE_NAME,
        Reason.ERR_IMAGE_NEVER_PULL,
        Reason.FAILED_CREATE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The last failed start: why, in the runtime's words, with its last log lines, and when."""

    replica: ReplicaName
    reason: Reason
    message: str
    log: tuple[str, ...]
    at: float


class Starts:
    """The failed starts of one revision."""

    __slots__ = (
        "_counted",
        "_edition",
        "_row",
        "_since",
        "_was_ready",
        "blocked_until",
        "last",
        "retry",
        "tries",
    )

    def __init__(self, *, tries: int, retry: float, since: float = -inf) -> None:
        """`since`: when its keeper began to look."""
        self._since = since
        self.tries = tries
        self.retry = retry
        self.blocked_until: float | None = None
        """Until when new callers are refused at once; None while starts are tried."""
        self.last: Failure | None = None
        self._row = 0
        self._edition: tuple[object, ...] | None = None
        self._counted: set[ReplicaName] = set()
        self._was_ready: set[ReplicaName] = set()

    @property
    def row(self) -> int:
        """Failed starts in a row."""
        return self._row

    def blocked(self, now: float) -> bool:
        """Whether a start is out of the question now."""
        return self.blocked_until is not None and now < self.blocked_until

    def spares(self, now: float) -> bool:
        """Whether no other model is to give its GPU for a start now."""
        given_up = self._row - self.tries + 1
        if self.last is None or given_up < 1:
            return False
        pause = self.retry * 2.0 ** min(given_up, 16)
        return now < self.last.at + min(pause, max(LONGEST_SPARING, self.retry))

    def overdue(self, replica: Replica, *, start_timeout: float, now: float) -> bool:
        """Whether `replica` has had its GPU for longer than a start may take."""
        started = replica.started
        if replica.phase is not Phase.LOADING or replica.name in self._was_ready or started is None:
            return False
        just_met = started < self._since and now - self._since < ACQUAINTED
        return now - started >= start_timeout and not just_met

    def observe(
        self,
        revision: Revision,
        replicas: Iterable[Replica],
        *,
        ready: frozenset[ReplicaName],
        now: float,
    ) -> bool:
        """Take in a snapshot; True when it has just blocked the revision."""
        if revision.edition != self._edition:
            self._edition = revision.edition
            self._clear()
        start_timeout = revision.policy.start_timeout
        newly_blocked = False
        present: set[ReplicaName] = set()
        for replica in replicas:
            present.add(replica.name)
            if replica.template != revision.template:
                continue
            if replica.name in ready and replica.name not in self._was_ready:
                self._was_ready.add(replica.name)
                self._clear()
            elif replica.name not in self._was_ready:
                failure = self._failure(replica, start_timeout=start_timeout, now=now)
                if failure is not None:
                    newly_blocked |= self._count(failure)
        self._counted &= present
        self._was_ready &= present
        return newly_blocked

    def _failure(self, replica: Replica, *, start_timeout: float, now: float) -> Failure | None:
        if replica.name in self._counted:
            return None
        if replica.phase is Phase.FAILED:
            reason = replica.reason or Reason.EXITED
            message = replica.message
        elif self.overdue(replica, start_timeout=start_timeout, now=now):
            reason = Reason.START_TIMEOUT
            message = f"not ready {start_timeout:g} s after it had its GPU"
            if replica.message:
                message = f"{message}: {replica.message}"
        else:
            return None
        return Failure(
            replica=replica.name, reason=reason, message=message, log=replica.log, at=now
        )

    def _count(self, failure: Failure) -> bool:
        self._counted.add(failure.replica)
        self.last = failure
        self._row += 1
        if self._row < self.tries and failure.reason not in _AT_ONCE:
            return False
        self._row = max(self._row, self.tries)
        self.blocked_until = failure.at + self.retry
        return True

    def _clear(self) -> None:
        self._row = 0
        self.blocked_until = None

"""What one model's requests came to: counts by status and reason, and times. Pure.

Written by the request path, read by metrics; everything only grows.
"""

from bisect import bisect_left

from activator.core.retries import Denied, Loss
from fleet.reasons import Reason

__all__ = ["BOUNDS", "Buckets", "Tally"]

BOUNDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0),
)
"""Upper bounds in seconds, inclusive; one more bucket holds what is longer."""


class Buckets:
    """A histogram of seconds. `counts[i]` is what fell at or below `bounds[i]` alone."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Take in one duration."""
        if not seconds:
            self.counts[0] += 1
            return
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class Tally:
    """The requests of one model, or of no model at all."""

    __slots__ = ("codes", "denied", "put_out", "refused", "retried", "upstream", "wait")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        """Answers begun, by status; ours and the model server's."""
        self.refused: dict[Reason, int] = {}
        """Requests that we ended, by why; `client_left` are those that got no whole answer."""
        self.retried: dict[Loss, int] = {}
        """Requests sent again, by how the dispatch before came to nothing."""
        self.denied: dict[Denied, int] = {}
        """Requests whose replica gave no answer and that were not sent again, by why."""
        self.put_out = 0
        """How often a replica was made to take nothing for a while, for its failures."""
        self.wait = Buckets()
        """Arrival to dispatch."""
        self.upstream = Buckets()
        """Dispatch to the head of the answer."""

    def count(self, status: int) -> None:
        """An answer with `status` begins."""
        try:
            self.codes[status] += 1
        except KeyError:
            self.codes[status] = 1

    def refuse(self, reason: Reason) -> None:
        """A request ended for `reason`."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def retry(self, loss: Loss) -> None:
        """A request is sent again."""
        self.retried[loss] = self.retried.get(loss, 0) + 1

    def deny(self, why: Denied) -> None:
        """A request is not sent again."""
        self.denied[why] = self.denied.get(why, 0) + 1

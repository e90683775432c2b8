"""One replica on trial, when requests queue although the GPU is idle. Pure.

More GPUs do not help a model that is held up elsewhere (batching, the instance count,
pre-processing on the CPU), but a CPU-bound backend does scale. So one is tried.

Rule 1: it stays if completions rise by 30 % within a stable window of its getting ready.
Rule 2: else it is taken back, and none is tried again for that revision within an hour.
"""

from dataclasses import dataclass, replace

__all__ = ["Trial"]

_RISE = 1.3
_BARRED = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """No trial, one that runs, or one that failed."""

    base: int | None = None
    """Replicas without the one on trial; None while nothing is tried."""
    before: float = 0.0
    """Completions per second when it began."""
    ready_at: float | None = None
    """When all of them were first seen ready."""
    failed: bool = False
    """It did not help: it goes back as soon as it may."""
    barred_until: float | None = None

    @property
    def running(self) -> bool:
        """Whether a replica is on trial."""
        return self.base is not None and not self.failed

    def may_start(self, now: float) -> bool:
        """Whether one may be tried now."""
        return self.base is None and (self.barred_until is None or now >= self.barred_until)

    def start(self, *, base: int, completions: float) -> "Trial":
        """Begin with `base` replicas that complete `completions` requests per second."""
        return replace(self, base=base, before=completions, ready_at=None, failed=False)

    def step(
        self, *, replicas: int, ready: int, completions: float | None, now: float, window: float
    ) -> "Trial":
        """With what there is now; `completions` per second since it got ready, None if unknown."""
        if self.base is None:
            return self
        if replicas <= self.base:
            # No GPU was free for it, it was evicted, or it has been taken back.
            return replace(self, base=None, failed=False)
        if self.failed or ready <= self.base:
            return self
        if self.ready_at is None:
            return replace(self, ready_at=now)
        if completions is not None and completions >= _RISE * self.before and completions > 0:
            return replace(self, base=None)
        if now - self.ready_at >= window:
            return replace(self, failed=True, barred_until=now + _BARRED)
        return self

"""The Cluster port: what runs models, as the rest of ebbtide sees it.

Adapters: `fleet.cluster.local` (processes on this machine); `fleet.cluster.kubernetes`;
`fleet.cluster.far` (one that another process of this machine holds); a scripted fake lives in
`tests/fakes/cluster.py`. One contract test class holds for all of them
(`tests/contract/test_cluster.py`).

Rule 1: `fleet()` is an immutable snapshot and costs nothing; listeners are called on the event
        loop, with the new snapshot, before the write that caused it returns. That snapshot has what
        was written; which replicas come of it Kubernetes' controllers show a moment later.
Rule 2: every write carries the `Revision.version` it was decided on and raises `ConflictError`
        when the revision has moved on since; nothing is ever forced.
Rule 3: when `scale` lowers the count, replicas named in the revision's drain go first; then those
        that are not open yet; then the youngest (Kubernetes chooses by itself where no drain names
        them). In Kubernetes the drained have the lowest deletion cost before `mark` returns, and
        only they; but who is not `Replica.available` goes before them, and any may go while the
        revision is not `Revision.settled`.
Rule 4: when a GPU is free, the eldest PENDING replica gets it.
"""

from collections.abc import Callable
from typing import Protocol

from fleet.model import Drain, Fleet
from fleet.names import RevisionName
from fleet.reasons import Reason

__all__ = ["Cluster"]


class Cluster(Protocol):
    """Reads the fleet and writes its scale."""

    def fleet(self) -> Fleet:
        """The newest snapshot."""
        ...

    def subscribe(self, listener: Callable[[Fleet], None]) -> Callable[[], None]:
        """Call `listener` with every new snapshot from now on; returns what ends that."""
        ...

    async def scale(
        self, revision: RevisionName, replicas: int, *, expect: str, reason: Reason
    ) -> str:
        """Set the wanted replicas; returns the new version.

        Raises `ConflictError`, `GoneError` or `UnavailableError`.
        """
        ...

    async def mark(self, revision: RevisionName, drain: Drain | None, *, expect: str) -> str:
        """Set or clear who takes nothing new; returns the new version. Raises as `scale`."""
        ...

    async def note(self, revision: RevisionName, reason: str, message: str) -> None:
        """Tell the cluster's own users (a Kubernetes Event; locally the log). Never raises."""
        ...

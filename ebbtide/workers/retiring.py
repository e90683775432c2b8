"""How many requests run on a replica that takes nothing new, over all workers.

Rule: a worker that has not seen yet that it takes nothing new may still send there, so it counts as
      one that does.
"""

from collections.abc import Iterable, Mapping

from fleet.model import Fleet, Phase
from fleet.names import ReplicaName

__all__ = ["Retired", "Seen"]


class Seen:
    """What one worker said last of replicas that take nothing new."""

    def __init__(self, number: int) -> None:
        self.number = number
        """The snapshot that it has taken in."""
        self.running: Mapping[ReplicaName, int] = {}


class Retired:
    """Since which snapshot each replica takes nothing new."""

    def __init__(self) -> None:
        self._since: dict[ReplicaName, int] = {}

    def observe(self, fleet: Fleet) -> None:
        """A new snapshot."""
        going = {
            replica.name
            for replicas in fleet.replicas.values()
            for replica in replicas
            if replica.phase is Phase.DRAINING
        }
        for gone in self._since.keys() - going:
            del self._since[gone]
        for name in going:
            self._since.setdefault(name, fleet.number)

    def running(self, replica: ReplicaName, workers: Iterable[Seen]) -> int:
        """Requests there, as far as is known; at least as many as there are."""
        since = self._since.get(replica)
        return sum(
            1 if since is None or worker.number < since else worker.running.get(replica, 0)
            for worker in workers
        )

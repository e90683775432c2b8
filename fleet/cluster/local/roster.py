"""Who is there: the replicas with what ebbtide keeps beside each, and the GPUs they hold."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fleet.cluster.local.attendant import Attendant
from fleet.model import Replica
from fleet.names import ReplicaName, RevisionName

__all__ = ["Record", "Roster"]


@dataclass(slots=True, kw_only=True)
class Record:
    """One replica: its value in the snapshot, and what runs it."""

    revision: RevisionName
    replica: Replica
    task: asyncio.Task[None] | None = None
    attendant: Attendant | None = None
    opened: float | None = None
    """When its address was found open; seconds of the clock."""
    intruded: str = ""
    """Who answered in its place, in words."""
    due: bool = False
    """It failed, and its back-off is over."""


class Roster:
    """All replicas, eldest first."""

    def __init__(self, gpu_ids: Sequence[str]) -> None:
        self._gpu_ids = tuple(gpu_ids)
        self._records: dict[ReplicaName, Record] = {}

    def __iter__(self) -> Iterator[Record]:
        return iter(tuple(self._records.values()))

    def add(self, record: Record) -> None:
        """Take one in as the youngest."""
        self._records[record.replica.name] = record

    def get(self, name: ReplicaName) -> Record | None:
        """The one of that name."""
        return self._records.get(name)

    def remove(self, name: ReplicaName) -> None:
        """Forget one; no error when it is not there."""
        self._records.pop(name, None)

    def free(self) -> tuple[str, ...]:
        """The GPUs that nobody holds."""
        held = {gpu for record in self for gpu in record.replica.gpu_ids}
        return tuple(gpu for gpu in self._gpu_ids if gpu not in held)

    def due(self) -> frozenset[ReplicaName]:
        """Those that failed and whose back-off is over."""
        return frozenset(name for name, record in self._records.items() if record.due)

    def replicas(self) -> Mapping[RevisionName, tuple[Replica, ...]]:
        """The values for a snapshot."""
        found: dict[RevisionName, list[Replica]] = {}
        for record in self:
            found.setdefault(record.revision, []).append(record.replica)
        return MappingProxyType({name: tuple(replicas) for name, replicas in found.items()})

"""A cluster that acts a while after it was written to, and a road on which messages come late.

Who is not available is taken before any that is marked, as Kubernetes does.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from fleet.model import Phase, Replica
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from tests.fakes.cluster import FakeCluster


class Cluster(FakeCluster):
    """What the API server has. Its controllers act `lag` seconds after a write."""

    def __init__(self, *, gpus: int, lag: float = 0.05, start: float = 1.0) -> None:
        super().__init__(gpus=gpus, start=start)
        self.lag = lag
        self.says_done_first = False
        """It tells that it has acted before it tells what it did."""
        self._silent = False
        self.repeated: list[RevisionName] = []
        """Those that were written what they were already."""
        self.unready: set[ReplicaName] = set()
        self.lowered: list[Callable[[RevisionName, tuple[ReplicaName, ...]], None]] = []
        self.acted: list[Callable[[RevisionName], None]] = []

    async def scale(
        self, revision: RevisionName, replicas: int, *, expect: str, reason: Reason
    ) -> str:
        before = self._revisions[revision].replicas
        version = self._write(revision, expect, replicas=replicas, enacted=self.says_done_first)
        if before == replicas:
            self.repeated.append(revision)
        self.writes.append((revision, replicas, reason))
        going = self.going(revision, replicas)
        if going:
            for listener in self.lowered:
                listener(revision, going)
        self._swap()
        self._loop.call_later(self.lag, self._act, revision, replicas)
        return version

    def living(self, name: RevisionName) -> list[Replica]:
        return [r for r in self._replicas.get(name, ()) if r.phase is not Phase.DRAINING]

    def going(self, name: RevisionName, replicas: int) -> tuple[ReplicaName, ...]:
        """Who would go now."""
        drain = self._revisions[name].drain
        first = drain.replicas if drain is not None else frozenset[ReplicaName]()
        ranked = sorted(self.living(name), key=lambda r: (not self.available(r), r.name in first))
        return tuple(r.name for r in reversed(ranked))[: max(0, len(ranked) - replicas)]

    def available(self, replica: Replica) -> bool:
        return replica.address is not None and replica.name not in self.unready

    def touch(self, name: RevisionName, **changes: object) -> None:
        """Somebody else writes: a status, for one."""
        found = self._revisions[name]
        self._revisions[name] = replace(found, version=str(int(found.version) + 1), **changes)
        self._swap()

    def hold_unready(self, name: ReplicaName) -> None:
        """It runs, and the kubelet's own probe says no."""
        self.unready.add(name)
        self._tell_of(name)

    def hold_ready(self) -> None:
        for name in tuple(self.unready):
            self.unready.discard(name)
            self._tell_of(name)

    def _tell_of(self, name: ReplicaName) -> None:
        for revision, replicas in self._replicas.items():
            if revision in self._revisions and any(r.name == name for r in replicas):
                self.touch(revision)
        self._swap()

    def crash(self, name: ReplicaName) -> None:
        """A pod is lost: another takes its place, and the status tells of it."""
        for revision, replicas in self._replicas.items():
            if any(replica.name == name for replica in replicas):
                replicas[:] = [replica for replica in replicas if replica.name != name]
                self.touch(revision)
        self._reconcile()

    def _act(self, name: RevisionName, replicas: int) -> None:
        """The controllers have seen this write."""
        found = self._revisions.get(name)
        if found is None:
            return
        for victim in self.going(name, replicas):
            self._end(name, victim)
        if found.replicas == replicas:
            self.touch(name, enacted=True)
        self._reconcile()
        for listener in self.acted:
            listener(name)

    def _end(self, name: RevisionName, victim: ReplicaName) -> None:
        held = self._replicas[name]
        (found,) = [replica for replica in held if replica.name == victim]
        self._stop(held, found, self._loop.time())

    def _reconcile(self) -> None:
        """Only adds: who goes is `_act`'s to say."""
        hidden = {n: r for n, r in self._revisions.items() if len(self.living(n)) > r.replicas}
        for name, revision in hidden.items():
            self._revisions[name] = replace(revision, replicas=len(self.living(name)))
        self._silent = True
        super()._reconcile()
        self._silent = False
        self._revisions.update(hidden)
        self._swap()

    def _swap(self) -> None:
        for replicas in self._replicas.values():
            replicas[:] = [replace(r, available=self.available(r)) for r in replicas]
        if not self._silent:
            super()._swap()


class Road:
    """Messages that arrive in order, after `delay()` seconds each; held back while `cut`."""

    def __init__(self, delay: Callable[[], float]) -> None:
        self.delay = delay
        self.cut = False
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._last = 0.0
        self._under_way: deque[Callable[[], None]] = deque()
        self._due = 0

    def send(self, deliver: Callable[[], None]) -> None:
        at = max(self._last, self._loop.time() + self.delay())
        self._last = at
        self._under_way.append(deliver)
        # Timers of one moment come in any order: each brings whatever is next.
        self._loop.call_at(at, self._arrive)

    def join(self) -> None:
        """What was held back arrives."""
        self.cut = False
        self._deliver()

    def _arrive(self) -> None:
        self._due += 1
        self._deliver()

    def _deliver(self) -> None:
        while self._due and not (self.cut or self.closed):
            self._due -= 1
            self._under_way.popleft()()

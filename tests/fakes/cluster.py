"""A scripted cluster: held to the same contract as the real ones (tests/contract/test_cluster.py).

By default replicas get a free GPU at once and an address `start` seconds later; a test may steer
each step by hand with `put`, `fail`, `finish`.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

from fleet.errors import ConflictError, GoneError
from fleet.model import (
    Drain,
    Fleet,
    GpuPool,
    Phase,
    Policy,
    Ports,
    Replica,
    Revision,
    RuntimeName,
    Served,
)
from fleet.names import ModelName, ReplicaName, RevisionName
from fleet.reasons import Reason
from fleet.subscribers import Subscribers


def revision(name: str = "demo", **changes: object) -> Revision:
    """A revision with one GPU, serving a model of its own name."""
    policy = changes.pop("policy", Policy(slots=4))
    made = Revision(
        name=RevisionName(f"default/{name}"),
        models=(Served(name=ModelName(name), served=name),),
        runtime=RuntimeName.TRITON,
        ports=Ports(http=8000, grpc=8001, metrics=8002),
        policy=policy,  # type: ignore[arg-type]
        gpus=1,
        replicas=0,
        version="1",
        template="t1",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def _number(name: ReplicaName) -> int:
    """Names and addresses are numbered by age."""
    return int(name.rpartition("-")[2])


class FakeCluster:
    """A `Cluster` in memory, on the running loop's time."""

    def __init__(self, *, gpus: int = 2, start: float = 1.0, stop: float = 0.5) -> None:
        self.gpus, self.start, self.stop = gpus, start, stop
        self.writes: list[tuple[RevisionName, int, Reason]] = []
        self.notes: list[tuple[RevisionName, str, str]] = []
        self.broken: Exception | None = None
        """Raised by every write while set."""
        self._revisions: dict[RevisionName, Revision] = {}
        self._replicas: dict[RevisionName, list[Replica]] = {}
        self._subscribers = Subscribers[Fleet]()
        self._number = itertools.count(1)
        self._names = itertools.count(1)
        self._fleet = Fleet()
        self._loop = asyncio.get_running_loop()

    # The port.

    def fleet(self) -> Fleet:
        return self._fleet

    def subscribe(self, listener: Callable[[Fleet], None]) -> Callable[[], None]:
        return self._subscribers.add(listener)

    async def scale(
        self, revision: RevisionName, replicas: int, *, expect: str, reason: Reason
    ) -> str:
        version = self._write(revision, expect, replicas=replicas)
        self.writes.append((revision, replicas, reason))
        self._reconcile()
        return version

    async def mark(self, revision: RevisionName, drain: Drain | None, *, expect: str) -> str:
        version = self._write(revision, expect, drain=drain)
        self._swap()
        return version

    async def note(self, revision: RevisionName, reason: str, message: str) -> None:
        self.notes.append((revision, reason, message))

    # The script.

    def put(self, revision: Revision) -> None:
        """Add a Deployment or change it."""
        self._revisions[revision.name] = revision
        self._replicas.setdefault(revision.name, [])
        self._reconcile()

    def remove(self, revision: RevisionName) -> None:
        """Delete a Deployment."""
        self._revisions.pop(revision, None)
        self._reconcile()

    def fail(self, name: ReplicaName, *, reason: Reason = Reason.EXITED, message: str = "") -> None:
        """A replica's process ended; it gives its GPU back and stays FAILED until `retry`."""
        self._change(name, phase=Phase.FAILED, address=None, gpus=0, reason=reason, message=message)

    def retry(self, name: ReplicaName) -> None:
        """What the back-off does when it is over: another replica in the failed one's place."""
        for replicas in self._replicas.values():
            replicas[:] = [replica for replica in replicas if replica.name != name]
        self._reconcile()

    def open(self, name: ReplicaName) -> None:
        """A replica begins to listen."""
        number = _number(name)
        self._change(name, address=f"127.1.{number // 256}.{number % 256}")

    def move(self, name: ReplicaName, address: str) -> None:
        """The same replica at another address: its network was made anew."""
        self._change(name, address=address)

    def gone(self, name: ReplicaName) -> None:
        """A replica that was being stopped has ended."""
        self.retry(name)

    def _write(self, name: RevisionName, expect: str, **changes: object) -> str:
        if self.broken is not None:
            raise self.broken
        found = self._revisions.get(name)
        if found is None:
            raise GoneError(name)
        if found.version != expect:
            raise ConflictError(name)
        version = str(int(found.version) + 1)
        self._revisions[name] = replace(found, version=version, **changes)  # type: ignore[arg-type]
        return version

    def _change(self, name: ReplicaName, **changes: object) -> None:
        for replicas in self._replicas.values():
            for index, replica in enumerate(replicas):
                if replica.name == name:
                    now = self._loop.time()
                    if "phase" in changes:
                        changes["since"] = now
                    replicas[index] = replace(replica, **changes)  # type: ignore[arg-type]
        self._reconcile()

    def _reconcile(self) -> None:
        now = self._loop.time()
        for name, replicas in self._replicas.items():
            revision = self._revisions.get(name)
            wanted = revision.replicas if revision else 0
            live = [r for r in replicas if r.phase is not Phase.DRAINING]
            first = revision.drain.replicas if revision and revision.drain else frozenset()
            while len(live) > wanted:
                victim = max(
                    live, key=lambda r: (r.name in first, r.address is None, _number(r.name))
                )
                live.remove(victim)
                self._stop(replicas, victim, now)
            while revision and len(live) < wanted:
                made = Replica(
                    name=ReplicaName(f"{name}-{next(self._names)}"),
                    phase=Phase.PENDING,
                    since=now,
                    template=revision.template,
                    reason=Reason.NO_FREE_GPU,
                )
                live.append(made)
                replicas.append(made)
        self._assign(now)
        self._swap()

    def _stop(self, replicas: list[Replica], victim: Replica, now: float) -> None:
        index = replicas.index(victim)
        if victim.phase in (Phase.PENDING, Phase.FAILED):
            del replicas[index]
            return
        replicas[index] = replace(victim, phase=Phase.DRAINING, since=now, reason=Reason.STOPPING)
        self._loop.call_later(self.stop, self.gone, victim.name)

    def _assign(self, now: float) -> None:
        pending = [
            (_number(replica.name), index, name)
            for name, replicas in self._replicas.items()
            for index, replica in enumerate(replicas)
            if replica.phase is Phase.PENDING
        ]
        free = self._free()
        for _, index, name in sorted(pending):
            need = self._revisions[name].gpus
            if need > free:
                continue
            free -= need
            replica = replace(
                self._replicas[name][index],
                phase=Phase.LOADING,
                since=now,
                started=now,
                gpus=need,
                reason=Reason.STARTING,
            )
            self._replicas[name][index] = replica
            self._loop.call_later(self.start, self._opened, replica.name)

    def _opened(self, name: ReplicaName) -> None:
        for replicas in self._replicas.values():
            for replica in replicas:
                if replica.name == name and replica.phase is Phase.LOADING:
                    self.open(name)
                    return

    def _free(self) -> int:
        return self.gpus - sum(r.gpus for replicas in self._replicas.values() for r in replicas)

    def _swap(self) -> None:
        self._fleet = Fleet(
            number=next(self._number),
            revisions=MappingProxyType(dict(self._revisions)),
            replicas=MappingProxyType({n: tuple(r) for n, r in self._replicas.items() if r}),
            gpus=(GpuPool(name="gpu", total=self.gpus, free=self._free()),),
        )
        self._subscribers.tell(self._fleet)

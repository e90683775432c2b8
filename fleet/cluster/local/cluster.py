"""The `Cluster` of one Linux machine: Deployments run as processes, controlled as in Kubernetes.

Rule: every change, of a Deployment or a replica, is followed by `_settle`: the controller does what
is to be done, then one snapshot is published.
"""

import asyncio
import hashlib
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from fleet.clock import Clock
from fleet.cluster.local.addresses import Addresses
from fleet.cluster.local.controller import Controller
from fleet.cluster.local.gpus import GPU_CLASS, Gpus
from fleet.cluster.local.life import Explain, Means
from fleet.cluster.local.manifests import LocalDeployment, Manifests, read_manifests
from fleet.cluster.local.news import tell_models, tell_problems
from fleet.cluster.local.preparing import Preparing
from fleet.cluster.local.shortfalls import shortfalls
from fleet.cluster.local.takeover import take_over
from fleet.cluster.local.watch import Watch
from fleet.errors import ConflictError, GoneError, UnavailableError
from fleet.model import Drain, Fleet, GpuPool, Problem, Revision
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from fleet.settings import Settings
from fleet.subscribers import Subscribers
from fleet.tasks import endless
from fleet.telemetry import log

__all__ = ["Host", "LocalCluster"]

_log = log(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What this process gives the cluster."""

    clock: Clock
    group: asyncio.TaskGroup
    """Must live until the cluster is stopped."""
    settings: Settings
    environ: Mapping[str, str]
    """The environment that replicas inherit."""


class LocalCluster:
    """A `Cluster`; runs from ``async with`` until its end, which stops every replica.

    `paths` are manifests and folders of them, `running` tells how many requests are on a replica
    now (a retired one is stopped when there are none), `explain` finds the cause of a failed start
    in the last log lines.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        host: Host,
        gpus: Gpus,
        running: Callable[[ReplicaName], int],
        explain: Explain,
    ) -> None:
        self._clock, self._group, self._gpus = host.clock, host.group, gpus
        self._watch = Watch(paths, clock=host.clock, read=read_manifests)
        pid = os.getpid()
        run = _run_name(pid, host.clock.wall())
        self._preparing = Preparing(host.settings, host.environ, run=f"{pid}-{run}")
        means = Means(
            clock=host.clock,
            group=host.group,
            preparing=self._preparing,
            addresses=Addresses(pid),
            gpus=gpus,
            running=running,
            explain=explain,
            changed=self._settle,
        )
        self._controller = Controller(means, run=run)
        self._deployments: dict[RevisionName, LocalDeployment] = {}
        self._problems: tuple[Problem, ...] = ()
        self._no_triton = ""
        self._subscribers = Subscribers[Fleet]()
        self._versions = itertools.count(1)
        self._fleet = Fleet()
        self._following: asyncio.Task[None] | None = None
        self._stopped = False

    # The port.

    def fleet(self) -> Fleet:
        """The newest snapshot."""
        return self._fleet

    def subscribe(self, listener: Callable[[Fleet], None]) -> Callable[[], None]:
        """Call `listener` with every new snapshot; returns what ends that."""
        return self._subscribers.add(listener)

    async def scale(
        self, revision: RevisionName, replicas: int, *, expect: str, reason: Reason
    ) -> str:
        """Set the wanted replicas; returns the new version."""
        before = self._checked(revision, expect)
        version = self._write(replace(before, replicas=max(0, replicas)))
        _log(
            "scaled",
            revision=revision,
            before=before.replicas,
            after=replicas,
            reason=reason.value,
        )
        return version

    async def mark(self, revision: RevisionName, drain: Drain | None, *, expect: str) -> str:
        """Set or clear the drain; returns the new version."""
        return self._write(replace(self._checked(revision, expect), drain=drain))

    async def note(self, revision: RevisionName, reason: str, message: str) -> None:
        """Write a line to the log, where there is more to say than the write itself has said."""
        if message:
            _log("note", revision=revision, reason=reason, message=message)

    # Beyond the port.

    def quiet(self, replica: ReplicaName) -> None:
        """The last request on `replica` may have ended: a retired one need not wait longer."""
        self._controller.look(replica)

    async def __aenter__(self) -> Self:
        """Read the manifests and begin."""
        self._take(await self._watch.read())
        self._following = endless(self._group, self._follow(), name="manifests")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; see `stop`."""
        await self.stop()

    async def stop(self) -> None:
        """Stop all replicas at once; returns when nothing of them is left.

        Takes as long as the longest grace period at most, and a few seconds.
        """
        self._stopped = True
        if self._following is not None:
            self._following.cancel()
        tasks = self._controller.stop()
        self._publish()
        if tasks:
            await asyncio.wait(tasks)
        self._preparing.clean_run()

    # Manifests.

    async def _follow(self) -> None:
        while True:
            self._take(await self._watch.changed())

    def _take(self, manifests: Manifests) -> None:
        taken = take_over(
            self._deployments, manifests, wall=self._clock.wall(), version=self._version
        )
        same = taken.deployments == self._deployments and taken.problems == self._problems
        if same and self._fleet.number > 0:
            return
        if self._fleet.number > 0:
            tell_models(self._deployments, taken.deployments)
        self._deployments = dict(taken.deployments)
        self._problems = taken.problems
        self._no_triton = self._preparing.no_triton()
        tell_problems(self._fleet.problems, self._all_problems())
        self._settle()

    # Writes.

    def _version(self) -> str:
        return str(next(self._versions))

    def _checked(self, name: RevisionName, expect: str) -> Revision:
        if self._stopped:
            raise UnavailableError("the cluster is being stopped")
        found = self._deployments.get(name)
        if found is None:
            raise GoneError(name)
        if found.revision.version != expect:
            msg = f"{name} is at version {found.revision.version}, not {expect}"
            raise ConflictError(msg)
        return found.revision

    def _write(self, revision: Revision) -> str:
        made = replace(revision, version=self._version())
        found = self._deployments[revision.name]
        self._deployments[revision.name] = replace(found, revision=made)
        self._settle()
        return made.version

    # Snapshots.

    def _settle(self) -> None:
        self._controller.settle(self._deployments)
        self._publish()

    def _publish(self) -> None:
        total, free = len(self._gpus.ids), self._controller.free()
        self._fleet = Fleet(
            number=self._fleet.number + 1,
            revisions=MappingProxyType({n: d.revision for n, d in self._deployments.items()}),
            replicas=self._controller.replicas(),
            gpus=(GpuPool(name=GPU_CLASS, total=total, free=free),),
            problems=self._all_problems(),
        )
        self._subscribers.tell(self._fleet)

    def _all_problems(self) -> tuple[Problem, ...]:
        """What is wrong in the manifests, and what they ask for that this machine has not."""
        lacking = shortfalls(
            self._deployments,
            gpus=len(self._gpus.ids),
            no_gpu=self._controller.lack,
            no_triton=self._no_triton,
        )
        return (*self._problems, *lacking)


def _run_name(pid: int, wall: float) -> str:
    """A word that no other run of ebbtide is likely to have."""
    return hashlib.sha256(f"{pid}:{wall}".encode()).hexdigest()[:5]

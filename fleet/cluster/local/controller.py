"""Keeps as many replicas as are wanted: takes the steps that `reconcile` says, one life for each.

Rule 1: a replica holds its GPUs until nothing of its process tree is left.
Rule 2: a FAILED replica holds none; after its back-off another replica takes its place.
"""

import asyncio
import itertools
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from fleet.cluster.local.backoff import Backoff
from fleet.cluster.local.life import Failure, Means, live
from fleet.cluster.local.manifests import Deployments, LocalDeployment
from fleet.cluster.local.reconcile import Create, Drop, Retire, Start, Step, World, plan
from fleet.cluster.local.roster import Record, Roster
from fleet.model import Phase, Replica, Revision
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from fleet.telemetry import log

__all__ = ["Controller"]

_log = log(__name__)
_NO_GPU = "this machine has no GPU; start with --gpus N to count imaginary ones"
_APART = 1e-6


class Controller:
    """The replicas of all Deployments. `run` is a word that is part of all their names."""

    def __init__(self, means: Means, *, run: str) -> None:
        self._means = means
        self._clock = means.clock
        self._run = run
        self._names = itertools.count(1)
        self._roster = Roster(means.gpus.ids)
        self._deployments: Deployments = {}
        self._backoffs: dict[RevisionName, Backoff] = {}
        self._youngest = self._clock.now()
        self._stopped = False

    def replicas(self) -> Mapping[RevisionName, tuple[Replica, ...]]:
        """All there are, eldest first, for a snapshot."""
        return self._roster.replicas()

    def free(self) -> int:
        """How many GPUs nobody holds."""
        return len(self._roster.free())

    def look(self, name: ReplicaName) -> None:
        """The requests on a replica may have ended."""
        record = self._roster.get(name)
        if record is not None and record.attendant is not None:
            record.attendant.look()

    def lack(self, revision: Revision) -> str:
        """Why a replica of `revision` has no GPU, and what can be done."""
        total = len(self._means.gpus.ids)
        if not self._means.gpus.counted:
            return _NO_GPU
        if revision.gpus > total:
            return f"it asks for {revision.gpus} GPUs per replica, and this machine has {total}"
        return f"it needs {revision.gpus} of {total} GPUs; free now: {self.free()}"

    def settle(self, deployments: Deployments) -> None:
        """Do all that is to be done now, so that there is what `deployments` want."""
        self._deployments = deployments
        for name in self._backoffs.keys() - deployments.keys():
            del self._backoffs[name]
        while not self._stopped and (steps := plan(self._world())):
            for step in steps:
                self._step(step)

    def stop(self) -> list[asyncio.Task[None]]:
        """Stop all replicas now, and start none any more; the tasks that end when they have."""
        self._stopped = True
        for record in self._roster:
            if record.replica.phase in (Phase.PENDING, Phase.FAILED):
                self._drop(record)
            else:
                self._retire(record, Reason.SHUTTING_DOWN)
                if record.attendant is not None:
                    record.attendant.hurry()
        return [record.task for record in self._roster if record.task is not None]

    def _world(self) -> World:
        return World(
            revisions={name: found.revision for name, found in self._deployments.items()},
            replicas=self._roster.replicas(),
            free=len(self._roster.free()),
            due=self._roster.due(),
        )

    def _step(self, step: Step) -> None:
        if isinstance(step, Create):
            self._create(self._deployments[step.revision].revision)
            return
        record = self._roster.get(step.replica)
        if record is None:
            return
        match step:
            case Start():
                self._start(record, step.gpus)
            case Retire():
                self._retire(record, step.reason)
            case Drop():
                self._drop(record)
            case _:
                assert_never(step)

    def _create(self, revision: Revision) -> None:
        # No two of the same age, so that there always is an eldest.
        self._youngest = max(self._clock.now(), self._youngest + _APART)
        replica = Replica(
            name=ReplicaName(f"{revision.name}-{self._run}-{next(self._names)}"),
            phase=Phase.PENDING,
            since=self._youngest,
            template=revision.template,
            reason=Reason.NO_FREE_GPU,
            message=self.lack(revision),
        )
        self._roster.add(Record(revision=revision.name, replica=replica))

    def _start(self, record: Record, gpus: int) -> None:
        now = self._clock.now()
        record.replica = replace(
            record.replica,
            phase=Phase.LOADING,
            since=now,
            started=now,
            gpus=gpus,
            gpu_ids=self._roster.free()[:gpus],
            reason=Reason.STARTING,
            message="",
        )
        deployment = self._deployments[record.revision]
        record.task = self._means.group.create_task(
            self._tend(record, deployment), name=record.replica.name
        )

    def _retire(self, record: Record, reason: Reason) -> None:
        if record.replica.phase is not Phase.DRAINING:
            record.replica = replace(
                record.replica,
                phase=Phase.DRAINING,
                since=self._clock.now(),
                reason=reason,
                message="",
            )
        if record.attendant is not None:
            record.attendant.retire()

    def _drop(self, record: Record) -> None:
        self._roster.remove(record.replica.name)
        if record.task is not None:
            record.task.cancel()

    async def _tend(self, record: Record, deployment: LocalDeployment) -> None:
        name = record.replica.name
        _log("replica_started", replica=name, gpus=",".join(record.replica.gpu_ids))
        failure = await live(record, deployment, self._means)
        if record.replica.phase is Phase.DRAINING:
            _log("replica_stopped", replica=name, ending=failure.ending or failure.message)
            self._roster.remove(name)
            self._means.changed()
            return
        pause = self._fail(record, failure)
        self._means.changed()
        await self._clock.sleep(pause)
        record.due, record.task = True, None
        self._means.changed()

    def _fail(self, record: Record, failure: Failure) -> float:
        """Make it FAILED; the seconds until another takes its place."""
        now = self._clock.now()
        template = record.replica.template
        backoff = self._backoffs.get(record.revision, Backoff(template=template)).after(
            template=template, open_for=0.0 if record.opened is None else now - record.opened
        )
        self._backoffs[record.revision] = backoff
        reason = failure.reason if backoff.failures == 1 else Reason.CRASH_LOOP_BACK_OFF
        record.attendant = None
        record.replica = replace(
            record.replica,
            phase=Phase.FAILED,
            since=now,
            address=None,
            gpus=0,
            gpu_ids=(),
            reason=reason,
            message=failure.message,
            log=failure.log,
        )
        _log(
            "replica_failed",
            level=logging.WARNING,
            replica=record.replica.name,
            reason=failure.reason.value,
            message=failure.message,
            again_in=backoff.seconds,
            log=failure.file or "-",
        )
        return backoff.seconds

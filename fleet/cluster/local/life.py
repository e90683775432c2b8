"""The life of one replica, from having its GPUs until nothing of its process tree is left."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fleet.clock import Clock
from fleet.cluster.local import listening, logs
from fleet.cluster.local.addresses import Addresses
from fleet.cluster.local.attendant import Attendant, Post
from fleet.cluster.local.gpus import Gpus
from fleet.cluster.local.listening import Intruder
from fleet.cluster.local.manifests import LocalDeployment
from fleet.cluster.local.preparing import Place, Prepared, Preparing
from fleet.cluster.local.process import Ending
from fleet.cluster.local.roster import Record
from fleet.errors import SettingError
from fleet.model import Phase, RuntimeName
from fleet.names import ReplicaName
from fleet.reasons import Reason

__all__ = ["Explain", "Failure", "Means", "live"]

Explain = Callable[[RuntimeName, Sequence[str]], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a replica that should go on has ended."""

    reason: Reason
    message: str
    ending: str = ""
    """How its command ended, without the cause."""
    log: tuple[str, ...] = ()
    file: Path | None = None
    """Where all of its log is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What every replica's life is led with."""

    clock: Clock
    group: asyncio.TaskGroup
    preparing: Preparing
    addresses: Addresses
    gpus: Gpus
    running: Callable[[ReplicaName], int]
    explain: Explain
    changed: Callable[[], None]
    """Called after a record was changed."""


async def live(record: Record, deployment: LocalDeployment, means: Means) -> Failure:
    """Start the replica, tell when it is open, return how it ended."""
    replica = record.replica
    ports = deployment.revision.ports
    wanted = [port for port in (ports.http, ports.grpc, ports.metrics) if port is not None]
    place = Place(
        pod=deployment.pod,
        pod_name=replica.name.rpartition("/")[2],
        address=means.addresses.take(
            free=lambda address: all(listening.can_bind(address, port) for port in wanted)
        ),
        gpus=means.gpus.visible(replica.gpu_ids),
    )
    try:
        prepared = await asyncio.to_thread(means.preparing.prepare, place)
        if record.replica.phase is Phase.DRAINING:
            return Failure(reason=Reason.STOPPING, message="stopped before it was started")
        record.attendant = Attendant(
            _post(record, deployment, place, prepared, means), clock=means.clock, group=means.group
        )
        ending = await record.attendant.attend()
        lines = await asyncio.to_thread(logs.tail, prepared.log)
    except (OSError, SettingError) as error:
        return Failure(reason=Reason.CANNOT_EXECUTE, message=str(error))
    finally:
        await asyncio.to_thread(means.preparing.clean, place)
    cause = means.explain(deployment.revision.runtime, lines)
    return replace(_failure(record, ending, lines, cause), file=prepared.log)


def _post(
    record: Record, deployment: LocalDeployment, place: Place, prepared: Prepared, means: Means
) -> Post:
    name = record.replica.name
    revision = deployment.revision

    def opened() -> None:
        record.opened = means.clock.now()
        record.intruded = ""
        _change(record, address=place.address, reason=None, message="")

    def intruded(intruder: Intruder) -> None:
        said = _in_words(intruder, place.address, revision.ports.http)
        if said != record.intruded:
            record.intruded = said
            _change(record, reason=Reason.ADDRESS_IN_USE, message=said)

    def _change(record: Record, **changes: object) -> None:
        record.replica = replace(record.replica, **changes)  # type: ignore[arg-type]
        means.changed()

    return Post(
        launch=prepared.launch,
        marker=f"{os.getpid()}:{place.address}:{name}",
        log=prepared.log,
        address=place.address,
        port=revision.ports.http,
        patience=revision.policy.request_timeout,
        running=lambda: means.running(name),
        opened=opened,
        intruded=intruded,
    )


def _in_words(intruder: Intruder, address: str, port: int) -> str:
    who = intruder.name if intruder.pid is None else f"{intruder.name} (process {intruder.pid})"
    bound = "which listens on all addresses of this machine" if intruder.everywhere else "elsewhere"
    return f"port {port} of {address} is answered by {who}, {bound}; let it listen on POD_IP only"


def _failure(record: Record, ending: Ending, lines: tuple[str, ...], cause: str) -> Failure:
    if ending.error is not None:
        return Failure(reason=Reason.CANNOT_EXECUTE, message=str(ending), log=lines)
    said = f"{ending}: {cause}" if cause else str(ending)
    if record.intruded:
        said = f"{said}; {record.intruded}"
    reason = Reason.ADDRESS_IN_USE if record.intruded else Reason.EXITED
    return Failure(reason=reason, message=said, ending=str(ending), log=lines)

"""Steady load on a cluster while its parts are killed one at a time, and what may be lost then."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.e2e.kube.stage import Stage
from tests.kube.calls import Call, End, call
from tests.kube.models import Adder
from tests.kube.release import Pod, ready_pods

__all__ = ["KINDS", "Kill", "Storm", "excused"]

KINDS = ("gateway", "leader", "redis", "kube-apiserver", "replica")
_AWAY_S = 2.0
_LULL_S = 4.0
_SLOW_EVERY, _SLOW_S = 10, 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One death by SIGKILL: of what kind, whom, and between which two moments.

    The kernel takes connections for a process until it has gone: they are lost with it.
    """

    kind: str
    whom: str
    """A gateway's address; of a replica the model."""
    after: float
    before: float


class Storm:
    """50 requests a second over all `models` in turn, and kills in random order."""

    def __init__(self, stage: Stage, models: Sequence[Adder], *, rate: float, seed: int) -> None:
        self._stage, self._models = stage, models
        self._rate, self._random = rate, random.Random(seed)
        self.kills: list[Kill] = []
        self.calls: list[Call] = []

    async def run(self, seconds: float) -> None:
        """At least one kill of each kind, then more until `seconds` are over."""
        gateways = self._stage.gateways()
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._load(tasks, gateways, ended))
            try:
                end = time.monotonic() + seconds
                while not self.kills or time.monotonic() < end:
                    for kind in self._random.sample(KINDS, len(KINDS)):
                        await self._kill(kind)
                        await asyncio.sleep(self._random.uniform(0.5, _LULL_S))
            finally:
                ended.set()

    async def _load(
        self, tasks: asyncio.TaskGroup, gateways: Sequence[str], ended: asyncio.Event
    ) -> None:
        begin, number = time.monotonic(), 0
        while not ended.is_set():
            model = self._models[number % len(self._models)]
            turn = number % len(gateways)
            order = [*gateways[turn:], *gateways[:turn]]
            tasks.create_task(self._one(order, model, number))
            number += 1
            await asyncio.sleep(max(0.0, begin + number / self._rate - time.monotonic()))

    async def _one(self, gateways: Sequence[str], model: Adder, number: int) -> None:
        seconds = _SLOW_S if number % _SLOW_EVERY == 0 else 0.0
        self.calls.append(await call(gateways, model, number, seconds=seconds))

    async def _kill(self, kind: str) -> None:
        """Kill one, and wait until all is as before."""
        actions: dict[str, Callable[[], None]] = {
            "gateway": self._kill_gateway,
            "leader": self._kill_leader,
            "redis": self._kill_redis,
            "replica": self._kill_replica,
        }
        if kind in actions:
            await asyncio.to_thread(actions[kind])
        else:
            await self._kill_apiserver()
        await asyncio.to_thread(self._stage.release.wait_ready)

    def _kill_gateway(self) -> None:
        pods = self._stage.release.gateways()
        pod, address = self._random.choice(list(zip(pods, self._stage.gateways(), strict=True)))
        self._kill_container("gateway", address, pod)

    def _kill_leader(self) -> None:
        leader = self._stage.release.leading()
        self._kill_container("leader", leader.name, leader)

    def _kill_redis(self) -> None:
        (pod,) = self._stage.release.pods("redis")
        self._kill_container("redis", pod.name, pod)

    def _kill_replica(self) -> None:
        model = self._random.choice(self._models)
        stage = self._stage
        pods = ready_pods(stage.admin, stage.namespace, f"app={model.name}")
        self._kill_container("replica", model.name, pods[0])

    async def _kill_apiserver(self) -> None:
        plane = self._stage.own.plane
        after = time.monotonic()
        plane.kill("kube-apiserver")
        kill = Kill(kind="kube-apiserver", whom="", after=after, before=time.monotonic())
        self.kills.append(kill)
        await asyncio.sleep(_AWAY_S)
        # Here, not in another thread: it dies with the thread that started it.
        plane.start_part("kube-apiserver")
        await asyncio.to_thread(plane.wait_ready)

    def _kill_container(self, kind: str, whom: str, pod: Pod) -> None:
        after = time.monotonic()
        self._stage.own.node.kill_container(pod.container)
        self.kills.append(Kill(kind=kind, whom=whom, after=after, before=time.monotonic()))
        self._stage.until_restarted(pod)


def excused(one: Call, kills: Sequence[Kill]) -> bool:
    """Whether `one` was answered rightly, or lost in one of the ways that a kill may lose it."""
    if one.right:
        return True
    during = [kill for kill in kills if one.began <= kill.before and kill.after <= one.ended]
    of_gateway = [each for each in during if each.kind == "gateway" and each.whom == one.gateway]
    of_replica = [each for each in during if each.kind == "replica" and each.whom == one.model]
    match one.end:
        case End.CLOSED:
            return bool(of_gateway)
        case End.BROKEN:
            return bool(of_gateway or of_replica)
        case End.ANSWERED:
            return one.status == 502 and len(of_replica) >= 2
        case End.REFUSED | End.GAVE_UP:
            return False

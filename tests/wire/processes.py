"""A gateway or an autoscaler of a cluster over scripted ground, asked over its two ports."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import httpx

from ebbtide.adminport import AdminPort
from ebbtide.kubernetes.autoscaler import autoscaler
from ebbtide.kubernetes.flags import Options
from ebbtide.kubernetes.gateway import gateway
from ebbtide.kubernetes.place import Place
from ebbtide.serving import Serving
from ebbtide.signals import Stop
from fleet.names import GatewayName
from fleet.settings import Settings
from gateway.core.admission import Reach
from tests.fakes.ground import AllSlots, FakeLeadership, FakeMembership, Grounded, grounded
from tests.fakes.recorder import Recorder
from tests.sim.world import ModelUnderTest
from tests.wire.stage import model

INFER = "/v2/models/demo/infer"


@dataclass
class Process:
    """One of them, running."""

    serving: Serving
    on: Grounded
    recorder: Recorder
    admin: httpx.AsyncClient
    port: int
    settings: Settings
    membership: FakeMembership
    leadership: FakeLeadership
    stop: Stop

    async def ready(self) -> tuple[int, str]:
        """The status of /readyz, and what it says."""
        answer = await self.admin.get("/readyz")
        return answer.status_code, answer.json().get("message", "")

    async def infer(self) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            return await client.post(f"http://127.0.0.1:{self.port}{INFER}", json={})

    async def connects(self) -> bool:
        """Whether somebody takes connections on the request port."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except ConnectionRefusedError:
            return False
        writer.close()
        return True

    async def leave(self) -> None:
        await self.serving.leave(self.stop, self.settings)

    async def metric(self, name: str) -> float | None:
        """A figure without labels; None where there is none."""
        text = (await self.admin.get("/metrics")).text
        found = re.search(rf"^{name} (\S+)$", text, flags=re.MULTILINE)
        return None if found is None else float(found[1])


@asynccontextmanager
async def a_gateway(
    *, settings: Settings | None = None, known: bool = True, member: bool = True
) -> AsyncIterator[Process]:
    async with _process("gateway", settings or Settings(), known=known, member=member) as process:
        yield process


@asynccontextmanager
async def an_autoscaler(
    *, settings: Settings | None = None, known: bool = True
) -> AsyncIterator[Process]:
    async with _process("autoscaler", settings or Settings(), known=known, member=True) as process:
        yield process


@asynccontextmanager
async def _process(
    kind: str, settings: Settings, *, known: bool, member: bool
) -> AsyncIterator[Process]:
    recorder = Recorder()
    await recorder.start()
    try:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            on = grounded(group, ModelUnderTest(load=0.0), settings)
            on.cluster.put(model(port=recorder.port))
            membership, leadership = FakeMembership(on.log), FakeLeadership(on.log)
            if known:
                on.read.set()
            if member:
                membership.given.set()
                on.members.now = {GatewayName("models/gateway-1")}
            admin = AdminPort(settings, host="127.0.0.1", port=0, reach=Reach.LOOPBACK)
            options = _options(settings)
            composed: AbstractAsyncContextManager[Serving]
            if kind == "gateway":
                composed = gateway(options, on.ground, admin, membership, AllSlots())
            else:
                composed = autoscaler(options, on.ground, admin, leadership, on.members)
            address = f"http://127.0.0.1:{admin.port}"
            async with (
                composed as serving,
                httpx.AsyncClient(base_url=address, trust_env=False) as client,
            ):
                port = serving.greeting.get("requests", ":0").rpartition(":")[2]
                yield Process(
                    serving=serving,
                    on=on,
                    recorder=recorder,
                    admin=client,
                    port=int(port),
                    settings=settings,
                    membership=membership,
                    leadership=leadership,
                    stop=Stop(),
                )
    finally:
        await recorder.stop()


def _options(settings: Settings) -> Options:
    return Options(
        place=Place(pod=False, kubeconfig=None, context=None),
        host="127.0.0.1",
        port=0,
        admin_host="127.0.0.1",
        admin_port=0,
        settings=settings,
        settings_file=None,
        environ={},
    )

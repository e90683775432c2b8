"""The stage with a replica that speaks gRPC, scripted frame by frame."""

import ssl
from contextlib import asynccontextmanager
from dataclasses import replace

from fleet.model import AllowRule, Ports, RuntimeName
from fleet.reasons import Reason
from tests.fakes.http2 import Peer, Replica, Script, connect, echo, message
from tests.wire.stage import Stage, model, stage

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
READY = "/inference.GRPCInferenceService/ModelReady"
METADATA = "/inference.GRPCInferenceService/ModelMetadata"
CONFIG = "/inference.GRPCInferenceService/ModelConfig"
STATISTICS = "/inference.GRPCInferenceService/ModelStatistics"
ALL = (AllowRule(method="*", path="*"),)


def named(name: str, rest: bytes = b"") -> bytes:
    """A message of the V2 service, which names its model in field 1."""
    return message(b"\x0a" + bytes((len(name),)) + name.encode() + rest)


class Calls:
    """A stage, its replica, and clients."""

    def __init__(self, found: Stage, replica: Replica) -> None:
        self.stage, self.replica = found, replica
        self.clients: list[Peer] = []

    async def client(self, **announced: int) -> Peer:
        peer = await connect(self.stage.port, tls=self.stage.tls, **announced)
        self.clients.append(peer)
        return peer

    @property
    def line(self):
        return self.stage.line

    async def idle(self) -> None:
        """Nothing is left of any call."""
        await self.stage.until(self.stage.idle)

    async def waiting(self, count: int) -> None:
        await self.stage.until(lambda: self.line.waiting == count)

    async def running(self, count: int) -> None:
        await self.stage.until(lambda: self.line.running == count)


def infer(client: Peer) -> int:
    """A whole inference; returns the number of its stream."""
    number = client.call(INFER)
    client.data(number, named("demo"), end=True)
    return number


def refused(on: Calls, reason: Reason) -> int:
    """How many calls of the model were refused for `reason`."""
    (tally,) = on.stage.front.tallies.values()
    return tally.refused.get(reason, 0)


@asynccontextmanager
async def calls(
    script: Script = echo,
    *,
    announced=None,
    plain: bool = False,
    tls: ssl.SSLContext | None = None,
    replica_tls: ssl.SSLContext | None = None,
    cancels: bool | None = True,
    **changes,
):
    """One model `demo`, whose replica runs `script`; `plain`: it is no Triton, and all may pass.

    `tls`: what clients speak; `replica_tls`: what the replica's gRPC port speaks; `cancels`: the
    annotation (None: as the runtime has it).
    """
    replica = Replica(script, **(announced or {}))
    replica.tls = replica_tls
    await replica.start()
    if plain:
        changes |= {"runtime": RuntimeName.PLAIN, "allow": ALL}
    settings = changes.pop("settings", None)
    start = changes.pop("start", 0.01)

    def make(port: int):
        made = model(port=port, **changes)
        policy = replace(made.policy, cancels=cancels)
        return replace(made, policy=policy, ports=Ports(http=port, grpc=replica.port))

    try:
        async with stage(make, settings=settings, start=start, tls=tls) as found:
            made = Calls(found, replica)
            try:
                yield made
            finally:
                for client in made.clients:
                    await client.close()
            assert not replica.errors, replica.errors
    finally:
        await replica.stop()

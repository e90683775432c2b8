"""The real front and the real hall over loopback sockets, a scripted cluster and a recorder."""

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import pytest

from activator.hall import Hall
from activator.line import Line
from activator.wiring import Outside
from fleet.bus.memory import MemoryBus
from fleet.clock import LoopClock
from fleet.model import Policy, Ports, WarmUp
from fleet.names import GatewayName, RevisionName
from fleet.reasons import Reason
from fleet.settings import Settings
from gateway.front import Front
from tests.fakes.cluster import FakeCluster, revision
from tests.fakes.recorder import Recorder
from tests.sim.world import ModelUnderTest

LOOPS = [
    ("asyncio", {"use_uvloop": False}),
    ("asyncio", {"use_uvloop": True}),
]
UVLOOP = LOOPS[1]
BOTH_LOOPS = pytest.mark.parametrize("anyio_backend", LOOPS, ids=["asyncio", "uvloop"])

GET = b"GET %b HTTP/1.1\r\nHost: gw\r\n\r\n"
INFER = b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: gw\r\n"
CHUNKED = INFER + b"Transfer-Encoding: chunked\r\n\r\n"

ONE = Policy(slots=1, warm_up=WarmUp.NONE)


def infer(body: bytes = b"{}", extra: bytes = b"", path: bytes = b"/v2/models/demo/infer") -> bytes:
    """A whole V2 inference."""
    head = b"POST %b HTTP/1.1\r\nHost: gw\r\n%bContent-Length: %d\r\n\r\n"
    return head % (path, extra, len(body)) + body


@dataclass
class Answer:
    status: int
    fields: list[tuple[str, str]]
    body: bytes
    interim: tuple[int, ...] = ()

    def field(self, name: str) -> str | None:
        values = [value for key, value in self.fields if key.lower() == name]
        assert len(values) < 2, f"{name} came twice"
        return values[0] if values else None


class Client:
    """A client connection; reads answers strictly."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.trailers = b""

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> tuple[int, list[tuple[str, str]]]:
        raw = await self.reader.readuntil(b"\r\n\r\n")
        line, *rest = raw[:-4].decode("latin-1").split("\r\n")
        assert line.startswith("HTTP/1.1 "), line
        fields = [(name, value.strip()) for name, _, value in (one.partition(":") for one in rest)]
        return int(line[9:12]), fields

    async def answer(self, *, method: str = "POST") -> Answer:
        interim = []
        while True:
            status, fields = await self.head()
            if status >= 200:
                break
            interim.append(status)
        found = Answer(status, fields, b"", tuple(interim))
        if method == "HEAD" or status in (204, 304):
            return found
        if found.field("transfer-encoding") == "chunked":
            found.body = await self.chunked()
        elif (length := found.field("content-length")) is not None:
            found.body = await self.reader.readexactly(int(length))
        else:
            found.body = await self.reader.read()
        return found

    async def chunked(self) -> bytes:
        body = b""
        while piece := await self.chunk():
            body += piece
        return body

    async def chunk(self) -> bytes:
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        if not size:
            self.trailers = b""
            while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
                self.trailers += line
            return b""
        data = await self.reader.readexactly(size + 2)
        assert data[-2:] == b"\r\n"
        return data[:-2]

    async def closed(self) -> bool:
        """Whether the gateway closes without another byte."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    async def leave(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    def abort(self) -> None:
        self.writer.transport.abort()


@dataclass
class Stage:
    front: Front
    port: int
    hall: Hall
    cluster: FakeCluster
    recorder: Recorder
    server: ModelUnderTest
    clients: list[Client]
    tls: ssl.SSLContext | None = None

    @property
    def line(self) -> Line:
        return self.hall.lines[RevisionName("default/demo")]

    async def client(self, *, limit: int = 2**20) -> Client:
        streams = await asyncio.open_connection("127.0.0.1", self.port, limit=limit, ssl=self.tls)
        client = Client(*streams)
        self.clients.append(client)
        return client

    async def call(self, data: bytes, *, method: str = "POST") -> Answer:
        client = await self.client()
        client.send(data)
        found = await client.answer(method=method)
        await client.leave()
        return found

    async def until(self, condition, *, seconds: float = 5.0) -> None:
        """Wait for something that no event tells of."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.002)

    def idle(self) -> bool:
        """Nothing is left of any request."""
        return not (self.front.requests or self.line.waiting or self.line.running)

    def wake(self) -> None:
        """Let the model have a replica."""
        found = self.line.revision
        self.cluster.put(replace(found, replicas=1, version=str(int(found.version) + 1)))


def model(name: str = "demo", *, port: int, awake: bool = True, **changes):
    policy = changes.pop("policy", Policy(slots=4, warm_up=WarmUp.NONE))
    return revision(
        name,
        ports=Ports(http=port),
        policy=policy,
        replicas=int(awake),
        gpus=0,
        **changes,
    )


@asynccontextmanager
async def stage(
    *models,
    settings: Settings | None = None,
    awake: bool = True,
    start: float = 0.01,
    tls: ssl.SSLContext | None = None,
    replica_tls: ssl.SSLContext | None = None,
    **changes,
):
    """A front before a hall. `models`: functions of the recorder's port; by default one `demo`.

    `tls`: what clients speak; `replica_tls`: what the recorder speaks.
    """
    recorder = Recorder(tls=replica_tls)
    await recorder.start()
    cluster = FakeCluster(gpus=4, start=start)
    server = ModelUnderTest(load=0.0)
    clock = LoopClock()
    # An exception in a callback reaches nobody else.
    errors: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _loop, context: errors.append(context))
    settings = settings or Settings()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        outside = Outside(
            cluster=cluster,
            bus=MemoryBus(clock),
            clock=clock,
            servers=lambda _runtime: server,
            settings=settings,
            group=group,
        )
        hall = Hall(GatewayName("gw"), outside)
        run = group.create_task(hall.run())
        made = models or (lambda port: model(port=port, awake=awake, **changes),)
        for make in made:
            cluster.put(make(recorder.port))
        front = Front(hall, settings)
        port = await front.start("127.0.0.1", 0)
        found = Stage(front, port, hall, cluster, recorder, server, [], tls)
        for line in hall.lines.values():
            if line.revision.replicas:
                await found.until(lambda line=line: line.peek() is not None)
                await found.until(
                    lambda line=line: all(s.limit == s.slots for s in line.ledger.seats.values())
                )
        try:
            yield found
            assert not recorder.faults, recorder.faults
            assert not errors, errors
            await _left_nothing(found)
        finally:
            loop.set_exception_handler(before)
            for client in found.clients:
                client.abort()
            front.stop_accepting()
            front.close()
            hall.close()
            await recorder.stop()
            run.cancel()
            for task in asyncio.all_tasks():
                if (task.get_name() or "").startswith(("probe", "wake")):
                    task.cancel()


async def _left_nothing(found: Stage) -> None:
    """Whatever a test did: once its clients and replica are gone nothing is counted any more."""
    for client in found.clients:
        client.abort()
    found.hall.refuse_waiting(Reason.SHUTTING_DOWN)
    await found.recorder.stop()
    await found.until(lambda: not found.front.requests)
    room = found.hall.room
    assert (room.waiting, room.waiting_bytes, room.gathered, found.hall.running) == (0, 0, 0, 0)

"""Gateways and autoscalers as users run them: processes of their own, asked over their ports."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

__all__ = ["ModelServer", "Process", "Site", "process", "until"]

_TOLD = re.compile(r"^\s*(requests|admin|name)\s+(?:https?://)?(\S+)$")


@dataclass
class Site:
    """Where they run: an API server, a Redis, a namespace of models, and a folder for logs."""

    kubeconfig: Path
    redis: str
    namespace: str
    folder: Path


@dataclass
class Process:
    """A running `ebbtide gateway` or `ebbtide autoscaler`."""

    process: asyncio.subprocess.Process
    told: dict[str, str]
    log: Path
    client: httpx.AsyncClient

    async def api(self, path: str) -> Any:
        """What the admin port says."""
        answer = await self.client.get(f"http://{self.told['admin']}/{path}")
        answer.raise_for_status()
        return answer.json()

    async def ready(self) -> tuple[bool, str]:
        """Whether it is, and if not what it says."""
        answer = await self.client.get(f"http://{self.told['admin']}/readyz")
        return answer.status_code == 200, answer.json().get("message", "")

    async def call(self, model: str, *, timeout: float = 60.0) -> httpx.Response:
        """A request for a model, on a connection of its own."""
        async with httpx.AsyncClient(trust_env=False, timeout=timeout) as client:
            return await client.get(f"http://{self.told['requests']}/models/{model}/run")

    async def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 30)

    async def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def process(site: Site, command: str, *flags: str, **settings: str) -> AsyncIterator[Process]:
    """Started on free ports over `site`; ended at the end, however that comes."""
    log = site.folder / f"{command}-{len(list(site.folder.iterdir()))}.log"
    own = {name: value for name, value in os.environ.items() if not name.startswith("EBBTIDE_")}
    environ = {
        **own,
        "EBBTIDE_REDIS_URL": site.redis,
        "EBBTIDE_NAMESPACE": site.namespace,
        # Where it looks at some namespaces only, it does not read nodes.
        "EBBTIDE_GPU_BUDGET": "2",
        **{f"EBBTIDE_{name.upper()}": value for name, value in settings.items()},
    }
    ports = ["--admin-port", "0", *(["--port", "0"] if command == "gateway" else [])]
    place = ["--kubeconfig", str(site.kubeconfig), "--namespace", site.namespace]
    async with AsyncExitStack() as stack:
        with log.open("wb") as stderr:
            running = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ebbtide", command, *place, *ports, *flags),
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                env=environ,
            )
        stack.push_async_callback(_end, running)
        try:
            told = await asyncio.wait_for(_told(running), 30)
            client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
            yield Process(running, told, log, client)
        except BaseException:
            sys.stderr.write(f"--- {log.name}\n{log.read_text()[-4000:]}")
            raise


async def until(condition: Callable[[], Any], *, seconds: float = 20.0) -> Any:
    """What `condition` gives, awaited where need be, as soon as it is true."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)


async def _told(running: asyncio.subprocess.Process) -> dict[str, str]:
    found: dict[str, str] = {}
    assert running.stdout is not None
    while True:
        line = (await running.stdout.readline()).decode()
        if not line:
            raise RuntimeError("it ended before it said where it is")
        if line.startswith("Ctrl-C"):
            return found
        match = _TOLD.match(line)
        if match:
            found[match[1]] = match[2]


async def _end(running: asyncio.subprocess.Process) -> None:
    if running.returncode is None:
        running.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(running.wait(), 15)
        except TimeoutError:
            running.kill()
            await running.wait()


class ModelServer:
    """Answers for every pod: on one port of all addresses of this machine."""

    def __init__(self) -> None:
        self.port = 0
        self.calls = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["ModelServer"]:
        server = await asyncio.start_server(self._serve, "0.0.0.0", 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.calls += head.startswith(b"GET /run")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

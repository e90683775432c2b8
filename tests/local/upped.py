"""`ebbtide up` as a user runs it: a process of its own, asked over its two ports."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

_ADDRESS = re.compile(r"^\s*(requests|admin)\s+https?://([0-9.]+):(\d+)\s*$")


@dataclass
class Up:
    """A running `ebbtide up`."""

    process: asyncio.subprocess.Process
    port: int
    admin: int
    log: Path
    state: Path
    client: httpx.AsyncClient

    async def model(self, name: str) -> dict:
        """What the admin port says of a model."""
        answer = await self.client.get(f"http://127.0.0.1:{self.admin}/api/models/{name}")
        answer.raise_for_status()
        return answer.json()

    async def until(self, name: str, condition, *, timeout: float = 30.0) -> dict:
        """The model's state as soon as `condition(state)` holds."""
        async with asyncio.timeout(timeout):
            while True:
                state = await self.model(name)
                if condition(state):
                    return state
                await asyncio.sleep(0.02)

    async def crowd(self, calls: Sequence[tuple[str, bytes]]) -> list[httpx.Response]:
        """Many inferences at once, (model, body) each, each on a connection of its own.

        Not through httpx: its pool looks at every connection for every request.
        """
        return await asyncio.gather(*(self._one_of_many(name, body) for name, body in calls))

    async def _one_of_many(self, name: str, body: bytes) -> httpx.Response:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = (
            f"POST /v2/models/{name}/infer HTTP/1.1\r\nHost: ebbtide\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            writer.write(head.encode() + body)
            raw = await asyncio.wait_for(reader.read(), 120)
        finally:
            writer.close()
        start, _, content = raw.partition(b"\r\n\r\n")
        status, *fields = start.decode().split("\r\n")
        headers = [tuple(field.split(": ", 1)) for field in fields]
        return httpx.Response(int(status.split()[1]), headers=headers, content=content)

    async def infer(self, name: str, body: bytes, *, timeout: float = 60.0) -> httpx.Response:
        """A V2 inference through the gateway."""
        return await self.client.post(
            f"http://127.0.0.1:{self.port}/v2/models/{name}/infer",
            content=body,
            headers={"content-type": "application/json"},
            timeout=timeout,
        )

    def replica_pids(self) -> list[int]:
        """The pids of every process below this ebbtide."""
        return descendants(self.process.pid)

    async def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 60)


@asynccontextmanager
async def up(
    folder: Path,
    *,
    gpus: int,
    tritonserver: Path | None = None,
    flags: Sequence[str] = (),
    **settings: str,
) -> AsyncIterator[Up]:
    """Start it on free ports over `folder`; stopped at the end, however that comes."""
    state = folder / "state"
    log = folder / "ebbtide.log"
    environ = {
        **{key: value for key, value in os.environ.items() if not key.startswith("EBBTIDE_")},
        **({} if tritonserver is None else {"EBBTIDE_TRITONSERVER": str(tritonserver)}),
        "EBBTIDE_STATE_DIR": str(state),
        **{f"EBBTIDE_{key.upper()}": value for key, value in settings.items()},
    }
    command = [sys.executable, "-m", "ebbtide", "up", str(folder), "--gpus", str(gpus)]
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command,
            "--port",
            "0",
            "--admin-port",
            "0",
            *flags,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=environ,
        )
    limits = httpx.Limits(max_connections=2000, max_keepalive_connections=2000)
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:
        try:
            ports = await asyncio.wait_for(_ports(process), 30)
            one = Up(process, ports["requests"], ports["admin"], log, state, client)
            yield one
        except BaseException:
            sys.stderr.write(log.read_text()[-6000:])
            raise
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), 30)
                except TimeoutError:
                    process.kill()
                    await process.wait()


async def _ports(process: asyncio.subprocess.Process) -> dict[str, int]:
    found: dict[str, int] = {}
    while len(found) < 2:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError("ebbtide up ended before it said its addresses")
        match = _ADDRESS.match(line.decode())
        if match:
            found[match[1]] = int(match[3])
    return found


def descendants(pid: int) -> list[int]:
    """Every living process below `pid` (zombies left out)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            state, parent = stat.rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.name))
    found: list[int] = []
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def alive(pid: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"

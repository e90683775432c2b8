"""`ebbtide up` over the small model server, and programs that ask it from outside."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes import local
from tests.local.upped import Up, up
from tests.wire.secured import Authority

SERVER = Path(__file__).with_name("model.py")


@dataclass(frozen=True)
class Served:
    """A running ebbtide, and how clients reach it."""

    ebbtide: Up
    url: str
    trusted: str | None

    @property
    def address(self) -> str:
        return self.url.partition("://")[2]

    @property
    def trust(self) -> list[str]:
        """The file with the authority that clients have to trust, if there is one."""
        return [self.trusted] if self.trusted else []

    def at(self, name: str) -> str:
        """The URL of a plain model."""
        return f"{self.url}/models/{name}"

    async def once(self, *names: str) -> None:
        """Each was woken once, and nothing is left of any call."""
        for name in names:
            state = await self.ebbtide.until(
                name, lambda one: one["running"] == one["waiting"] == 0, timeout=10
            )
            assert state["cold_starts"] == 1, state


def site(
    folder: Path, clients: Path, name: str, *, load_s: float = 1.0, **annotations: str
) -> None:
    """Add a model that runs `model.py`: plain, all of it open, unless annotations say otherwise."""
    command = [str(clients), str(SERVER), "$(POD_IP)", "8000", str(folder), str(load_s)]
    own = {key.replace("_", "-"): value for key, value in annotations.items()}
    own = {"slots": "64", "max-replicas": "1", "keep-alive": "1h", **own}
    document = local.manifest(name, gpus=0, command=command, annotations=own)
    if "runtime" in annotations:
        # The other runtimes have their own lists of what may pass.
        del document["metadata"]["annotations"]["ebbtide.dev/allow"]  # type: ignore[index]
    local.write(folder, document)


@asynccontextmanager
async def served(
    folder: Path, *, gpus: int = 0, tritonserver: Path | None = None, tls: bool = False, **settings
) -> AsyncIterator[Served]:
    """Start ebbtide over the models in `folder`; `tls`: as ``localhost``, by its own authority."""
    authority = Authority(folder) if tls else None
    if authority:
        settings["tls_cert"] = authority.certificate("localhost", "127.0.0.1")
    async with up(folder, gpus=gpus, tritonserver=tritonserver, **settings) as ebbtide:
        scheme, host = ("https", "localhost") if authority else ("http", "127.0.0.1")
        trusted = authority.trusted if authority else None
        yield Served(ebbtide, f"{scheme}://{host}:{ebbtide.port}", trusted)


async def run(
    *command: str | Path,
    within: float = 60.0,
    env: Mapping[str, str] | None = None,
    stdin: Path | None = None,
    rc: int = 0,
) -> str:
    """What a program wrote to standard output; it has to end with `rc` in that time."""
    words = [str(word) for word in command]
    async with started(words, env=env, stdin=stdin) as process:
        out, err = await asyncio.wait_for(process.communicate(), within)
    said = f"{' '.join(words)[:300]}\n{out.decode()[-4000:]}\n{err.decode()[-4000:]}"
    assert process.returncode == rc, f"ended with {process.returncode}: {said}"
    return out.decode()


@asynccontextmanager
async def started(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: Path | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process with a session of its own, which ends with the block, and all that it started."""
    given = os.open(stdin or os.devnull, os.O_RDONLY)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=given,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**(os.environ if env is None else env), "NO_PROXY": "*", "no_proxy": "*"},
            start_new_session=True,
        )
    finally:
        os.close(given)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # Reads on to the end, so that nothing of the process is left to the garbage collector.
        await process.communicate()

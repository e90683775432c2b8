"""The GPUs of this machine: how many there are, and which replica holds which.

Rule 1: `--gpus N` counts N of them. Where the machine has that many real ones, they are the first
        N of these; where it has fewer, they are imaginary: counted, but not told to anyone.
Rule 2: without it those are counted that nvidia-smi shows and CUDA_VISIBLE_DEVICES leaves.
Rule 3: a replica sees its own GPUs only, so one that asks for none sees none; where they are
        imaginary nothing is hidden.
"""

import asyncio
import contextlib
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["GPU_CLASS", "Gpus", "count_gpus", "visible"]

GPU_CLASS = "gpu"
"""The one class that all GPUs of this machine are of."""

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_QUERY = ("--query-gpu=index,uuid,name", "--format=csv,noheader")
_PATIENCE = 10.0
_COLUMNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """The GPUs that may be handed out."""

    ids: tuple[str, ...]
    """UUIDs of real ones, or made-up names."""
    real: bool
    """Whether the machine has them."""
    counted: bool = True
    """False when nobody said how many and none was found."""

    def visible(self, held: Sequence[str]) -> Mapping[str, str]:
        """What tells a replica that it may use `held`."""
        return {_VISIBLE: ",".join(held)} if self.real else {}


async def count_gpus(given: int | None, environ: Mapping[str, str]) -> Gpus:
    """The GPUs to hand out, `given` by the operator or found by nvidia-smi."""
    found = visible(await _ask(environ), environ.get(_VISIBLE))
    if given is None:
        return Gpus(ids=found, real=bool(found), counted=bool(found))
    if 0 < given <= len(found):
        return Gpus(ids=found[:given], real=True)
    # With 0 given on a machine that has some, replicas must not use them: real, but none.
    real = given == 0 and bool(found)
    return Gpus(ids=tuple(f"imaginary-{number}" for number in range(given)), real=real)


def visible(rows: Sequence[tuple[str, str]], allowed: str | None) -> tuple[str, ...]:
    """The UUIDs among `rows` (index, UUID) that CUDA_VISIBLE_DEVICES leaves; None: all."""
    if allowed is None:
        return tuple(uuid for _, uuid in rows)
    names = [name.strip() for name in allowed.split(",")]
    return tuple(uuid for name in names if name for index, uuid in rows if name in (index, uuid))


async def _ask(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Index and UUID of each GPU; empty without a driver that answers in time."""
    tool = shutil.which("nvidia-smi", path=environ.get("PATH", ""))
    if tool is None:
        return []
    try:
        process = await asyncio.create_subprocess_exec(
            tool, *_QUERY, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        )
    except OSError:
        return []
    try:
        async with asyncio.timeout(_PATIENCE):
            output, _ = await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return []
    rows = [line.split(", ") for line in output.decode(errors="replace").splitlines()]
    return [(row[0], row[1]) for row in rows if process.returncode == 0 and len(row) == _COLUMNS]

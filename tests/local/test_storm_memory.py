"""A storm of clients that give up, against a model that never wakes: memory stays flat."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.local.accounts import accounted
from tests.local.plain_models import write_plain_model
from tests.local.upped import up

pytestmark = [pytest.mark.anyio, pytest.mark.soak]

_RATE = 200
_SLEEPS = "import time; time.sleep(1e6)"
_SETTLE_S = 6.0
_WINDOW_S = 5.0
_GROWTH_MIB = 8.0


async def storm(port: int, seconds: float) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("storm_load.py")),
        str(port),
        "/models/stuck/predict",
        str(_RATE),
        str(seconds),
        stdout=asyncio.subprocess.PIPE,
    )


async def test_memory_stays_flat_sockets_included(tmp_path, soak_seconds, capsys):
    # It runs and never listens.
    program = ("-c", _SLEEPS, "$(POD_IP)")
    write_plain_model(tmp_path, "stuck", *program, allow="POST /predict", start_timeout="2h")
    async with up(tmp_path, gpus=0, log_level="warning") as ebbtide:
        with accounted(ebbtide.process.pid) as account:
            load = await storm(ebbtide.port, soak_seconds)
            told = asyncio.ensure_future(load.communicate())
            samples: list[float] = []
            while not told.done():
                samples.append(account.mib())
                await asyncio.wait((told,), timeout=1.0)
            counts = json.loads((await told)[0])
            state = await ebbtide.until("stuck", lambda s: s["waiting"] == 0)
            left, way = account.mib(), account.way
            # It leaves the group by ending.
            await ebbtide.stop()
    settle, window = int(_SETTLE_S), int(_WINDOW_S)
    early, late = max(samples[settle : settle + window]), max(samples[-window:])
    with capsys.disabled():
        print(
            f"\nstorm of {_RATE}/s for {soak_seconds:.0f} s, {way}: "
            f"{early:.1f} MiB at first, {late:.1f} at the end, {left:.1f} after it; {counts}"
        )
    assert (state["running"], state["phase"]) == (0, "loading")
    assert counts["sent"] == counts["gave_up"] == _RATE * soak_seconds
    assert late - early < _GROWTH_MIB, samples

"""Clients that give up, again and again, while a model wakes slowly."""

import asyncio
import itertools
import json
import sys
from pathlib import Path

import httpx
import pytest

from tests.local.upped import up

pytestmark = [pytest.mark.anyio, pytest.mark.soak]

_LOAD_S = 10.0
_STORM_S = 8.0
_CLIENTS = 200


def recorder(folder: Path) -> dict:
    program = Path(__file__).with_name("recorder_server.py")
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "slow",
            "annotations": {
                "ebbtide.dev/model": "slow",
                "ebbtide.dev/runtime": "plain",
                "ebbtide.dev/allow": "POST /predict",
                "ebbtide.dev/keep-alive": "1s",
                "ebbtide.dev/slots": "8",
                "ebbtide.dev/max-replicas": "1",
            },
        },
        "spec": {
            "template": {
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [
                        {
                            "name": "model",
                            "command": [sys.executable, str(program)],
                            "args": [
                                "$(POD_IP)",
                                "9000",
                                str(folder / "recorded"),
                                str(_LOAD_S),
                                "0",
                            ],
                            "ports": [{"name": "http", "containerPort": 9000}],
                        }
                    ],
                }
            }
        },
    }


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def recorded(folder: Path) -> list[str]:
    file = folder / "recorded"
    return (
        [json.loads(line)["id"] for line in file.read_text().splitlines()] if file.exists() else []
    )


async def storm(url: str, ids, *, seconds: float) -> int:
    """`_CLIENTS` clients that each give up after a second, again and again; how many did."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    gave_up = 0

    async def client() -> None:
        nonlocal gave_up
        while loop.time() < end:
            with pytest.raises(httpx.TimeoutException):
                await http.post(url, content=b"x" * 100, headers={"x-id": next(ids)})
            gave_up += 1

    limits = httpx.Limits(max_connections=2 * _CLIENTS)
    async with httpx.AsyncClient(timeout=1.0, limits=limits, trust_env=False) as http:
        await asyncio.gather(*(client() for _ in range(_CLIENTS)))
    return gave_up


async def test_clients_that_give_up_leave_nothing_behind(tmp_path, models_env, soak_seconds):
    (tmp_path / "slow.json").write_text(json.dumps(recorder(tmp_path)))
    ids = (str(n) for n in itertools.count())
    warm: list[str] = []
    sizes: list[float] = []
    async with up(tmp_path, gpus=0, tritonserver=models_env, log_level="warning") as ebbtide:
        url = f"http://127.0.0.1:{ebbtide.port}/models/slow/predict"
        for _ in range(max(1, int(soak_seconds / 20))):
            assert await storm(url, ids, seconds=_STORM_S) >= _CLIENTS * 5
            sizes.append(rss_mib(ebbtide.process.pid))
            state = await ebbtide.until("slow", lambda s: s["waiting"] == 0, timeout=2)
            assert state["phase"] in {"loading", "ready"}, "the wake was not carried through"
            await ebbtide.until("slow", lambda s: s["phase"] == "ready")
            state = await ebbtide.model("slow")
            assert state["waiting"] == state["running"] == 0
            warm.append(next(ids))
            answer = await ebbtide.client.post(url, content=b"y", headers={"x-id": warm[-1]})
            assert answer.status_code == 200
            assert "cold" not in answer.headers["server-timing"]
            assert recorded(tmp_path) == warm, "a request whose client had left was dispatched"
            await ebbtide.until("slow", lambda s: s["phase"] == "asleep")
        # Some 1,600 clients a round come and go: what they took must be given back.
        assert sizes[-1] - sizes[0] < 16
        assert sizes[0] < 160

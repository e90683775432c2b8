"""Clients that give up, again and again, while a model wakes slowly."""

import asyncio
import itertools
import json
import sys
from pathlib import Path

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


async def gives_up(port: int, number: str) -> None:
    """One client that hangs up after a second without an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        "POST /models/slow/predict HTTP/1.1\r\nHost: ebbtide\r\n"
        f"X-Id: {number}\r\nContent-Length: 100\r\n\r\n"
    )
    try:
        writer.write(head.encode() + b"x" * 100)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 1.0)
    finally:
        writer.close()


async def storm(port: int, ids, *, seconds: float) -> int:
    """`_CLIENTS` clients that each give up after a second, again and again; how many did."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    gave_up = 0

    async def client() -> None:
        nonlocal gave_up
        while loop.time() < end:
            await gives_up(port, next(ids))
            gave_up += 1

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
            assert await storm(ebbtide.port, ids, seconds=_STORM_S / 2) >= _CLIENTS * 2
            half = rss_mib(ebbtide.process.pid)
            assert await storm(ebbtide.port, ids, seconds=_STORM_S / 2 - 1) >= _CLIENTS * 2
            sizes.append(rss_mib(ebbtide.process.pid))
            assert sizes[-1] - half < 4, "what one wave of clients took was not given back"
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
        # Some 1,400 clients a round come and go.
        assert sizes[-1] - sizes[0] < 16

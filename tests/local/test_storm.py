"""Clients that give up, again and again, while a model wakes slowly."""

import asyncio
import contextlib
import itertools
import json
import time
from pathlib import Path

import pytest

from tests.local import recorder_server
from tests.local.plain_models import write_plain_model
from tests.local.upped import up

pytestmark = [pytest.mark.anyio, pytest.mark.soak]

_LOAD_S = 10.0
_MINUTE_S = 60.0
_CLIENTS = 200
_RACE_S = 0.05
"""A client may give up while its request is on its way. On a busy machine that takes longer, and
how long is measured: see `Storm.on_its_way`."""


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def recorded(folder: Path) -> dict[str, float]:
    """When each request reached the model, Unix time, by its identity."""
    lines = [json.loads(line) for line in (folder / "recorded").read_text().splitlines()]
    assert len(lines) == len({line["id"] for line in lines}), "a request came twice"
    return {line["id"]: line["at"] for line in lines}


class Storm:
    """200 clients that each give up after a second without an answer, again and again."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.ids = (str(n) for n in itertools.count())
        self.left: dict[str, float] = {}
        """When each client that gave up did, Unix time, by its request's identity."""
        self.answered = 0
        self._turns: list[tuple[float, float]] = []
        """When ebbtide was asked what it answers at once, and when it had; Unix time."""

    async def blow(self, seconds: float) -> None:
        """Go on for `seconds`, and until the last client has its answer or has given up."""
        end = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            over = asyncio.Event()
            group.create_task(self._wait_for_turns(over))
            await asyncio.gather(*(self._client(end) for _ in range(_CLIENTS)))
            over.set()

    def on_its_way(self, left: float, came: float) -> float:
        """How long a request may have been: ebbtide waits for its turn on the CPU to see a client
        leave, and the model to write down what came, each as long as who asked meanwhile."""
        asked = [end - began for began, end in self._turns if began <= came and end >= left]
        return _RACE_S + 2 * max(asked, default=0.0)

    async def _wait_for_turns(self, over: asyncio.Event) -> None:
        while not over.is_set():
            began = time.time()
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"GET /v2/health/live HTTP/1.1\r\nHost: ebbtide\r\n\r\n")
            assert await reader.read(1)
            self._turns.append((began, time.time()))
            await _closed(writer)
            await asyncio.sleep(0.01)

    async def _client(self, end: float) -> None:
        while asyncio.get_running_loop().time() < end:
            if await self._asks(next(self.ids)):
                self.answered += 1
                await asyncio.sleep(0.5)

    async def _asks(self, number: str) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = (
            "POST /models/slow/predict HTTP/1.1\r\nHost: ebbtide\r\n"
            f"X-Id: {number}\r\nContent-Length: 100\r\n\r\n"
        )
        try:
            writer.write(head.encode() + b"x" * 100)
            return bool(await asyncio.wait_for(reader.read(1), 1.0))
        except TimeoutError:
            await _closed(writer)
            # Not before: 200 of them take turns, and the other side is told by the close.
            self.left[number] = time.time()
            return False
        finally:
            await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_clients_that_give_up_leave_nothing_behind(tmp_path, models_env, soak_seconds):
    write_plain_model(
        tmp_path,
        "slow",
        *(recorder_server.__file__, "$(POD_IP)", "9000", str(tmp_path / "recorded")),
        *(str(_LOAD_S), "0"),
        allow="POST /predict",
        keep_alive="1s",
        slots="8",
        max_replicas="1",
    )
    sizes: list[float] = []
    async with up(tmp_path, gpus=0, tritonserver=models_env, log_level="warning") as ebbtide:
        storm = Storm(ebbtide.port)
        url = f"http://127.0.0.1:{ebbtide.port}/models/slow/predict"
        # In full, a storm of a minute again and again; else one, until the model is ready.
        for _ in range(max(1, int(soak_seconds / _MINUTE_S))):
            gave_up = len(storm.left)
            await storm.blow(_LOAD_S / 2)
            half = rss_mib(ebbtide.process.pid)
            await storm.blow(min(soak_seconds, _MINUTE_S) - _LOAD_S)
            sizes.append(rss_mib(ebbtide.process.pid))
            assert len(storm.left) - gave_up >= _CLIENTS * 5
            assert storm.answered > 0, "the wake was not carried through"
            assert sizes[-1] - half < 6, "what the clients took was not given back"
            state = await ebbtide.until("slow", lambda s: s["running"] == 0)
            assert state["waiting"] == 0
            warm = next(storm.ids)
            answer = await ebbtide.client.post(url, content=b"y", headers={"x-id": warm})
            assert answer.status_code == 200
            assert "cold" not in answer.headers["server-timing"]
            reached = recorded(tmp_path)
            assert warm in reached
            late = {
                number: (came - left, storm.on_its_way(left, came))
                for number, left in storm.left.items()
                if (came := reached.get(number, 0.0)) > left + storm.on_its_way(left, came)
            }
            assert not late, "a request whose client had left was dispatched"
            await ebbtide.until("slow", lambda s: s["phase"] == "asleep")
        assert sizes[-1] - sizes[0] < 16

"""`ebbtide up --workers 2`: one port and one admin port over two processes, come what may."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.fakes import local
from tests.fakes.local import manifest
from tests.local.upped import Up, alive, up

pytestmark = pytest.mark.anyio

SERVER = Path(__file__).with_name("counting_server.py")
TWO = ("--workers", "2")


def model(name: str, *, gpus: int = 0, **annotations: str) -> dict[str, object]:
    command = [sys.executable, "-I", "-S", str(SERVER), "$(POD_IP)"]
    own = {"keep-alive": "1h", "slots": "64", "max-replicas": "1", **annotations}
    return manifest(name, gpus=gpus, grace=1, command=command, annotations=own)


@asynccontextmanager
async def served(
    tmp_path: Path, *models: dict[str, object], gpus: int = 0, **settings: str
) -> AsyncIterator[Up]:
    """Two workers over `models`, the first of which is awake; `a` by default."""
    local.write(tmp_path, *(models or (model("a"),)))
    async with up(tmp_path, gpus=gpus, flags=TWO, **settings) as ebbtide:
        assert await call(ebbtide) == 200
        yield ebbtide


async def call(ebbtide: Up, seconds: float = 0, *, name: str = "a") -> int:
    """A call on a connection of its own; its status, or 0 where there was no answer."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", ebbtide.port)
    except OSError:
        return 0
    target = f"/models/{name}/run?{seconds}"
    writer.write(f"GET {target} HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n".encode())
    try:
        answer = await asyncio.wait_for(reader.read(), 60)
    except OSError:
        return 0
    finally:
        writer.close()
    return int(answer[9:12]) if answer else 0


def calls(ebbtide: Up, number: int, seconds: float = 0, *, name: str = "a"):
    return [asyncio.ensure_future(call(ebbtide, seconds, name=name)) for _ in range(number)]


def workers(ebbtide: Up) -> list[int]:
    """The process ids of the workers that were started last, in order."""
    found: dict[str, int] = {}
    for line in ebbtide.log.read_text().splitlines():
        if " worker_started " in line:
            fields = dict(word.split("=") for word in line.split(" worker_started ")[1].split())
            found[fields["worker"]] = int(fields["pid"])
    return [found[number] for number in sorted(found)]


async def until(condition, *, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def most_inside(ebbtide: Up, name: str = "a") -> int:
    """The most requests that were inside the replica at once since this was asked last."""
    address = (await ebbtide.model(name))["replicas"]["list"][0]["address"]
    return int((await ebbtide.client.get(f"http://{address}:8000/most")).text)


async def requests_total(ebbtide: Up) -> float:
    text = (await ebbtide.client.get(f"http://127.0.0.1:{ebbtide.admin}/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("ebbtide_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def test_a_worker_that_is_killed_takes_only_its_own_requests(tmp_path):
    async with served(tmp_path) as ebbtide:
        assert await asyncio.gather(*calls(ebbtide, 20)) == [200] * 20
        await ebbtide.until("a", lambda state: state["requests"] == 21)
        running = calls(ebbtide, 40, 3.0)
        await ebbtide.until("a", lambda state: state["running"] == 40)
        victim, other = workers(ebbtide)
        os.kill(victim, signal.SIGKILL)
        total = await requests_total(ebbtide)
        assert total >= 21
        # New ones are answered all along: what the dead one had not accepted waits for the next.
        while not all(one.done() for one in running):
            assert await call(ebbtide) == 200
            now = await requests_total(ebbtide)
            assert now >= total, "a counter fell"
            total = now
        answers = [one.result() for one in running]
        assert set(answers) == {200, 0}, "all requests were on one worker"
        assert " worker_died " in ebbtide.log.read_text()
        replaced, same = workers(ebbtide)
        assert (replaced != victim, same == other) == (True, True)
        # The replica that they shared knows of no change.
        state = await ebbtide.until("a", lambda state: state["running"] == 0)
        assert len(state["replicas"]["list"]) == 1
        ready = [entry for entry in state["journal"] if entry["event"] == "ready"]
        assert len(ready) == 1
        answered = 21 + answers.count(200)
        await ebbtide.until("a", lambda state: state["requests"] >= answered)


async def test_a_worker_that_hangs_is_replaced_and_its_new_connections_answered(tmp_path):
    async with served(tmp_path, worker_timeout="2s") as ebbtide:
        before = workers(ebbtide)
        os.kill(before[0], signal.SIGSTOP)
        pending = calls(ebbtide, 20)
        await until(lambda: workers(ebbtide)[0] != before[0])
        assert " worker_hangs " in ebbtide.log.read_text()
        assert set(await asyncio.gather(*pending)) == {200}
        assert workers(ebbtide)[1] == before[1]


async def test_sigterm_drains_both_and_leaves_nothing(tmp_path):
    async with served(tmp_path, model("a", slots="4"), shutdown_grace="20s") as ebbtide:
        running = calls(ebbtide, 8, 1.0)
        await ebbtide.until("a", lambda state: state["running"] + state["waiting"] == 8)
        pids = ebbtide.replica_pids()
        ebbtide.process.send_signal(signal.SIGTERM)
        ready = f"http://127.0.0.1:{ebbtide.admin}/readyz"
        while (await ebbtide.client.get(ready)).status_code != 503:
            await asyncio.sleep(0.01)
        assert await asyncio.gather(*running) == [200] * 8
        assert await ebbtide.stop() == 0
        assert not [pid for pid in pids if alive(pid)]
        log = ebbtide.log.read_text()
        assert all(f" worker_leaving grace=20.000 told=True worker={n}\n" in log for n in "12")


async def test_who_still_waits_at_the_end_is_told_so_and_a_second_signal_ends_at_once(tmp_path):
    async with served(tmp_path, model("a", slots="1"), shutdown_grace="1s") as ebbtide:
        running = calls(ebbtide, 6, 1.5)
        await ebbtide.until("a", lambda state: state["running"] + state["waiting"] == 6)
        ebbtide.process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*running)
        assert set(answers) <= {200, 503, 0}
        assert 503 in answers
        assert await ebbtide.stop() == 0
    folder = tmp_path / "again"
    async with served(folder, shutdown_grace="60s") as ebbtide:
        running = calls(ebbtide, 4, 60.0)
        await ebbtide.until("a", lambda state: state["running"] == 4)
        ebbtide.process.send_signal(signal.SIGTERM)
        await until(lambda: " stopping " in ebbtide.log.read_text())
        assert await asyncio.wait_for(ebbtide.stop(), 10) == 0
        assert await asyncio.gather(*running) == [0] * 4


async def test_the_workers_end_with_the_process_over_them(tmp_path):
    async with served(tmp_path, shutdown_grace="2s") as ebbtide:
        pids = ebbtide.replica_pids()
        assert set(workers(ebbtide)) < set(pids)
        idle = await asyncio.open_connection("127.0.0.1", ebbtide.port)
        ebbtide.process.kill()
        await ebbtide.process.wait()
        await until(lambda: not any(alive(pid) for pid in pids), seconds=5)
        idle[1].close()


@pytest.mark.parametrize(("slots", "most"), [(6, 6), (1, 2)])
async def test_slots_are_all_used_and_never_exceeded_but_for_one_each(tmp_path, slots, most):
    async with served(tmp_path, model("a", slots=str(slots))) as ebbtide:
        await ebbtide.until("a", lambda state: state["running"] == 0)
        await most_inside(ebbtide)
        # Few connections first: wherever they land, the slots follow the demand.
        for number in (3 * slots, 40):
            assert await asyncio.gather(*calls(ebbtide, number, 0.15)) == [200] * number
        assert await most_inside(ebbtide) == most


async def test_an_idle_model_gives_its_gpu_to_one_that_is_called_at_either_worker(tmp_path):
    models = [model(name, gpus=1) for name in "ab"]
    async with served(tmp_path, *models, gpus=1) as ebbtide:
        # So many connections that both workers have some; each must let go of the other's replica.
        for name in "baba":
            assert await asyncio.gather(*calls(ebbtide, 8, name=name)) == [200] * 8
        journal = (await ebbtide.model("a"))["journal"]
        assert sum(entry["event"] == "evicted" for entry in journal) == 2
        assert "expected" not in ebbtide.log.read_text()


async def test_a_model_sleeps_after_its_keep_alive_whichever_worker_was_called_last(tmp_path):
    async with served(tmp_path, model("a", **{"keep-alive": "2s"})) as ebbtide:
        loop = asyncio.get_running_loop()
        for _ in range(5):
            assert await call(ebbtide) == 200
            await asyncio.sleep(0.2)
        ended = loop.time()
        await ebbtide.until("a", lambda state: state["replicas"]["desired"] == 0)
        assert 1.9 < loop.time() - ended < 8
        assert await call(ebbtide) == 200


async def test_a_replica_of_an_old_manifest_finishes_what_runs_on_it(tmp_path):
    async with served(tmp_path, model("a"), model("b")) as ebbtide:
        running = calls(ebbtide, 8, 2.0)
        await ebbtide.until("a", lambda state: state["running"] == 8)
        old = (await ebbtide.model("a"))["replicas"]["list"][0]["replica"]
        changed = model("a")
        changed["spec"]["template"]["metadata"]["labels"]["edition"] = "2"  # type: ignore[index]
        local.write(tmp_path, changed)
        new = await ebbtide.until(
            "a", lambda s: any(r["replica"] != old for r in s["replicas"]["list"])
        )
        assert new["replicas"]["list"]
        assert await asyncio.gather(*running) == [200] * 8
        state = await ebbtide.until(
            "a", lambda s: all(r["replica"] != old for r in s["replicas"]["list"])
        )
        assert await call(ebbtide) == 200
        assert state["errors"] == 0


async def test_settings_read_again_reach_every_worker(tmp_path):
    settings = tmp_path / "settings"
    settings.write_text("EBBTIDE_LIST_MODELS=false\n")
    local.write(tmp_path / "models", model("a"))
    flags = (*TWO, "--settings", str(settings))
    async with up(tmp_path / "models", gpus=0, flags=flags) as ebbtide:
        url = f"http://127.0.0.1:{ebbtide.port}/v1/models"

        async def statuses() -> set[int]:
            found = set()
            for _ in range(12):
                async with httpx.AsyncClient(trust_env=False, verify=False) as client:
                    found.add((await client.get(url)).status_code)
            return found

        assert await statuses() == {404}
        settings.write_text("EBBTIDE_LIST_MODELS=true\n")
        ebbtide.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            while await statuses() != {200}:
                await asyncio.sleep(0.02)
        # And one that comes later begins with them.
        victim = workers(ebbtide)[0]
        os.kill(victim, signal.SIGKILL)
        await until(lambda: workers(ebbtide)[0] != victim)
        assert await statuses() == {200}

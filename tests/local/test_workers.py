"""`ebbtide up --workers 2`: one port and one admin port over two processes, come what may."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.core.keys import EVERY_MODEL, Key, key_line, key_of
from tests.fakes import local
from tests.fakes.local import manifest
from tests.local.upped import Up, alive, up
from tests.wire.secured import Authority

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
        running = calls(ebbtide, 40, 2.0)
        await ebbtide.until("a", lambda state: state["running"] == 40)
        victim, other = workers(ebbtide)
        os.kill(victim, signal.SIGKILL)
        total = await requests_total(ebbtide)
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
        # The replica that they shared knows of no change, and is ready once.
        state = await ebbtide.until("a", lambda state: state["running"] == 0)
        assert len(state["replicas"]["list"]) == 1
        assert sum(entry["event"] == "ready" for entry in state["journal"]) == 1
        await ebbtide.until("a", lambda state: state["requests"] > answers.count(200))


async def test_what_sighup_reads_again_reaches_every_worker_and_those_to_come(tmp_path):
    authority = Authority(tmp_path)
    settings, keys = tmp_path / "settings", tmp_path / "keys"
    settings.write_text("EBBTIDE_LIST_MODELS=false\n")
    secret = key_of(b"x" * 32)
    keys.write_text(key_line(secret, Key(name="ci", models=EVERY_MODEL, trusted=False)) + "\n")
    local.write(tmp_path / "models", model("a"))
    async with up(
        tmp_path / "models",
        gpus=0,
        flags=(*TWO, "--settings", str(settings)),
        api_keys=str(keys),
        tls_cert=authority.certificate("127.0.0.1"),
    ) as ebbtide:

        async def listed(key: str = secret) -> set[tuple[int, int]]:
            """Status and certificate on so many connections that both workers have some."""
            tls, found = authority.client(), set()
            for _ in range(12):
                reader, writer = await asyncio.open_connection("127.0.0.1", ebbtide.port, ssl=tls)
                head = f"GET /v1/models HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {key}\r\n"
                writer.write(f"{head}Connection: close\r\n\r\n".encode())
                shown = writer.get_extra_info("peercert")["serialNumber"]
                found.add((int((await reader.read())[9:12]), int(shown, 16)))
                writer.close()
            return found

        ((status, first),) = await listed()
        assert status == 404
        assert {status for status, _ in await listed("nobody's")} == {401}
        settings.write_text("EBBTIDE_LIST_MODELS=true\n")
        authority.certificate("127.0.0.1")
        ebbtide.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            while {status for status, _ in await listed()} != {200}:
                await asyncio.sleep(0.02)
        ((_, second),) = await listed()
        assert second != first
        victim = workers(ebbtide)[0]
        os.kill(victim, signal.SIGKILL)
        await until(lambda: workers(ebbtide)[0] != victim)
        assert await listed() == {(200, second)}


async def test_a_worker_that_hangs_is_replaced_and_all_end_with_the_one_over_them(tmp_path):
    async with served(tmp_path, worker_timeout="2s", shutdown_grace="30s") as ebbtide:
        before = workers(ebbtide)
        os.kill(before[0], signal.SIGSTOP)
        pending = calls(ebbtide, 20)
        await until(lambda: workers(ebbtide)[0] != before[0])
        assert " worker_hangs " in ebbtide.log.read_text()
        # What the hanging one had not accepted waits for the next.
        assert set(await asyncio.gather(*pending)) == {200}
        assert workers(ebbtide)[1] == before[1]
        pids = ebbtide.replica_pids()
        assert set(workers(ebbtide)) < set(pids)
        _, idle = await asyncio.open_connection("127.0.0.1", ebbtide.port)
        running = calls(ebbtide, 8, 60.0)
        await ebbtide.until("a", lambda state: state["running"] == 8)
        ebbtide.process.kill()
        await ebbtide.process.wait()
        # Replicas end at once, whoever else was started since; then nothing is left to wait for.
        await until(lambda: not any(alive(pid) for pid in pids), seconds=10)
        assert set(await asyncio.gather(*running)) <= {0, 502, 503}
        idle.close()


async def test_sigterm_drains_both_and_who_still_waits_at_the_end_is_told_so(tmp_path):
    models = (model("a", slots="4"), model("b", slots="1"))
    async with served(tmp_path, *models, shutdown_grace="5s", shutdown_delay="1s") as ebbtide:
        assert await call(ebbtide, name="b") == 200
        running = calls(ebbtide, 8, 1.5)
        hopeless = calls(ebbtide, 6, 30.0, name="b")
        for name, number in (("a", 8), ("b", 6)):
            await ebbtide.until(name, lambda s, n=number: s["running"] + s["waiting"] == n)
        pids = ebbtide.replica_pids()
        ebbtide.process.send_signal(signal.SIGTERM)
        ready = f"http://127.0.0.1:{ebbtide.admin}/readyz"
        while (await ebbtide.client.get(ready)).status_code != 503:
            await asyncio.sleep(0.01)
        own = f"http://127.0.0.1:{ebbtide.port}/v2/health/ready"
        while (await ebbtide.client.get(own)).status_code != 503:
            await asyncio.sleep(0.01)
        assert await call(ebbtide) == 200
        assert await asyncio.gather(*running) == [200] * 8
        assert not any(one.done() for one in hopeless)
        # One runs at each worker that got any; the others waited until the end of the grace time.
        answers = await asyncio.gather(*hopeless)
        assert set(answers) == {503, 0}
        assert answers.count(0) <= 2
        assert await ebbtide.stop() == 0
        assert not [pid for pid in pids if alive(pid)]
        log = ebbtide.log.read_text()
        assert all(f" worker_leaving grace=5.000 told=True worker={n}\n" in log for n in "12")


async def test_slots_are_all_used_and_exceeded_by_no_more_than_one_for_each_worker(tmp_path):
    models = (model("a", slots="6"), model("b", slots="1"))
    async with served(tmp_path, *models, shutdown_grace="60s") as ebbtide:
        assert await call(ebbtide, name="b") == 200
        for name, slots, most in (("a", 6, 6), ("b", 1, 2)):
            await ebbtide.until(name, lambda state: state["running"] == 0)
            await most_inside(ebbtide, name)
            # As many as there are slots: wherever they land, the slots follow within the second,
            # but for the one that the other worker keeps should it have none of them.
            assert set(await asyncio.gather(*calls(ebbtide, slots, 1.0, name=name))) == {200}
            assert await most_inside(ebbtide, name) >= max(1, slots - 1)
            assert set(await asyncio.gather(*calls(ebbtide, 30, 0.1, name=name))) == {200}
            assert await most_inside(ebbtide, name) == most
        # And a second signal ends it at once, whatever runs.
        running = calls(ebbtide, 4, 60.0)
        await ebbtide.until("a", lambda state: state["running"] == 4)
        ebbtide.process.send_signal(signal.SIGTERM)
        await until(lambda: " stopping " in ebbtide.log.read_text())
        assert await asyncio.wait_for(ebbtide.stop(), 10) == 0
        assert await asyncio.gather(*running) == [0] * 4


async def test_gpus_are_given_up_to_others_and_by_idle_models(tmp_path):
    models = [model(name, gpus=1, **{"keep-alive": "2s"}) for name in "ab"]
    async with served(tmp_path, *models, gpus=1) as ebbtide:
        # So many connections that both workers have some; each must let go of the other's replica.
        for name in "baba":
            assert await asyncio.gather(*calls(ebbtide, 8, name=name)) == [200] * 8
        ended = asyncio.get_running_loop().time()
        journal = (await ebbtide.model("a"))["journal"]
        assert sum(entry["event"] == "evicted" for entry in journal) == 2
        await ebbtide.until("a", lambda state: state["replicas"]["desired"] == 0)
        assert 1.9 < asyncio.get_running_loop().time() - ended < 9
        assert await call(ebbtide) == 200


async def test_a_replica_of_an_old_manifest_finishes_what_runs_on_it(tmp_path):
    async with served(tmp_path) as ebbtide:
        running = calls(ebbtide, 8, 4.0)
        await ebbtide.until("a", lambda state: state["running"] == 8)
        (old,) = (await ebbtide.model("a"))["replicas"]["list"]
        changed = model("a")
        changed["spec"]["template"]["metadata"]["labels"]["edition"] = "2"  # type: ignore[index]
        local.write(tmp_path, changed)

        def drains(state: dict) -> bool:
            found = {one["replica"]: one["phase"] for one in state["replicas"]["list"]}
            return found.get(old["replica"]) == "draining"

        await ebbtide.until("a", drains)
        assert not any(one.done() for one in running)
        assert await call(ebbtide) == 200
        assert await asyncio.gather(*running) == [200] * 8
        await ebbtide.until("a", lambda state: not drains(state))

"""The main job, through `ebbtide up` and real Triton processes: what the project promises."""

import asyncio
import os
import signal

import httpx
import pytest

from tests.local.triton_models import answer_of, infer_body, write_model
from tests.local.upped import alive, up

pytestmark = [pytest.mark.anyio, pytest.mark.triton]


async def test_a_thousand_at_once_to_one_sleeping_model(tmp_path, models_env):
    write_model(tmp_path, "double", load_s=1.0, slots=4)
    async with up(tmp_path, gpus=1, tritonserver=models_env) as ebbtide:
        answers = await ebbtide.crowd([("double", infer_body(n)) for n in range(1000)])
        assert {answer.status_code for answer in answers} == {200}
        results = [answer_of(answer.content) for answer in answers]
        assert [doubled for doubled, _ in results] == [2 * n for n in range(1000)]
        # Each was run exactly once, by one process.
        assert sorted(count for _, count in results) == list(range(1, 1001))
        assert all("wait;dur=" in answer.headers["server-timing"] for answer in answers)
        state = await ebbtide.model("double")
        assert state["cold_starts"] == 1
        assert state["waiting"] == state["running"] == 0


async def test_they_are_dispatched_in_order_of_arrival(tmp_path, models_env):
    # One slot, so that the order Triton runs them in is the order they were dispatched in; each
    # is sent only when the one before is known to wait.
    gate = tmp_path / "all-wait"
    write_model(tmp_path, "double", gate=str(gate), slots=1)
    async with up(tmp_path, gpus=1, tritonserver=models_env) as ebbtide:
        calls = []
        for n in range(200):
            calls.append(asyncio.ensure_future(ebbtide.infer("double", infer_body(n))))
            await ebbtide.until("double", lambda state, n=n: state["waiting"] == n + 1)
        gate.touch()
        answers = await asyncio.gather(*calls)
        assert [answer_of(answer.content)[1] for answer in answers] == list(range(1, 201))


async def test_four_models_share_two_gpus_and_lose_nothing(tmp_path, models_env):
    names = ["one", "two", "three", "four"]
    for name in names:
        write_model(tmp_path, name, slots=4)
    async with up(tmp_path, gpus=2, tritonserver=models_env) as ebbtide:
        answers = await ebbtide.crowd([(names[n % 4], infer_body(n)) for n in range(1000)])
        assert {answer.status_code for answer in answers} == {200}
        assert [answer_of(a.content)[0] for a in answers] == [2 * n for n in range(1000)]
        # In turn: what sleeps now needs the GPU of one that does not.
        for name in names[:3]:
            assert (await ebbtide.infer(name, infer_body(1))).status_code == 200
        journal = (await ebbtide.model("one"))["journal"]
        assert any(entry["event"] == "evicted" for entry in journal)
        gpus = (await ebbtide.client.get(f"http://127.0.0.1:{ebbtide.admin}/api/gpus")).json()
        assert gpus["gpus"][0]["total"] == 2


async def test_a_replica_killed_while_fifty_run(tmp_path, models_env):
    hold = tmp_path / "hold"
    write_model(tmp_path, "double", hold=str(hold), slots=50)
    async with up(tmp_path, gpus=1, tritonserver=models_env) as ebbtide:
        assert (await ebbtide.infer("double", infer_body(0))).status_code == 200
        before = ebbtide.replica_pids()
        hold.touch()
        calls = [asyncio.ensure_future(ebbtide.infer("double", infer_body(n))) for n in range(50)]
        await ebbtide.until("double", lambda state: state["running"] == 50)
        for pid in before:
            if "tritonserver" in _command(pid):
                os.kill(pid, signal.SIGKILL)
        hold.unlink()
        answers = await asyncio.gather(*calls)
        # Inference is repeatable and the bodies were kept: they were sent again.
        assert {answer.status_code for answer in answers} == {200}
        assert [answer_of(answer.content)[0] for answer in answers] == [2 * n for n in range(50)]
        assert (await ebbtide.infer("double", infer_body(3))).status_code == 200
        state = await ebbtide.model("double")
        assert state["waiting"] == state["running"] == 0


async def test_a_request_that_kills_its_replica_is_not_sent_a_third_time(tmp_path, models_env):
    manifest = write_model(tmp_path, "poison", slots=2)
    code = tmp_path / "models/poison/poison/1/model.py"
    code.write_text(
        code.read_text().replace(
            "            time.sleep(self.run_s)\n",
            "            if values[0] == 666:\n"
            "                import os, signal\n"
            "                os.kill(os.getppid(), signal.SIGKILL)\n"
            "            time.sleep(self.run_s)\n",
        )
    )
    assert manifest.exists()
    async with up(tmp_path, gpus=1, tritonserver=models_env) as ebbtide:
        answer = await ebbtide.infer("poison", infer_body(666))
        assert answer.status_code == 502
        assert answer.headers["ebbtide-reason"] == "replica_lost"
        assert (await ebbtide.infer("poison", infer_body(1))).status_code == 200


async def test_a_model_that_cannot_start_says_so_and_is_mended(tmp_path, models_env):
    write_model(tmp_path, "broken", fail="the weights are missing")
    write_model(tmp_path, "double")
    async with up(tmp_path, gpus=2, tritonserver=models_env) as ebbtide:
        broken = asyncio.ensure_future(ebbtide.infer("broken", infer_body(1)))
        assert (await ebbtide.infer("double", infer_body(1))).status_code == 200
        answer = await broken
        assert answer.status_code == 503
        assert answer.headers["ebbtide-reason"] == "start_failed"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert "weights" not in answer.text, "causes are for the admin port"
        state = await ebbtide.until("broken", lambda state: state["replicas"]["desired"] == 0)
        assert "the weights are missing" in state["last_error"]["message"]
        again = await ebbtide.infer("broken", infer_body(1), timeout=2)
        assert again.headers["ebbtide-reason"] == "start_failed"
        write_model(tmp_path, "broken", slots=3)
        await ebbtide.until("broken", lambda state: state["phase"] == "asleep")
        assert (await ebbtide.infer("broken", infer_body(4))).status_code == 200


async def test_a_warm_model_never_has_more_inside_than_its_slots(tmp_path, models_env):
    write_model(tmp_path, "slow", run_s=3.0, slots=2)
    async with up(tmp_path, gpus=1, tritonserver=models_env) as ebbtide:
        assert (await ebbtide.infer("slow", infer_body(0))).status_code == 200
        hurried = (ebbtide.infer("slow", infer_body(n), timeout=0.2) for n in range(10))
        left = await asyncio.gather(*hurried, return_exceptions=True)
        assert all(isinstance(one, httpx.ReadTimeout) for one in left)
        patient = asyncio.ensure_future(ebbtide.infer("slow", infer_body(1)))
        most = 0
        while not patient.done():
            state = await ebbtide.model("slow")
            most = max(most, state["running"], await _inside_triton(ebbtide))
            await asyncio.sleep(0.02)
        assert (await patient).status_code == 200
        # Those who left while running kept their slots: nothing queued up inside Triton.
        assert most <= 2
        assert answer_of((await patient).content)[1] <= 4


async def test_manifests_are_taken_over_while_running(tmp_path, models_env):
    write_model(tmp_path, "first")
    async with up(tmp_path, gpus=2, tritonserver=models_env) as ebbtide:
        assert (await ebbtide.infer("second", infer_body(1))).status_code == 404
        write_model(tmp_path, "second", run_s=1.0)
        await ebbtide_knows(ebbtide, "second")
        running = asyncio.ensure_future(ebbtide.infer("second", infer_body(2)))
        await ebbtide.until("second", lambda state: state["running"] == 1)
        (tmp_path / "second.json").unlink()
        assert (await running).status_code == 200, "lost a request in flight"
        for _ in range(100):
            if (await ebbtide.infer("second", infer_body(1))).status_code == 404:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("still served after its manifest was removed")


async def test_sigterm_finishes_what_runs_and_stops_everything(tmp_path, models_env):
    write_model(tmp_path, "double", run_s=1.5, slots=1, max_replicas=1)
    write_model(tmp_path, "never", load_s=600)
    async with up(tmp_path, gpus=2, tritonserver=models_env, shutdown_grace="6s") as ebbtide:
        assert (await ebbtide.infer("double", infer_body(0))).status_code == 200
        hopeless = asyncio.ensure_future(ebbtide.infer("never", infer_body(1)))
        await ebbtide.until("never", lambda s: s["replicas"]["starting"] == 1)
        running = [asyncio.ensure_future(ebbtide.infer("double", infer_body(n))) for n in range(2)]
        await ebbtide.until("double", lambda s: s["running"] + s["waiting"] == 2)
        pids = ebbtide.replica_pids()
        assert pids
        assert await _readiness(ebbtide) == 200
        ebbtide.process.send_signal(signal.SIGTERM)
        # Whoever balances load over several is told at once, not when the last one is done.
        while await _readiness(ebbtide) != 503:
            assert not running[-1].done(), "ready to the last"
            await asyncio.sleep(0.02)
        assert not running[-1].done()
        for answer in await asyncio.gather(*running):
            assert answer.status_code == 200
        refused = await hopeless
        assert refused.status_code == 503
        assert refused.headers["ebbtide-reason"] == "shutting_down"
        assert "retry-after" in refused.headers
        assert await ebbtide.stop() == 0
        assert not [pid for pid in pids if alive(pid)]


async def test_kill_9_of_ebbtide_leaves_no_process_a_second_later(tmp_path, models_env):
    write_model(tmp_path, "double")
    write_model(tmp_path, "loading", load_s=600)
    async with up(tmp_path, gpus=2, tritonserver=models_env) as ebbtide:
        assert (await ebbtide.infer("double", infer_body(0))).status_code == 200
        waiting = asyncio.ensure_future(ebbtide.infer("loading", infer_body(0)))
        await ebbtide.until("loading", lambda s: s["replicas"]["starting"] == 1)
        # Launcher, server and stub of each.
        async with asyncio.timeout(10):
            while len(pids := ebbtide.replica_pids()) < 6:
                await asyncio.sleep(0.02)
        ebbtide.process.kill()
        await ebbtide.process.wait()
        async with asyncio.timeout(1.5):
            while any(alive(pid) for pid in pids):
                await asyncio.sleep(0.02)
        waiting.cancel()
        await asyncio.wait([waiting])


async def ebbtide_knows(ebbtide, name: str) -> None:
    async with asyncio.timeout(10):
        while True:
            url = f"http://127.0.0.1:{ebbtide.admin}/api/models/{name}"
            if (await ebbtide.client.get(url)).status_code == 200:
                return
            await asyncio.sleep(0.02)


async def _inside_triton(ebbtide) -> int:
    """Requests queued inside Triton, plus the one its single instance runs."""
    address = (await ebbtide.model("slow"))["replicas"]["list"][0]["address"]
    answer = await ebbtide.client.get(f"http://{address}:8002/metrics")
    for line in answer.text.splitlines():
        if line.startswith("nv_inference_pending_request_count{"):
            return int(float(line.rpartition(" ")[2])) + 1
    raise AssertionError("Triton shows no pending count")


async def _readiness(ebbtide) -> int:
    return (await ebbtide.client.get(f"http://127.0.0.1:{ebbtide.admin}/readyz")).status_code


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as comm:
            return comm.read()
    except OSError:
        return ""


async def test_load_brings_a_second_replica_and_its_end_lets_all_sleep(tmp_path, models_env):
    write_model(tmp_path, "busy", run_s=0.3, slots=2, keep_alive="4s", max_replicas=2)
    async with up(tmp_path, gpus=2, tritonserver=models_env) as ebbtide:
        stop = asyncio.Event()

        async def caller() -> int:
            calls = 0
            while not stop.is_set():
                assert (await ebbtide.infer("busy", infer_body(1))).status_code == 200
                calls += 1
            return calls

        callers = [asyncio.ensure_future(caller()) for _ in range(8)]
        state = await ebbtide.until("busy", lambda s: s["replicas"]["ready"] == 2, timeout=60)
        assert [entry["after"] for entry in state["journal"] if entry["event"] == "scaled"] == [2]
        assert state["decision"]["inputs"]
        stop.set()
        assert sum(await asyncio.gather(*callers)) >= 8
        await ebbtide.until("busy", lambda s: s["phase"] == "asleep", timeout=30)
        cost = (await ebbtide.client.get(f"http://127.0.0.1:{ebbtide.admin}/api/cost")).json()
        (line,) = cost["models"]
        states = sum(line[state] for state in ("starting", "serving", "idle", "draining"))
        assert states == pytest.approx(line["allocated"])
        assert line["serving"] > 1

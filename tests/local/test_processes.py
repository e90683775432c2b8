"""Replicas as process trees: whose port is open, how they end, and that nothing outlives them."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleet.clock import LoopClock
from fleet.cluster.local import logs
from fleet.cluster.local.launcher import descendants
from fleet.cluster.local.podspec import Launch
from fleet.cluster.local.process import Process, spawn
from fleet.model import Phase
from fleet.reasons import Reason
from tests.fakes import local
from tests.fakes.local import alive, free_port, local_cluster, manifest, named, open_ones, until

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]
SOON = 1.0


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "manifests"


async def ended(pids: list[int], *, within: float) -> bool:
    """Whether all of `pids` end within so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while any(map(alive, pids)):
                await asyncio.sleep(0.02)
    return not any(map(alive, pids))


def strays(log: Path) -> list[int]:
    """The processes that the tiny server says it started."""
    found = re.search(r"strays (\d+) (\d+)", log.read_text())
    return [int(pid) for pid in found.groups()] if found else []


HOST = """
import asyncio, sys
from pathlib import Path
from tests.fakes.local import local_cluster, open_ones, until

async def main() -> None:
    async with local_cluster(Path(sys.argv[1])) as cluster:
        await until(cluster, lambda fleet: open_ones(fleet, "a") and open_ones(fleet, "b"))
        print("open", flush=True)
        await asyncio.Event().wait()

if sys.argv[2] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize("modes", [("children",), ("children", "deaf")])
async def test_kill_9_of_ebbtide_leaves_no_process_a_second_later(
    folder: Path, modes: tuple[str, ...]
) -> None:
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    local.write(folder, *(manifest(name, *modes, replicas=1) for name in "ab"))
    host = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOST, str(folder), loop, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert host.stdout is not None
    try:
        async with asyncio.timeout(local.PATIENCE):
            assert await host.stdout.readline() == b"open\n"
        pids = descendants(host.pid)
        # For each of the two: launcher, server, child, and the grandchild in another session.
        assert len(pids) == 8
        assert all(map(alive, pids))
    finally:
        host.kill()
    assert await ended(pids, within=SOON)
    await host.wait()


async def test_kill_9_of_a_launcher_leaves_no_process_and_the_replica_fails(folder: Path) -> None:
    local.write(folder, manifest("a", "children", replicas=1))
    async with local_cluster(folder) as cluster:
        await until(cluster, lambda fleet: open_ones(fleet, "a"))
        (log,) = (folder.parent / "state" / "logs" / "default").glob("*.log")
        pids = strays(log)
        launcher = next(
            pid for pid in descendants(os.getpid()) if set(pids) < set(descendants(pid))
        )
        pids += [launcher, *descendants(launcher)]
        os.kill(launcher, signal.SIGKILL)
        assert await ended(pids, within=SOON)
        fleet = await until(cluster, lambda fleet: fleet.of(named("a"))[0].phase is Phase.FAILED)
        assert fleet.gpus[0].free == 2
        assert "launcher was killed" in fleet.of(named("a"))[0].message


async def test_what_a_command_leaves_behind_dies_with_it(folder: Path) -> None:
    local.write(folder, manifest("a", "children", replicas=1))
    async with local_cluster(folder) as cluster:
        fleet = await until(cluster, lambda fleet: open_ones(fleet, "a"))
        (log,) = (folder.parent / "state" / "logs" / "default").glob("*.log")
        pids = strays(log)
        assert len(pids) == 2
        assert all(map(alive, pids))
        await local.wanted(cluster, "a", 0)
        fleet = await until(cluster, lambda fleet: not fleet.of(named("a")))
        # The GPU is free only now, and now nothing is left.
        assert fleet.gpus[0].free == 2
        assert not any(map(alive, pids))


async def test_a_server_that_ignores_sigterm_is_killed_after_its_grace_period(
    folder: Path,
) -> None:
    local.write(folder, manifest("a", "deaf", replicas=1, grace=1))
    async with local_cluster(folder) as cluster:
        await until(cluster, lambda fleet: open_ones(fleet, "a"))
        loop = asyncio.get_running_loop()
        began = loop.time()
        await local.wanted(cluster, "a", 0)
        await until(cluster, lambda fleet: not fleet.of(named("a")))
        assert 0.9 < loop.time() - began < 3


async def test_stopping_takes_one_grace_period_however_many_there_are(folder: Path) -> None:
    local.write(folder, *(manifest(name, "deaf", replicas=2, gpus=0, grace=1) for name in "ab"))
    loop = asyncio.get_running_loop()
    others = set(descendants(os.getpid()))
    async with local_cluster(folder) as cluster:
        fleet = await until(cluster, lambda f: all(len(open_ones(f, name)) == 2 for name in "ab"))
        pids = set(descendants(os.getpid())) - others
        assert len(pids) >= 8
        began = loop.time()
    assert loop.time() - began < 3
    assert not any(map(alive, pids))
    assert not (folder.parent / "state" / "run").exists() or not list(
        (folder.parent / "state" / "run").iterdir()
    )
    assert fleet.number < cluster.fleet().number
    assert not cluster.fleet().replicas


async def test_an_address_is_told_only_when_the_replica_itself_listens(folder: Path) -> None:
    port = free_port()
    local.write(folder, manifest("a", "wildcard", replicas=1, port=port))
    async with local_cluster(folder) as cluster:
        # It listens on all addresses, its own among them.
        await until(cluster, lambda fleet: open_ones(fleet, "a"))
        seen = []
        cluster.subscribe(lambda fleet: seen.extend(fleet.of(named("b"))))
        local.write(folder, manifest("b", "slow", replicas=1, port=port))
        fleet = await until(
            cluster, lambda f: [r for r in f.of(named("b")) if r.phase is Phase.FAILED]
        )
        (failed,) = fleet.of(named("b"))
        assert failed.reason is Reason.ADDRESS_IN_USE
        assert "listens on all addresses" in failed.message
        assert f"port {port}" in failed.message
        assert not any(replica.address for replica in seen)
        loading = [r.reason for r in seen if r.phase is Phase.LOADING]
        assert loading == [Reason.STARTING, Reason.ADDRESS_IN_USE]
        assert open_ones(fleet, "a")


async def test_a_command_that_cannot_be_executed_says_so(folder: Path) -> None:
    local.write(folder, manifest("a", replicas=1, command=["no-such-server", "--now"]))
    async with local_cluster(folder) as cluster:
        fleet = await until(cluster, lambda f: f.of(named("a"))[0].phase is Phase.FAILED)
        (failed,) = fleet.of(named("a"))
        assert failed.reason is Reason.CANNOT_EXECUTE
        assert failed.message == "cannot execute no-such-server: No such file or directory"


def words(*argv: str, folder: Path, grace: float = 5.0) -> Launch:
    return Launch(
        argv=argv,
        env={"PATH": os.environ["PATH"], "EMPTY": "", "TWO": "a=b\nc"},
        cwd=folder,
        directories=(),
        files={},
        modes={},
        grace=grace,
    )


@contextlib.asynccontextmanager
async def running(launch: Launch, log: Path) -> AsyncIterator[Process]:
    process = await spawn(launch, marker=f"test:{os.getpid()}:{log}", log=log)
    try:
        yield process
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 0", "exited with code 0"),
        ("exit 7", "exited with code 7"),
        ("kill -SEGV $$", "killed by SIGSEGV"),
        ("kill -9 $$", "killed by SIGKILL"),
    ],
)
async def test_an_end_is_told_in_words(tmp_path: Path, script: str, said: str) -> None:
    launch = words("sh", "-c", script, folder=tmp_path)
    async with running(launch, tmp_path / "log") as process:
        assert str(await process.end(LoopClock())) == said


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    launch = words("true", folder=tmp_path / "none")
    async with running(launch, tmp_path / "log") as process:
        ending = await process.end(LoopClock())
    assert str(ending) == f"cannot execute {tmp_path / 'none'}: No such file or directory"


async def test_a_command_gets_its_words_environment_and_nothing_else(tmp_path: Path) -> None:
    script = 'import os, sys; print(sys.argv[1:], [repr(os.environ[k]) for k in ("EMPTY", "TWO")])'
    script += "; print(sorted(os.listdir('/proc/self/fd')), os.getsid(0) == os.getpid())"
    launch = words(sys.executable, "-I", "-c", script, "", "a b", "$(X)", folder=tmp_path)
    log = tmp_path / "log"
    async with running(launch, log) as process:
        assert (await process.end(LoopClock())).code == 0
    first, second = log.read_text().splitlines()
    assert first == r"""['', 'a b', '$(X)'] ["''", "'a=b\\nc'"]"""
    # 3 is the listing itself.
    assert second == "['0', '1', '2', '3'] True"


async def test_sigterm_reaches_the_command_and_its_exit_code_comes_back(tmp_path: Path) -> None:
    script = "trap 'echo asked; exit 5' TERM; echo up; while :; do sleep 0.02; done"
    log = tmp_path / "log"
    async with running(words("sh", "-c", script, folder=tmp_path), log) as process:
        async with asyncio.timeout(local.PATIENCE):
            while "up" not in (log.read_text() if log.exists() else ""):
                await asyncio.sleep(0.01)
        process.terminate()
        process.terminate()
        assert (await process.end(LoopClock())).code == 5
    assert log.read_text() == "up\nasked\n"


async def test_a_cancelled_wait_kills_the_tree(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with running(words("sh", "-c", "sleep 60 & sleep 60", folder=tmp_path), log) as process:
        async with asyncio.timeout(local.PATIENCE):
            while len(pids := descendants(process.pid)) < 3:
                await asyncio.sleep(0.01)
        task = asyncio.ensure_future(process.end(LoopClock()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not any(map(alive, pids))


def test_a_log_that_grows_too_large_keeps_its_end(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * 17 * 2**20 + b"\nlast\n")
    logs.bound(log)
    assert log.stat().st_size == 0
    kept = tmp_path / "a.log.1"
    assert kept.stat().st_size == 2**20
    assert kept.read_bytes().endswith(b"last\n")
    log.write_text("small\n")
    logs.bound(log)
    assert log.read_text() == "small\n"


def test_a_tail_is_the_last_lines_whatever_they_hold(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert logs.tail(log) == ()
    log.write_bytes(b"".join(b"%d\n" % n for n in range(100_000)) + b"\xff" + b"y" * 5000)
    lines = logs.tail(log)
    assert len(lines) == 200
    assert lines[-2] == "99999"
    assert lines[-1] == "\ufffd" + "y" * 1999


def test_only_the_last_logs_of_a_deployment_are_kept(tmp_path: Path) -> None:
    for number in range(30):
        for name in (f"a-abc12-{number}", f"a-b-abc12-{number}"):
            log = logs.open_place(tmp_path, name)
            log.touch()
            os.utime(log, (number, number))
    names = {log.name for log in tmp_path.iterdir()}
    assert len(names) == 20
    assert {"a-abc12-29.log", "a-b-abc12-29.log", "a-abc12-20.log"} <= names
    assert "a-abc12-19.log" not in names


async def test_the_command_dies_with_its_launcher_though_nobody_looks(tmp_path: Path) -> None:
    async with running(words("sleep", "60", folder=tmp_path), tmp_path / "log") as process:
        async with asyncio.timeout(local.PATIENCE):
            while not (pids := descendants(process.pid)):
                await asyncio.sleep(0.01)
            while "sleep 60" not in local.command(pids[0]):
                await asyncio.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        assert await ended(pids, within=SOON)
        assert str(await process.end(LoopClock())) == "its launcher was killed"

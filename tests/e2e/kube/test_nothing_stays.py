"""A cluster of our own leaves nothing on the machine, neither stopped nor killed."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kube.ground import clean_up_after_the_dead

_ROOT = Path(__file__).resolve().parents[3]
_NAME = re.compile(r"ebbt-[0-9a-f]{8}")


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def _cluster() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A cluster in a process of its own, and its name."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.kube"],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    ) as process:
        assert process.stdout is not None
        said = _NAME.search(process.stdout.readline())
        assert said is not None
        try:
            yield process, said[0]
        finally:
            process.kill()


def _processes(name: str) -> list[str]:
    """Command lines of living processes that name it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if name in text:
            found.append(text)
    return found


def _ended(name: str) -> bool:
    end = time.monotonic() + 20.0
    while _processes(name):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _left(name: str) -> list[str]:
    """Whatever of it is still on this machine."""
    left = [line for line in _run("ip", "link").splitlines() if name in line]
    left += [line for line in _run("ip", "route").splitlines() if name in line]
    left += [line for line in Path("/proc/self/mounts").read_text().splitlines() if name in line]
    left += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{name}")]
    left += [str(path) for path in Path(tempfile.gettempdir()).glob(f"*/{name}")]
    return left + _processes(name)


def test_a_stopped_cluster_leaves_nothing() -> None:
    filters = _run("iptables-save")
    with _cluster() as (process, name):
        assert _left(name), "a cluster that runs can be seen"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60.0) == 0
    assert _ended(name)
    assert _left(name) == []
    assert _plain(_run("iptables-save")) == _plain(filters)


def test_what_a_killed_one_leaves_is_cleaned_up_by_the_next() -> None:
    filters = _run("iptables-save")
    with _cluster() as (process, name):
        process.kill()
        process.wait()
    assert _ended(name), "its parts end with it"
    assert name in clean_up_after_the_dead()
    assert _left(name) == []
    assert _plain(_run("iptables-save")) == _plain(filters)


def test_a_living_one_is_left_alone() -> None:
    with _cluster() as (process, name):
        assert name not in clean_up_after_the_dead()
        assert _processes(name)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60.0)


def _plain(rules: str) -> list[str]:
    """Without the times and counters in it."""
    return [line for line in rules.splitlines() if line.startswith("-")]

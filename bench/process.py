"""One process that is measured: started, waited for, read from /proc, and ended by its id.

Rule 1: CPU time and memory are those of this process, and of `with_children` its direct ones;
        a gateway is asked without, since its children are model servers.
Rule 2: it gets its own log file, and whoever waits for it sees the log's end when it dies early.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

__all__ = ["DiedError", "Process", "free_port", "listening"]

_STOP_S = 40.0


class DiedError(Exception):
    """A process ended, or did not get ready, before it could be measured."""


class Process:
    """A context manager around one started command; leaving it ends the process."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._name = Path(command[0]).name
        self._log = log
        # Should the benchmark itself be killed, its processes are told to end too.
        guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        with log.open("wb") as out:
            self._popen = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def wait_until(self, holds: Callable[[], bool], *, what: str, seconds: float = 20.0) -> None:
        """Return once `holds()`. Raises `DiedError` when the process ends or time runs out."""
        until = time.monotonic() + seconds
        while not holds():
            if self._popen.poll() is not None:
                raise DiedError(self._explain(f"ended with {self._popen.returncode}"))
            if time.monotonic() > until:
                raise DiedError(self._explain(f"not {what} after {seconds:g} s"))
            time.sleep(0.02)

    def cpu_s(self, *, with_children: bool = False) -> float:
        """User plus system time so far, in seconds."""
        pids = [self.pid, *(_children(self.pid) if with_children else ())]
        return sum(_cpu_s(pid) for pid in pids)

    def rss_bytes(self, *, with_children: bool = False) -> int:
        """Resident memory."""
        pids = [self.pid, *(_children(self.pid) if with_children else ())]
        return sum(_pages(pid) for pid in pids) * os.sysconf("SC_PAGE_SIZE")

    def forget_peak(self) -> None:
        """Begin anew with the peak of resident memory."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """The most memory that was resident at once since then, of this process alone."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def stop(self) -> int:
        """SIGTERM, and SIGKILL for the whole session when that does not help; the exit code."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
            try:
                self._popen.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
        return self._popen.wait()

    def _explain(self, what: str) -> str:
        tail = self._log.read_text(errors="replace").strip().splitlines()[-8:]
        return "\n  ".join([f"{self._name} {what}", *tail])


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening(host: str, port: int) -> bool:
    """Whether a connection is taken there."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _cpu_s(pid: int) -> float:
    # The process's own CPU clock (clock_getcpuclockid), in nanoseconds; /proc counts hundredths.
    return time.clock_gettime((~pid << 3) | 2)


def _pages(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])

"""How much memory a process takes, its sockets' buffers included.

As root a cgroup is made for it, which counts both; else its RSS is taken, and what all TCP sockets
of the machine take beyond what they took before.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")
_NO_LIMIT = str(2**40)


@contextmanager
def accounted(pid: int) -> Iterator["Account"]:
    """The account of a process, which has ended when this does."""
    account = Account(pid)
    try:
        yield account
    finally:
        account.close()


class Account:
    """The memory of one process and of those it starts from now on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._tcp = _all_tcp()
        self._group: Path | None = None
        self._files: tuple[str, ...] = ()
        if os.geteuid() == 0:
            with suppress(OSError):
                self._found(pid)

    @property
    def way(self) -> str:
        """How it is counted, for the printed line."""
        if self._group is None:
            return "RSS + TCP memory of the machine (no cgroup to be had)"
        return f"cgroup {' + '.join(self._files)}"

    def mib(self) -> float:
        """What it takes now."""
        if self._group is not None:
            return sum(int((self._group / file).read_text()) for file in self._files) / 2**20
        for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                rss = int(line.split()[1]) * 1024
                return (rss + _all_tcp() - self._tcp) / 2**20
        raise AssertionError("no VmRSS")

    def close(self) -> None:
        """Remove the group."""
        if self._group is not None:
            self._group.rmdir()
            self._group = None

    def _found(self, pid: int) -> None:
        """Make the group. Raises `OSError` where there is none to be had."""
        v1 = (_V1 / "cgroup.procs").exists()
        group = (_V1 if v1 else _V2) / f"ebbtide-test-{pid}"
        group.mkdir()
        try:
            if v1:
                # Sockets are only counted once there is a limit to them.
                (group / "memory.kmem.tcp.limit_in_bytes").write_text(_NO_LIMIT)
                files = ("memory.usage_in_bytes", "memory.kmem.tcp.usage_in_bytes")
            else:
                files = ("memory.current",)
            for file in files:
                (group / file).read_text()
            (group / "cgroup.procs").write_text(str(pid))
        except OSError:
            group.rmdir()
            raise
        self._group, self._files = group, files


def _all_tcp() -> int:
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            return int(line.split()[-1]) * _PAGE
    raise AssertionError("no TCP line")

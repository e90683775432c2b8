"""The ground a cluster with a real node stands on: a folder, addresses, a cgroup; taken back whole.

Rule 1: processes, mounts, network links and packet filters of a node live in namespaces of its own
        (see `node`), and end with it, however it ends. Only what is named here outlives it: the
        folder and the cgroups.
Rule 2: whoever holds the lock in a folder is alive. What nobody holds was left by a run that died,
        and is cleaned up by the next one before it begins.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from scripts.kube.binaries import MissingError, on_machine

__all__ = ["Ground", "clean_up_after_the_dead", "take_ground"]

_CGROUPS = Path("/sys/fs/cgroup")
_LAST_S = 20.0
_OCTETS = range(100, 200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What one cluster may use; all names of its things outside the folder hold `name`."""

    name: str
    folder: Path
    octet: int
    lock: IO[str]

    @property
    def host(self) -> str:
        """This machine, as the node and its pods see it."""
        return f"10.{self.octet}.255.1"

    @property
    def node(self) -> str:
        return f"10.{self.octet}.255.2"

    @property
    def pods(self) -> str:
        return f"10.{self.octet}.0.0/17"

    @property
    def services(self) -> str:
        return f"10.{self.octet}.128.0/18"

    @property
    def all_addresses(self) -> str:
        return f"10.{self.octet}.0.0/16"

    @property
    def link(self) -> str:
        """The machine's end of the wire to the node; at most 15 characters."""
        return self.name

    @property
    def cgroup(self) -> str:
        return f"/{self.name}"

    def give_back(self) -> None:
        """Remove all that is left of it; its processes have ended."""
        _remove(self.name, self.folder)
        self.lock.close()


def take_ground() -> Ground:
    """Room for one more cluster. Raises `MissingError` without root or iproute2."""
    if os.geteuid() != 0:
        raise MissingError(
            "a node of our own needs root; or name a cluster: EBBTIDE_E2E_KUBECONFIG=FILE"
        )
    if on_machine("ip") is None:
        raise MissingError("a node needs the program `ip`; on Debian: apt-get install iproute2")
    clean_up_after_the_dead()
    name = f"ebbt-{secrets.token_hex(4)}"
    folder = _root() / name
    folder.mkdir(parents=True)
    lock = (folder / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return Ground(name=name, folder=folder, octet=_free_octet(), lock=lock)


def clean_up_after_the_dead() -> list[str]:
    """Remove what runs left that did not end by themselves; their names."""
    removed = []
    for folder in sorted(_root().glob("ebbt-*")):
        try:
            lock = (folder / "lock").open("a")
        except OSError:
            continue
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            _remove(folder.name, folder)
            removed.append(folder.name)
    return removed


def _root() -> Path:
    return Path(tempfile.gettempdir()) / "ebbtide-clusters"


def _remove(name: str, folder: Path) -> None:
    if name in _links():
        subprocess.run([_ip(), "link", "delete", name], check=True, capture_output=True)
    end = time.monotonic() + _LAST_S
    while not _cgroups_removed(name):
        if time.monotonic() > end:
            raise TimeoutError(f"cgroups of {name} stay, with processes {_processes_in(name)}")
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def _ip() -> str:
    return on_machine("ip") or "ip"


def _links() -> set[str]:
    said = subprocess.run([_ip(), "-json", "link"], check=True, capture_output=True).stdout
    return {link["ifname"] for link in json.loads(said)}


def _free_octet() -> int:
    """The N of a 10.N.0.0/16 to which no route of this machine leads."""
    said = subprocess.run([_ip(), "-json", "route"], check=True, capture_output=True).stdout
    taken = {int(match[1]) for match in re.finditer(rb"\b10\.(\d+)\.", said)}
    return next(octet for octet in _OCTETS if octet not in taken)


def _cgroups(name: str) -> Iterator[Path]:
    """Its group in every hierarchy: one with cgroup v2, else one for each controller."""
    for hierarchy in (_CGROUPS, *_CGROUPS.iterdir()):
        group = hierarchy / name
        if group.is_dir() and not hierarchy.is_symlink():
            yield group


def _processes_in(name: str) -> set[int]:
    pids: set[int] = set()
    for group in _cgroups(name):
        for procs in group.rglob("cgroup.procs"):
            pids |= {int(pid) for pid in procs.read_text().split()}
    return pids - {0}


def _cgroups_removed(name: str) -> bool:
    """One try: a group goes once the last of its processes has gone, from the leaves up."""
    for pid in _processes_in(name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try:
        for group in _cgroups(name):
            for folder, _, _ in os.walk(group, topdown=False):
                os.rmdir(folder)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True

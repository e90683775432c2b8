"""This machine as a node: containerd and kubelet, kube-proxy and CoreDNS, and pods that run.

Rule 1: the node has a process, a mount and a network namespace of its own. They end with its first
        process, and that ends with the thread that started it: no mount, link, route, filter or
        process is left on the machine.
Rule 2: one wire leads in. Pods and Services are reached from this machine by their own addresses,
        and they reach the machine at the wire's other end.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.kube.binaries import MissingError, cni_folder, find, lacking_on_machine, on_machine
from tests.kube.ground import Ground
from tests.kube.images import PAUSE
from tests.kube.node_files import NodePlan, configuration_files, steps

__all__ = ["Node"]

_ROOT = Path(__file__).resolve().parents[2]
_INNER = "eth0"
_PROCESSES = 4
"""For how many the cluster's pods count on a busy machine."""


class Node:
    """Started by `start()`; its kubelet registers it with the API server by `kubeconfig`."""

    def __init__(self, ground: Ground, *, kubeconfig: Path, images: Sequence[Path]) -> None:
        lacks = lacking_on_machine()
        cni = cni_folder()
        if lacks or cni is None:
            raise MissingError(
                f"a node needs {', '.join(lacks)}; on Debian and Ubuntu: "
                f"apt-get install {' '.join(sorted(set(lacks.values())))}"
            )
        self._ground = ground
        self._process: subprocess.Popen[bytes] | None = None
        self.plan = NodePlan(
            name="node-1",
            folder=ground.folder,
            binaries=find("kubelet").parent,
            cni=cni,
            address=ground.node,
            pods=ground.pods,
            cgroup=ground.cgroup,
            kubeconfig=kubeconfig,
            pause=PAUSE,
            images=images,
        )

    def lay_wire(self) -> None:
        """Make the namespaces, with a wire to them: the machine's end has its address then."""
        ground = self._ground
        namespaces = ["--net", "--mount", "--pid", "--mount-proc"]
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, "--fork"]
        command += ["--kill-child=KILL", sys.executable, "-m", "tests.kube.node_init"]
        (ground.folder / "log").mkdir(exist_ok=True)
        with (ground.folder / "log" / "node.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
            )
        inside = str(self._first_process())
        _ip("link", "add", ground.link, "type", "veth", "peer", _INNER, "netns", inside)
        _ip("address", "add", f"{ground.host}/30", "dev", ground.link)
        _ip("link", "set", ground.link, "up")
        _ip_in(inside, "link", "set", "lo", "up")
        _ip_in(inside, "address", "add", f"{ground.node}/30", "dev", _INNER)
        _ip_in(inside, "link", "set", _INNER, "up")
        _ip_in(inside, "route", "add", "default", "via", ground.host)
        _ip("route", "add", ground.all_addresses, "via", ground.node)

    def start(self) -> None:
        """Start its programs; the API server answers by now."""
        for name, text in configuration_files(self.plan).items():
            path = self.plan.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        _make_cgroup(self.plan.cgroup)
        folders = [str(self.plan.binaries), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
        task = {"steps": steps(self.plan), "env": {**os.environ, "PATH": ":".join(folders)}}
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task).encode() + b"\n")
        self._process.stdin.flush()

    def check_running(self) -> None:
        """Raises `RuntimeError` with what it last said, when it has ended."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"the node has ended: {self.logs()}")

    def logs(self) -> str:
        """The ends of what its programs have written."""
        files = sorted((self.plan.folder / "log").glob("*.log"))
        return "\n".join(f"{each.stem}: ...{each.read_text()[-1500:]}" for each in files)

    def ctr(self, *arguments: str) -> str:
        """What containerd's own client answers, for this node's pods."""
        command = [str(find("ctr")), "-a", str(self.plan.socket), "-n", "k8s.io", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def kill_container(self, container: str) -> None:
        """SIGKILL to its first process; dead when it returns, with its sockets closed."""
        self.ctr("tasks", "kill", "--signal", "SIGKILL", container)
        end = time.monotonic() + 30.0
        while self._runs(container):
            if time.monotonic() > end:
                raise TimeoutError(f"{container} lives on after SIGKILL")
            time.sleep(0.01)

    def _runs(self, container: str) -> bool:
        rows = [line.split() for line in self.ctr("tasks", "list").splitlines()]
        return any(row[0] == container and row[-1] == "RUNNING" for row in rows)

    def stop(self) -> None:
        """End the first process, and with it all."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None

    def _first_process(self) -> int:
        """The first process inside, by its number on this machine."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        end = time.monotonic() + 10.0
        while time.monotonic() < end:
            found = children.read_text().split() if children.exists() else []
            if found and "node_init" in Path(f"/proc/{found[0]}/cmdline").read_text():
                return int(found[0])
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError(f"no namespaces for a node: {self.logs()}")


def _make_cgroup(name: str) -> None:
    """One in each hierarchy: kubelet makes its own below, and never its root."""
    for hierarchy in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
        if (hierarchy / "cgroup.procs").exists() and not hierarchy.is_symlink():
            group = hierarchy / name.strip("/")
            if _is_hierarchy(hierarchy):
                group.mkdir(exist_ok=True)
                _inherit_cpus(group)
                _weigh(group)


def _is_hierarchy(folder: Path) -> bool:
    """Its mount point, not a group within it."""
    return os.path.ismount(folder)


def _inherit_cpus(group: Path) -> None:
    """A new group of cgroup v1's cpuset has no CPUs: nothing could run in it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        own, above = group / name, group.parent / name
        if own.exists() and above.exists() and not own.read_text().strip():
            own.write_text(above.read_text())


def _weigh(group: Path) -> None:
    """A group counts as one process beside its neighbours; this one holds a whole cluster."""
    for name in ("cpu.shares", "cpu.weight"):
        weight = group / name
        if weight.exists():
            weight.write_text(str(_PROCESSES * int(weight.read_text())))


def _ip(*arguments: str) -> None:
    subprocess.run([on_machine("ip") or "ip", *arguments], check=True, capture_output=True)


def _ip_in(pid: str, *arguments: str) -> None:
    command = ["nsenter", "-t", pid, "-n", on_machine("ip") or "ip", *arguments]
    subprocess.run(command, check=True, capture_output=True)

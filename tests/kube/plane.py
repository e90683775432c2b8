"""A control plane of real programs: etcd, kube-apiserver, controllers, scheduler; no kubelet.

Enough for watches, scale writes, leases, RBAC, admission and Events; pods are made and scheduled,
and stay Pending. Each part can be killed and started again at the same place.

Rule 1: its parts die with the thread that started them, also when that is killed.
Rule 2: all it writes is below one folder.
"""

import json
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from scripts.kube.binaries import find
from tests.kube.admin import Admin, write_kubeconfig
from tests.kube.parts import AUDITED, PARTS, Site, command_lines

__all__ = ["ControlPlane", "free_port"]

_TRIES = 3
_CLIENTS = ("kube-controller-manager", "kube-scheduler")
"""Those that are told by the API server what there is to do."""
_START_S = 60.0


class ControlPlane:
    """Started by `start()`; `admin` may do anything."""

    def __init__(
        self,
        folder: Path,
        *,
        address: str = "127.0.0.1",
        services: str = "10.96.0.0/16",
        real_nodes: bool = False,
    ) -> None:
        self._folder = folder
        self._address = address
        self._services = services
        self._real_nodes = real_nodes
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.token = secrets.token_hex(16)
        self._lay_out()

    def start(self) -> None:
        """Ready when it returns: `/readyz` says so and the namespace `default` is there."""
        for last in range(_TRIES - 1, -1, -1):
            try:
                self._start_all()
            except _EndedError:
                # Somebody else took a port between our look and the start.
                self.stop()
                if not last:
                    raise
            else:
                return

    def stop(self) -> None:
        """Kill every part: what they hold is not wanted again."""
        for part in reversed(PARTS):
            self.kill(part)
        if hasattr(self, "admin"):
            self.admin.close()

    def kill(self, part: str) -> None:
        """SIGKILL; nothing when it does not run."""
        process = self._running.pop(part, None)
        if process is not None:
            process.kill()
            process.wait()

    def start_part(self, part: str) -> None:
        """As at first, with what it had written; see `wait_ready`."""
        if part in self._running:
            raise ValueError(f"{part} runs already")
        arguments = command_lines(self._site)[part]
        with (self._folder / "log" / f"{part}.log").open("ab") as log:
            self._running[part] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", str(find(part)), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def pid(self, part: str) -> int:
        return self._running[part].pid

    @contextmanager
    def without(self, part: str) -> Iterator[None]:
        """`part` killed; on leaving started again, and all ready."""
        self.kill(part)
        try:
            yield
        finally:
            self.start_part(part)
            self.wait_ready()
            self.start_clients_anew()

    def start_clients_anew(self) -> None:
        """To be called once the API server is back: who has asked it in vain rests for up to 45 s
        (client-go's pauses double, and are remembered), in which no pod would be made."""
        for part in _CLIENTS:
            self.kill(part)
            self.start_part(part)

    def compact(self) -> None:
        """etcd forgets all versions but the present ones."""
        store = f"http://127.0.0.1:{self._site.etcd_port}/v3/kv"
        with httpx.Client(trust_env=False) as client:
            # A key is base64 there: this is one that is not kept.
            held = client.post(f"{store}/range", json={"key": "bm9uZQ=="}).raise_for_status()
            revision = held.json()["header"]["revision"]
            client.post(
                f"{store}/compaction", json={"revision": revision, "physical": True}
            ).raise_for_status()

    def wait_ready(self, *, timeout: float = _START_S) -> None:
        """Until the API server says that it is."""
        end = time.monotonic() + timeout
        while not self.admin.ready():
            self._check_running()
            if time.monotonic() > end:
                raise TimeoutError(f"not ready within {timeout} s; {self.log('kube-apiserver')}")
            time.sleep(0.03)

    def log(self, part: str) -> str:
        """The end of what `part` has written."""
        text = (self._folder / "log" / f"{part}.log").read_text(errors="replace")
        return f"{part}: ...{text[-2000:]}"

    def audited(self) -> list[dict[str, Any]]:
        """Requests that the API server has noted, in the order in which they ended."""
        lines = (self._folder / "log" / "audit.log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def kubeconfig_for(self, token: str, *, name: str) -> Path:
        """A kubeconfig for the bearer of `token`, as service accounts have one."""
        path = self._folder / f"kubeconfig-{name}"
        return write_kubeconfig(path, url=self.url, ca=self.ca, token=token)

    def bearer(self, token: str) -> Admin:
        """A client with the rights of whoever `token` belongs to; the caller closes it."""
        return Admin.of_token(self.url, token=token, ca=self.ca)

    def account_token(self, namespace: str, account: str, *, pod: str = "") -> str:
        """A token of a service account, good for an hour; bound to a pod, as pods get theirs."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        bound = {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod}} if pod else {}
        made = self.admin.post(path, {"spec": {"expirationSeconds": 3600, **bound}})
        return str(made["status"]["token"])

    def _lay_out(self) -> None:
        keys = self._folder / "pki"
        keys.mkdir(parents=True)
        (self._folder / "log").mkdir()
        subprocess.run(
            ["openssl", "genrsa", "-out", str(keys / "accounts.key"), "2048"],
            check=True,
            capture_output=True,
        )
        (keys / "tokens.csv").write_text(f'{self.token},admin,1,"system:masters"\n')
        (self._folder / "audit-policy.json").write_text(json.dumps(AUDITED))
        self.ca = keys / "apiserver.crt"

    def _start_all(self) -> None:
        shutil.rmtree(self._folder / "etcd", ignore_errors=True)
        self._site = Site(
            folder=self._folder,
            address=self._address,
            port=free_port(self._address),
            etcd_port=free_port(),
            peer_port=free_port(),
            services=self._services,
            real_nodes=self._real_nodes,
        )
        self.url = f"https://{self._address}:{self._site.port}"
        self.kubeconfig = write_kubeconfig(
            self._folder / "kubeconfig", url=self.url, ca=self.ca, token=self.token
        )
        self.start_part("etcd")
        self.start_part("kube-apiserver")
        self._wait_for_certificate()
        self.admin = Admin.of_token(self.url, token=self.token, ca=self.ca)
        self.wait_ready()
        self.start_clients_anew()
        self.admin.until("/api/v1/namespaces/default/serviceaccounts/default", bool)

    def _wait_for_certificate(self) -> None:
        """The API server makes its own at first start; its key is written last."""
        end = time.monotonic() + _START_S
        while not self.ca.with_suffix(".key").exists():
            self._check_running()
            if time.monotonic() > end:
                raise TimeoutError(f"no certificate; {self.log('kube-apiserver')}")
            time.sleep(0.02)

    def _check_running(self) -> None:
        for part, process in self._running.items():
            if process.poll() is not None:
                raise _EndedError(f"ended with {process.returncode}; {self.log(part)}")


class _EndedError(Exception):
    """A part is not running; the text has its last words."""


def free_port(address: str = "127.0.0.1") -> int:
    """One that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])

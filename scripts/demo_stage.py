"""What the demo stands on: ebbtide as a child process, its admin port, and the terminal."""

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, NoReturn

import httpx
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ebbtide.top_view import screen

__all__ = ["Broken", "Ebbtide", "Stage"]

_ADDRESS = re.compile(r"^\s*(requests|admin)\s+http://([0-9.]+):(\d+)\s*$")
_START_S = 60.0
_STOP_S = 60.0
_PR_SET_PDEATHSIG = 1


class Broken(Exception):  # noqa: N818  # its text is what the user is told
    """The demo cannot go on; the text says why."""


class Ebbtide:
    """`ebbtide up` on free ports. Its output goes to a log file."""

    def __init__(self, command: list[str], *, settings: dict[str, str], log: Path) -> None:
        self._command = command
        self._settings = settings
        self._log = log
        self._ports: dict[str, int] = {}
        self._told = threading.Condition()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where models are called: HOST:PORT."""
        return f"127.0.0.1:{self._ports['requests']}"

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self._ports['admin']}"

    def start(self) -> None:
        """Returns when it says that it is ready. Raises `Broken` with the end of its log."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        others = {name: v for name, v in os.environ.items() if not name.startswith("EBBTIDE_")}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*self._command, "--port", _port(8080), "--admin-port", _port(8081)],
                env={**others, **self._settings, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Ctrl-C is for the demo, which then stops ebbtide in its own time.
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        threading.Thread(target=self._read, daemon=True).start()
        deadline = time.monotonic() + _START_S
        while not self._is_ready():
            if self._process.poll() is not None:
                self._give_up(f"ended with exit code {self._process.returncode}")
            if time.monotonic() > deadline:
                self._give_up(f"was not ready after {_START_S:.0f} s")
            with self._told:
                self._told.wait(0.1)

    def wait(self) -> NoReturn:
        """Does not return while it runs. Raises `Broken` when it ends."""
        assert self._process is not None
        self._give_up(f"ended by itself with exit code {self._process.wait()}")

    def stop(self, *, urgent: bool = False) -> int:
        """SIGTERM, and its exit code; SIGKILL when it takes longer than a minute.

        `urgent`: without finishing the requests it still holds, which a second signal asks for.
        """
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            if urgent:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return self._process.wait(0.5)
                self._process.terminate()
            return self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _is_ready(self) -> bool:
        if len(self._ports) < 2:
            return False
        try:
            return httpx.get(f"{self.admin}/readyz", timeout=1.0, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def _read(self) -> None:
        """Finds the addresses in what it prints, and keeps the rest in the log."""
        assert self._process is not None
        assert self._process.stdout is not None
        with self._log.open("a") as log:
            for line in self._process.stdout:
                log.write(line)
                log.flush()
                match = _ADDRESS.match(line)
                if match:
                    with self._told:
                        self._ports[match[1]] = int(match[3])
                        self._told.notify()

    def _give_up(self, why: str) -> NoReturn:
        with self._log.open(errors="replace") as log:
            last = "".join(f"    {line}" for line in deque(log, 20))
        msg = f"`ebbtide up` {why}. The end of {self._log}:\n{last}"
        raise Broken(msg)


def _port(wanted: int) -> str:
    """The usual port, or 0 (any that is free) when something else has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            print(f"Port {wanted} is taken: another one it is.", flush=True)
            return "0"
    return str(wanted)


def _end_with_parent() -> None:
    """SIGTERM when the demo dies, however it dies (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Stage:
    """Prints what happens, as it happens; on a terminal with the table of models below it."""

    def __init__(self, admin: str) -> None:
        self.console = Console() if sys.stdout.isatty() else Console(width=160)
        self._client = httpx.Client(base_url=admin, timeout=5.0, trust_env=False)
        self._start = time.monotonic()
        self._phases: dict[str, str] = {}
        self._over = threading.Event()
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Stage":
        # What the models are before the first request, so that each move is told.
        for model in self.ask("models")["models"]:
            self._tell_phase(model)
        if self.console.is_terminal:
            self._live.start()
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join(10.0)
        self._live.stop()
        self._client.close()

    def heading(self, text: str) -> None:
        self.console.print()
        self.console.print(Text(text, style="bold"), soft_wrap=True)

    def line(self, model: str, text: Text) -> None:
        """One event, with the seconds since the beginning."""
        since = Text(f"{time.monotonic() - self._start:6.1f} s  ", style="dim")
        self.console.print(since + Text(f"{model:<9} ") + text, soft_wrap=True)

    def ask(self, what: str) -> dict[str, Any]:
        """What the admin port says at /api/`what`."""
        answer = self._client.get(f"/api/{what}")
        answer.raise_for_status()
        return answer.json()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            try:
                told = {what: self.ask(what)[what] for what in ("models", "gpus")}
                told["cost"] = self.ask("cost")
            except httpx.HTTPError:
                continue  # said by whoever asks for more than a picture
            for model in told["models"]:
                self._tell_phase(model)
            if self.console.is_terminal:
                self._live.update(screen(told, width=self.console.width), refresh=True)

    def _tell_phase(self, model: dict[str, Any]) -> None:
        name, phase = model["model"], model["phase"]
        before = self._phases.setdefault(name, phase)
        if before != phase:
            self._phases[name] = phase
            self.line(name, Text(f"{before} -> {phase}", style="dim"))

"""A real redis-server of a test's own, which it may kill, stop, starve and start anew."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

_TRIES = 5
_PATIENCE_S = 10.0


def redis_binary() -> str:
    """Fails the test where there is none: skipped, it would look like one that passed."""
    found = shutil.which("redis-server")
    if found is None:
        pytest.fail("redis-server is not on PATH: apt-get install redis-server")
    return found


class RedisServer:
    """One process at a time, always on the same port; nothing of it is kept on disk."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._binary, self._folder = redis_binary(), folder
        self.options: tuple[str, ...] = options
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.tls = "--tls-port" in options
        self.user: tuple[str, str] | None = None
        """Who may do anything, where the default user may not."""
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Returns when it answers. The first time on any free port, then on that."""
        assert self.process is None
        for _ in range(_TRIES):
            port = self.port or _free_port()
            self.process = self._spawn(port)
            if self._answers(port):
                self.port = port
                return
            self.end()
        raise AssertionError(f"redis-server does not start: {self._log().read_text()[-2000:]}")

    def end(self) -> None:
        """Kill -9; also one that is stopped."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart_empty(self) -> None:
        """All that it knew is gone."""
        self.end()
        self.start()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Connections are taken, and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def client(self) -> "redis.Redis":
        """For the test's own questions; to be closed."""
        name, password = self.user or (None, None)
        return redis.Redis(
            port=self.port, username=name, password=password, socket_timeout=_PATIENCE_S
        )

    def ask(self, *words: str | bytes | int) -> object:
        """One question."""
        with contextlib.closing(self.client()) as client:
            return client.execute_command(*words)

    def _spawn(self, port: int) -> "subprocess.Popen[bytes]":
        port_option = ("--port", "0", "--tls-port") if self.tls else ("--port",)
        own = [one for one in self.options if one != "--tls-port"]
        words = [self._binary, "--bind", "127.0.0.1", *port_option, str(port)]
        words += ["--save", "", "--appendonly", "no", "--dir", str(self._folder), *own]
        with self._log().open("wb") as log:
            return subprocess.Popen(words, stdout=log, stderr=log, cwd=self._folder)

    def _answers(self, port: int) -> bool:
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            if self.process is None or self.process.poll() is not None:
                return False
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                return True
            time.sleep(0.01)
        return False

    def _log(self) -> Path:
        return self._folder / "redis.log"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Started; gone at the end."""
    server = RedisServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.end()

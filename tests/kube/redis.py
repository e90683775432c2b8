"""A real Redis for tests; it dies with the thread that started it."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

from scripts.kube.binaries import MissingError
from tests.kube.plane import free_port

__all__ = ["RedisServer"]

_START_S = 20.0


class RedisServer:
    """`redis-server` on a port of its own; killed and started again it is empty."""

    def __init__(self, folder: Path, *, password: str | None = None) -> None:
        self._folder = folder
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """As EBBTIDE_REDIS_URL takes it."""
        user = f":{self._password}@" if self._password else ""
        return f"redis://{user}127.0.0.1:{self.port}/0"

    def start(self, *arguments: str) -> None:
        """Answers when it returns; `arguments` are its own, as `--maxmemory 1mb`."""
        program = shutil.which("redis-server")
        if program is None:
            raise MissingError(
                "no redis-server on PATH; on Debian and Ubuntu: apt-get install redis-server"
            )
        password = ["--requirepass", self._password] if self._password else []
        command = ["setpriv", "--pdeathsig", "KILL", program, "--port", str(self.port)]
        command += ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command += ["--dir", str(self._folder), *password, *arguments]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self._wait()

    def stop(self) -> None:
        """SIGKILL: what it holds is lost, as in a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ValueError("it does not run")
        return self._process.pid

    def _wait(self) -> None:
        end = time.monotonic() + _START_S
        while not self._answers():
            if self._process is None or self._process.poll() is not None or time.monotonic() > end:
                text = (self._folder / "redis.log").read_text(errors="replace")
                raise TimeoutError(f"redis-server does not answer: ...{text[-1000:]}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        """A PING gets its answer, or is refused for want of a password."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

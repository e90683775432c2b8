"""A real tritonserver for tests: models written by the test, python backend, no weights."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fleet.cluster.local.tritonserver import locate
from fleet.model import Ports
from fleet.runtimes import Endpoint

PORTS = Ports(http=8000, grpc=8001, metrics=8002)


def write_model(repository: Path, name: str, *, config: str, code: str) -> None:
    """One model of the python backend; `config` is what config.pbtxt holds beside its name."""
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder.parent / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "python"\n{config}')
    (folder / "model.py").write_text(code)


def _launch(
    models_env: Path, scratch: Path, *, repository: Path, address: str
) -> subprocess.Popen[bytes]:
    server = locate(str(models_env), os.environ, state_dir=scratch)
    assert server is not None
    environment = {
        "LD_LIBRARY_PATH": ":".join(map(str, server.libraries)),
        "PATH": ":".join([*map(str, server.path), os.environ["PATH"]]),
    }
    flags = [f"--{kind}-address={address}" for kind in ("http", "grpc", "metrics")]
    command = [server.binary, f"--model-repository={repository}", *flags]
    with (scratch / "log").open("wb") as log:
        return subprocess.Popen(
            [*command, f"--backend-directory={server.backend_directory}"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextmanager
def triton(
    models_env: Path, scratch: Path, *, repository: Path, address: str
) -> Iterator[Endpoint]:
    """Run Triton on `address` until the block ends; entered once its port answers."""
    process = _launch(models_env, scratch, repository=repository, address=address)
    try:
        deadline = time.monotonic() + 120.0
        while not _answers(address):
            if process.poll() is not None or time.monotonic() > deadline:
                log = (scratch / "log").read_text(errors="replace")
                pytest.fail(f"tritonserver did not start:\n{log[-4000:]}")
            time.sleep(0.05)
        yield Endpoint(address=address, ports=PORTS)
    finally:
        # Nothing is worth its graceful 2.5 s here, and its stubs are in the same session.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def failed_start(models_env: Path, scratch: Path, *, repository: Path, address: str) -> list[str]:
    """The log lines of a start that is expected to fail."""
    process = _launch(models_env, scratch, repository=repository, address=address)
    try:
        assert process.wait(timeout=30.0) != 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return (scratch / "log").read_text(errors="replace").splitlines()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}:8000/v2/health/ready", timeout=1.0):
            return True
    except (urllib.error.URLError, OSError):
        return False

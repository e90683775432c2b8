"""`ebbtide up` at its start: what it says where something is wrong, and its exit code."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes import local
from tests.fakes.local import manifest

UP = [sys.executable, "-m", "ebbtide", "up"]
ANY = ["--port", "0", "--admin-port", "0"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    local.write(folder, manifest("a", gpus=0))
    return folder


def environ(folder: Path, **settings: str) -> dict[str, str]:
    own = {key: text for key, text in os.environ.items() if not key.startswith("EBBTIDE_")}
    own |= {"EBBTIDE_STATE_DIR": str(folder.parent / "state")}
    return own | {f"EBBTIDE_{key}": text for key, text in settings.items()}


def failed(folder: Path, *flags: str, **settings: str) -> tuple[int, str]:
    """The exit code and the first line of standard error of an `up` that cannot start."""
    done = subprocess.run(
        [*UP, str(folder), *flags],
        env=environ(folder, **settings),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()[0]


@contextmanager
def greeted(folder: Path, *flags: str, before: str = "") -> Iterator[list[str]]:
    """The lines that it greets with; it must then end well at SIGTERM."""
    command = [*UP, str(folder), *ANY, *flags]
    if before:
        main = f"{before}; from ebbtide.cli import main; sys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", f"import sys; {main}", *command[3:]]
    process = subprocess.Popen(
        command, env=environ(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                break
        yield lines
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("flag", ["--port", "--admin-port"])
def test_a_port_in_use_is_told_with_the_flag_that_takes_another(
    folder: Path, flag: str, workers: str
) -> None:
    # Not even one that would share it: that is somebody else's.
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = str(taken.getsockname()[1])
        code, said = failed(folder, *ANY, flag, port, "--workers", workers)
    assert code == 1
    where = f"ebbtide up: cannot listen on 127.0.0.1:{port}"
    assert said == f"{where}: Address already in use; {flag} takes another"


def test_a_host_that_is_not_here_is_told(folder: Path) -> None:
    code, said = failed(folder, *ANY, "--host", "192.0.2.1")
    assert code == 1
    assert said.startswith(
        "ebbtide up: cannot listen on 192.0.2.1:0: Cannot assign requested address"
    )


def test_a_setting_that_names_no_tritonserver_is_told_before_a_model_is_called(
    folder: Path,
) -> None:
    code, said = failed(folder, *ANY, TRITONSERVER=str(folder))
    assert code == 1
    assert said.startswith(f"ebbtide up: EBBTIDE_TRITONSERVER='{folder}': expected a tritonserver")


def test_an_unknown_setting_is_told(folder: Path) -> None:
    said = "ebbtide: EBBTIDE_TICKS: no such setting; did you mean EBBTIDE_TICK?"
    assert failed(folder, *ANY, TICKS="3") == (1, said)


def test_it_greets_with_addresses_gpus_and_models(folder: Path) -> None:
    with greeted(folder, "--gpus", "2") as lines:
        shape = [
            r"ebbtide \d.*",
            r"  requests  http://127\.0\.0\.1:\d+",
            r"  admin     http://127\.0\.0\.1:\d+",
            r"  GPUs      2 \(counted, not real\)",
            r"  models    a",
            r"Ctrl-C stops it.*",
        ]
        assert len(lines) == len(shape)
        assert all(re.fullmatch(*pair) for pair in zip(shape, lines, strict=True)), lines


def test_workers_that_cannot_start_are_told(folder: Path) -> None:
    main = "from ebbtide.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", f"import sys; sys.executable = '/bin/false'; {main}"]
    done = subprocess.run(
        [*command, "up", str(folder), *ANY, "--workers", "2"],
        env=environ(folder),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "ended with code 1 before it took connections" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_runs_with_workers(folder: Path) -> None:
    with greeted(folder, "--workers", "3") as lines:
        assert lines[-1].startswith("Ctrl-C stops it")


def test_it_runs_without_uvloop(folder: Path) -> None:
    with greeted(folder, before="sys.modules['uvloop'] = None") as lines:
        assert lines[-1].startswith("Ctrl-C stops it")


@pytest.mark.parametrize("flags", [(), ("--workers", "2")])
def test_a_wrong_file_of_keys_is_told_before_anything_starts(folder, flags):
    keys = folder.parent / "keys"
    keys.write_text("ci nonsense\n")
    code, said = failed(folder, *ANY, *flags, API_KEYS=str(keys))
    assert (code, said) == (
        1,
        f"ebbtide up: {keys}:1: expected NAME, then sha256: and 64 digits from 0 to f",
    )

"""`ebbtide gateway` and `ebbtide autoscaler` at their start: what they say of what is wrong."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ANY = ("--admin-port", "0")
REDIS = ("--redis", "redis://127.0.0.1:1")


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """Of an API server that is not there."""
    file = tmp_path / "kubeconfig"
    cluster = {"server": "https://127.0.0.1:1"}
    file.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "t",
                "clusters": [{"name": "t", "cluster": cluster}],
                "users": [{"name": "t", "user": {"token": "x"}}],
                "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
            }
        )
    )
    return file


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def failed(home: Path, *words: str, **settings: str) -> tuple[int, str]:
    """The exit code and standard error of one that cannot start."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EBBTIDE_", "KUBE"))
    }
    environ = {f"EBBTIDE_{name.upper()}": value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "ebbtide", *words],
        env={**own, "HOME": str(home), **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_without_a_cluster_or_a_redis_it_says_how_one_is_named(
    tmp_path: Path, kubeconfig: Path
) -> None:
    code, said = failed(tmp_path, "gateway", *ANY, *REDIS)
    assert code == 1
    assert said.startswith("ebbtide: no cluster is known: ")
    assert "--kubeconfig FILE" in said
    code, said = failed(tmp_path, "autoscaler", *ANY, "--kubeconfig", str(kubeconfig))
    assert code == 1
    assert said.startswith("ebbtide: no Redis is named: ")
    assert "EBBTIDE_REDIS_URL" in said


def test_a_port_that_is_taken_is_told_by_its_flag(
    tmp_path: Path, kubeconfig: Path, taken: int
) -> None:
    where = ("--kubeconfig", str(kubeconfig), *REDIS)
    code, said = failed(tmp_path, "gateway", *where, *ANY, "--port", str(taken))
    told = said.splitlines()[0]
    assert (code, told) == (
        1,
        f"ebbtide gateway: cannot listen on 127.0.0.1:{taken}: Address already in use; "
        "--port takes another",
    )
    code, said = failed(tmp_path, "autoscaler", *where, "--admin-port", str(taken))
    assert code == 1
    assert said.startswith(f"ebbtide autoscaler: cannot listen on 127.0.0.1:{taken}: ")
    assert "--admin-port takes another" in said


def test_a_file_that_is_wrong_is_told(tmp_path: Path, kubeconfig: Path) -> None:
    token = tmp_path / "token"
    token.write_text("short\n")
    where = ("--kubeconfig", str(kubeconfig), *REDIS, *ANY)
    code, said = failed(tmp_path, "autoscaler", *where, admin_token_file=str(token))
    assert (code, said.splitlines()[0]) == (
        1,
        f"ebbtide autoscaler: {token}:1: expected a token of 16 to 512 printable characters "
        "without spaces",
    )
    kubeconfig.write_text("clusters: no\n")
    code, said = failed(tmp_path, "autoscaler", *where)
    assert code == 1
    assert f"kubeconfig '{kubeconfig}'" in said


def test_a_wrong_flag_is_a_wrong_call(tmp_path: Path) -> None:
    code, said = failed(tmp_path, "gateway", "--redis", "box:6379")
    assert code == 2
    assert "argument --redis: expected redis://" in said

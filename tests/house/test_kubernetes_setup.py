"""Where a real Kubernetes for tests comes from, and what is said where it cannot be had."""

import importlib
import os
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from scripts.kube import binaries as found_by_tests
from tests.e2e.kube import clusters
from tests.house.tree import files, text


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`scripts/setup.py` as a module, with an empty cache and nothing of this machine's."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    module = importlib.import_module("setup")
    for name in ("KUBEBUILDER_ASSETS", "EBBTIDE_E2E_KUBECONFIG", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module.build, "FOLDER", tmp_path / "cache" / "kube")
    monkeypatch.setattr(module.binaries, "on_machine", lambda _: None)
    return module


def program(folder: Path, name: str, says: str = "") -> Path:
    """One that can be run."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_a_folder_of_programs_that_is_named_goes_first_and_path_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache, named, path = (tmp_path / name for name in ("cache", "named", "path"))
    monkeypatch.setattr(found_by_tests, "FOLDER", cache)
    monkeypatch.setenv("PATH", str(path), prepend=os.pathsep)
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    program(path, "etcd")
    with pytest.raises(found_by_tests.MissingError, match=r"no etcd in .*cache: .*setup\.py kube"):
        found_by_tests.find("etcd")
    ours = program(cache, "etcd")
    assert found_by_tests.find("etcd") == ours
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(named))
    assert found_by_tests.find("etcd") == ours
    theirs = program(named, "etcd")
    assert found_by_tests.find("etcd") == theirs


def test_what_is_named_is_not_built_and_without_go_it_is_said_what_must_be(
    setup: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanted = setup.binaries.CONTROL_PLANE
    monkeypatch.setattr(setup.build.shutil, "which", lambda *_, **__: None)
    with pytest.raises(setup.Failure) as failed:
        setup.build.provide(wanted)
    said = str(failed.value)
    assert all(each.name in said for each in wanted)
    for part in ("no Go on PATH", r"Install Go \d+\.\d+\.\d+ or newer", "KUBEBUILDER_ASSETS="):
        assert re.search(part, said)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "named"))
    for each in wanted:
        program(tmp_path / "named", each.name)
    setup.build.provide(wanted)


def test_a_go_that_is_too_old_is_named(
    setup: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    go = program(tmp_path / "bin", "go", "go1.20.1 local")
    monkeypatch.setattr(setup.build.shutil, "which", lambda *_, **__: str(go))
    with pytest.raises(setup.Failure, match=r"is go1\.20\.1; kube-apiserver.* need Go \d"):
        setup.build.provide(setup.binaries.CONTROL_PLANE)


def test_a_node_says_that_it_needs_root_and_what_of_the_distribution(
    setup: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup.build.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(setup.build.os, "geteuid", lambda: 1000)
    with pytest.raises(setup.Failure, match=r"needs root.*\n.*EBBTIDE_E2E_KUBECONFIG="):
        setup.build.provide_from_distribution()
    monkeypatch.setattr(setup.build.os, "geteuid", lambda: 0)
    lacks = {"runc": "runc", "CNI plugins": "containernetworking-plugins"}
    monkeypatch.setattr(setup.build, "lacking_on_machine", lambda: lacks)
    with pytest.raises(setup.Failure, match=r"runc, CNI plugins.*\n.*containernetworking-plugins"):
        setup.build.provide_from_distribution()


@pytest.mark.parametrize(
    ("named", "engine", "expected"),
    [("file", "docker", "GIVEN"), ("", "docker", "KIND"), ("", None, "node")],
)
def test_what_is_set_up_for_e2e_is_for_the_cluster_that_there_will_be(
    setup: Any, monkeypatch: pytest.MonkeyPatch, named: str, engine: str | None, expected: str
) -> None:
    made: list[object] = []
    monkeypatch.setattr(setup.build, "provide", made.append)
    monkeypatch.setattr(setup.build, "provide_from_distribution", lambda: made.append("node"))
    monkeypatch.setattr(setup.binaries, "container_engine", lambda: engine)
    monkeypatch.setenv("EBBTIDE_E2E_KUBECONFIG", named)
    setup.provide_cluster()
    wanted = "node" if expected == "node" else getattr(setup.binaries, expected)
    assert made[:2] == [setup.binaries.CONTROL_PLANE, wanted]


@pytest.mark.parametrize(
    ("named", "engine", "expected"),
    [("file", "docker", "given file"), ("", "docker", "kind docker"), ("", None, "our own")],
)
def test_tests_run_on_the_cluster_that_is_named_for_them_and_never_on_the_user_s_own(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    named: str,
    engine: str | None,
    expected: str,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "production"))
    monkeypatch.setenv("EBBTIDE_E2E_KUBECONFIG", named)
    monkeypatch.setattr(clusters, "container_engine", lambda: engine)
    monkeypatch.setattr(clusters, "_given", lambda path: nullcontext(f"given {path}"))
    monkeypatch.setattr(clusters, "_on_kind", lambda which, *_: nullcontext(f"kind {which}"))
    monkeypatch.setattr(clusters, "_our_own", lambda *_: nullcontext("our own"))
    with clusters.any_cluster(tmp_path, tmp_path) as cluster:
        assert cluster == expected


def test_no_test_on_kubernetes_or_redis_is_skipped_for_want_of_one() -> None:
    """But those that kill parts of a cluster, or read its log, where it is not our own."""
    skips = {
        str(path): len(re.findall(r"\bskip\(|\bskipif\b|\bimportorskip\b", source))
        for path, source in files(under=("tests",), ending=".py")
        if path.parts[1] in ("kube", "contract", "sim") or path.parts[1:3] == ("e2e", "kube")
    }
    assert {path for path, count in skips.items() if count} == {"tests/e2e/kube/stage.py"}
    assert skips["tests/e2e/kube/stage.py"] == 1


def test_ci_runs_both_on_a_real_kubernetes() -> None:
    run = re.search(r"^make -k (.+?) 2>&1", text(".ci/run"), re.MULTILINE)
    assert run is not None
    assert {"e2e", "test"} <= {*run[1].split()}
    makefile = text("Makefile")
    for target, folder in (("test", "tests --ignore=tests/e2e"), ("e2e", "tests/e2e/kube")):
        (recipe,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        assert folder in recipe
        assert re.search(r"scripts/setup\.py .*(kube|cluster)", recipe)

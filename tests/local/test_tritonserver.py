"""Finding a tritonserver, and starting the one out of the wheel with all it needs."""

import os
from pathlib import Path

import pytest

from fleet.cluster.local.launcher import descendants
from fleet.cluster.local.podspec import Launch
from fleet.cluster.local.tritonserver import TritonServer, locate, with_triton
from fleet.errors import SettingError
from fleet.settings import Settings
from tests.fakes import local
from tests.fakes.local import local_cluster, named, open_ones, until
from tests.local.triton_models import write_model

pytestmark = pytest.mark.anyio


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def wheel(prefix: Path, version: str = "3.11", *, stub: str = "3.11") -> Path:
    """An environment that looks as if it held the wheel; returns its site-packages."""
    site = prefix / "lib" / f"python{version}" / "site-packages"
    triton = site / "pytriton" / "tritonserver"
    executable(triton / "bin" / "tritonserver")
    executable(triton / "backends" / "python" / "libtriton_python.so")
    executable(triton / "python_backend_stubs" / stub / "triton_python_backend_stub")
    executable(prefix / "lib" / f"libpython{version}.so.1.0")
    return site


def test_a_binary_by_its_path_or_folder_needs_nothing_else(tmp_path: Path) -> None:
    binary = executable(tmp_path / "opt" / "bin" / "tritonserver")
    for setting in (binary, tmp_path / "opt"):
        assert locate(str(setting), {}, state_dir=tmp_path) == TritonServer(binary=binary)


def test_one_on_path_comes_before_the_wheel(tmp_path: Path) -> None:
    binary = executable(tmp_path / "bin" / "tritonserver")
    found = locate("", {"PATH": f"{tmp_path}:{binary.parent}"}, state_dir=tmp_path)
    assert found == TritonServer(binary=binary)


def test_none_anywhere_is_none(tmp_path: Path) -> None:
    # The environment of these tests does not hold the wheel.
    assert locate("", {"PATH": str(tmp_path)}, state_dir=tmp_path) is None


@pytest.mark.parametrize("by", ["environment", "binary"])
def test_the_wheel_gets_its_stub_its_libraries_and_its_python(tmp_path: Path, by: str) -> None:
    site = wheel(tmp_path / "env")
    binary = site / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    setting = tmp_path / "env" if by == "environment" else binary
    for _ in range(2):  # A second time it finds everything in place.
        found = locate(str(setting), {}, state_dir=tmp_path / "state")
    assert found is not None
    assert found.binary == binary
    assert found.backend_directory is not None
    python = found.backend_directory / "python"
    assert {file.name for file in python.iterdir()} == {
        "libtriton_python.so",
        "triton_python_backend_stub",
    }
    assert all(file.resolve().is_file() for file in python.iterdir())
    assert found.libraries[0] == site / "nvidia_pytriton.libs"
    assert [file.name for file in found.libraries[1].iterdir()] == ["libpython3.11.so.1.0"]
    assert found.path == (tmp_path / "env" / "bin",)


def test_libpython_may_lie_under_the_base_python_or_beside_the_environment(tmp_path: Path) -> None:
    env = tmp_path / "env"
    wheel(env, "3.99", stub="3.99")
    library = env / "lib" / "libpython3.99.so.1.0"
    with_base = tmp_path / "base" / "lib" / library.name
    with_base.parent.mkdir(parents=True)
    library.rename(with_base)
    with pytest.raises(SettingError, match=r"libpython3\.99.*apt install libpython3\.99"):
        locate(str(env), {}, state_dir=tmp_path / "state")
    (env / "pyvenv.cfg").write_text(f"version = 3.99\nhome = {tmp_path / 'base' / 'bin'}\n")
    for place in (with_base, env / "lib-python" / library.name):
        place.parent.mkdir(exist_ok=True)
        with_base.exists() and with_base.rename(place)
        found = locate(str(env), {}, state_dir=tmp_path / "state")
        assert found is not None
        assert (found.libraries[1] / library.name).resolve() == place


def test_a_python_that_the_wheel_has_no_stub_for_is_refused(tmp_path: Path) -> None:
    wheel(tmp_path / "env", "3.14", stub="3.11")
    with pytest.raises(SettingError, match=r"no stub for Python 3\.14"):
        locate(str(tmp_path / "env"), {}, state_dir=tmp_path)


@pytest.mark.parametrize("setting", ["nothing-here", "file", "folder"])
def test_a_setting_that_names_no_server_says_what_it_may_name(tmp_path: Path, setting: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingError, match=f"EBBTIDE_TRITONSERVER=.*{setting}.*nvidia-pytriton"):
        locate(str(tmp_path / setting), {}, state_dir=tmp_path)


def test_what_it_needs_is_added_to_a_launch_where_it_is_not_given(tmp_path: Path) -> None:
    server = TritonServer(
        binary=Path("/t/tritonserver"),
        backend_directory=Path("/t/backends"),
        libraries=(Path("/t/l1"), Path("/t/l2")),
        path=(Path("/t/bin"),),
    )
    launch = Launch(
        argv=("tritonserver", "--x=1"),
        env={"PATH": "/bin", "OTHER": "1"},
        cwd=tmp_path,
        directories=(),
        files={},
        modes={},
        grace=1.0,
    )
    made = with_triton(launch, server)
    assert made.argv == ("/t/tritonserver", "--x=1", "--backend-directory=/t/backends")
    assert made.env == {"PATH": "/t/bin:/bin", "LD_LIBRARY_PATH": "/t/l1:/t/l2", "OTHER": "1"}
    assert with_triton(made, server).argv == made.argv
    plain = TritonServer(binary=Path("/t/tritonserver"))
    assert with_triton(launch, plain).env == launch.env


@pytest.mark.triton
async def test_real_triton_out_of_the_wheel_serves_a_python_model(
    tmp_path: Path, models_env: Path
) -> None:
    folder = tmp_path / "manifests"
    write_model(folder, "doubler")
    settings = Settings(tritonserver=str(models_env), state_dir=str(tmp_path / "state"))
    others = set(descendants(os.getpid()))
    async with local_cluster(folder, settings=settings) as cluster:
        assert not [p for p in cluster.fleet().problems if not p.warning]
        await local.wanted(cluster, "doubler", 1)
        fleet = await until(cluster, lambda f: open_ones(f, "doubler"))
        pids = set(descendants(os.getpid())) - others
        assert any("triton_python_backend_stub" in local.command(pid) for pid in pids)
        assert fleet.of(named("doubler"))[0].address
    assert not any(map(local.alive, pids))
    assert os.listdir(tmp_path / "state" / "logs" / "default")

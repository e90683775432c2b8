"""The wheel is what users get: it builds, and works outside the tree without it."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.house.tree import PACKAGES, ROOT


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, cwd=ROOT)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    """A fresh environment with the wheel; other packages come from this one, without network."""
    home = wheel.parent / "fresh"
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=wheel.parent)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=wheel.parent)
    (site,) = home.glob("lib/python*/site-packages")
    # Only the folder is added: its own .pth files, the tree's editable install, are not read.
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_installed_command_checks_the_quickstart(python: Path) -> None:
    outside = python.parents[2]
    where = run(python, "-c", "import ebbtide, fleet; print(ebbtide.__file__)", cwd=outside)
    assert where.startswith(str(python.parents[1])), "the tree was imported, not the wheel"
    manifests = sorted((ROOT / "examples" / "quickstart").glob("*.yaml"))
    assert manifests
    run(python.with_name("ebbtide"), "check", *manifests, cwd=outside)


def test_the_installed_command_says_what_is_wrong(python: Path, tmp_path: Path) -> None:
    text = (ROOT / "examples" / "quickstart" / "embed.yaml").read_text()
    broken = tmp_path / "broken.yaml"
    broken.write_text(text.replace("ebbtide.dev/keep-alive: 60s", "ebbtide.dev/keep-alive: soon"))
    done = subprocess.run(
        [python.with_name("ebbtide"), "check", broken],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    for part in ("broken.yaml", "embed", "ebbtide.dev/keep-alive", "soon"):
        assert part in said

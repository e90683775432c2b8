"""What the Dockerfile says of itself, as far as it can be seen without building it."""

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import distribution

import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement

from tests.house.tree import names, text

DOCKERFILE = text("Dockerfile")
PROJECT = tomllib.loads(text("pyproject.toml"))
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def steps(source: str = DOCKERFILE) -> list[tuple[str, str]]:
    """(instruction, rest) of every step, continued lines in one."""
    joined = re.sub(r"\\\n", " ", source)
    lines = (line.strip() for line in joined.splitlines())
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in lines if line and line[0] != "#")
    ]


def of(instruction: str) -> list[str]:
    return [rest for word, rest in steps() if word == instruction]


@dataclass(frozen=True, slots=True)
class Pin:
    """A version with its hashes; for which platforms is compared apart."""

    version: str
    hashes: frozenset[str]
    marker: str = field(compare=False)


def locked(name: str) -> dict[str, Pin]:
    """What a lock pins, by package."""
    found = {}
    for entry in re.split(r"\n(?=\S)", text(f"locks/{name}.txt").strip()):
        head, *hashes = re.split(r"\s*\\\n\s*", entry)
        package, _, rest = head.partition("==")
        version, _, marker = rest.partition(";")
        found[package] = Pin(version.strip(), frozenset(hashes), marker)
    return found


def test_its_base_is_an_exact_version() -> None:
    (base,) = of("ARG")
    assert re.fullmatch(r"PYTHON=docker\.io/library/python:3\.\d+\.\d+-slim-\w+", base)
    assert of("FROM") == ["${PYTHON} AS build", "${PYTHON}"]


def test_it_is_one_of_the_pythons_that_are_supported() -> None:
    minor = re.search(r"python:(3\.\d+)\.", of("ARG")[0])
    assert minor is not None
    supported = PROJECT["project"]["classifiers"]
    assert f"Programming Language :: Python :: {minor[1]}" in supported


def test_all_that_is_installed_is_pinned_with_hashes_or_our_own() -> None:
    installs = [part for run in of("RUN") for part in run.split("&&") if " install " in part]
    assert len(installs) == 3
    for install in installs:
        words = shlex.split(install)
        assert "--no-deps" in words
        if "--no-index" in words:
            assert words[-1] == "/wheel/*.whl"
        else:
            assert {"--require-hashes", "--only-binary=:all:"} <= {*words}
            assert f"{words[-1]}" in names()
    assert not of("ADD")
    assert "apt" not in DOCKERFILE
    assert "curl" not in DOCKERFILE


def test_it_runs_as_nobody_in_particular_and_is_the_command() -> None:
    (user,) = of("USER")
    assert all(int(each) > 0 for each in user.split(":"))
    assert of("ENTRYPOINT") == ['["ebbtide"]']
    assert steps()[-1][0] == "ENTRYPOINT"
    assert PROJECT["project"]["scripts"] == {"ebbtide": "ebbtide.cli:main"}
    assert of("ENV")[-1].startswith("PATH=/opt/ebbtide/bin:$PATH ")


def test_the_ports_are_those_of_the_chart() -> None:
    deployment = text("charts/ebbtide/templates/gateway-deployment.yaml")
    assert re.findall(r"containerPort: (\d+)", deployment) == of("EXPOSE")[0].split()


def test_what_goes_in_is_what_the_wheel_is_made_of() -> None:
    """One list: that of pyproject.toml. The image that tests/kube makes holds that wheel too."""
    copied = {
        source
        for each in of("COPY")
        if not each.startswith("--from=")
        for source in each.split()[:-1]
    }
    project = PROJECT["project"]
    beside = {"pyproject.toml", project["readme"], *project["license-files"]}
    assert copied == {*PACKAGES, *beside, "locks/build.txt", "locks/run.txt"}
    ignored = text(".dockerignore").splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert "*" in ignored


def needed(name: str, seen: set[str]) -> Iterator[str]:
    """A distribution's packages at run time, and theirs, as they are installed here."""
    for line in distribution(name).requires or ():
        wanted = Requirement(line)
        plain = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if plain in seen or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add(plain)
        yield plain
        yield from needed(wanted.name, seen)


def test_the_lock_holds_what_runs_here_in_the_versions_tested() -> None:
    run, dev = locked("run"), locked("dev")
    assert {name for name in run if run[name] != dev.get(name)} == set()
    here = {name for name, pin in run.items() if not pin.marker or Marker(pin.marker).evaluate()}
    assert here == {*needed("ebbtide", set())}, "run python scripts/lock.py"


def test_the_lock_of_the_build_holds_what_builds() -> None:
    build, dev = locked("build"), locked("dev")
    assert {name for name in build if build[name] != dev.get(name)} == set()
    assert {*PROJECT["build-system"]["requires"], "build"} <= build.keys()


def test_the_chart_takes_the_version_that_is_built() -> None:
    chart = yaml.safe_load(text("charts/ebbtide/Chart.yaml"))
    assert chart["appVersion"] == PROJECT["project"]["version"]
    assert f"docker build -t ebbtide:{chart['appVersion']} ." in DOCKERFILE


TOLD_TO_STOP = """
import os, signal, sys
from ebbtide import cli

me, os.getpid = os.getpid(), lambda: 1
cli.import_module = lambda _: os.kill(me, signal.SIGTERM)
sys.exit(cli.main(["gateway"]))
"""


def test_its_first_process_can_be_stopped_while_it_loads() -> None:
    """The system ignores a signal for the process of number 1 that it does not listen to."""
    done = subprocess.run([sys.executable, "-c", TOLD_TO_STOP], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")

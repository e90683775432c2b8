"""Which Python the environments are made with.

CPython 3.11 or 3.12 that is on PATH, the most complete one first; the variable PYTHON names
another. ebbtide itself also runs on newer ones, but the wheel with Triton does not, and one set of
environments serves both.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from telling import Failure

FITTING = ("3.11", "3.12")

_PROBE = """
import ctypes, importlib.util, json, os, platform, sys, sysconfig
name = "libpython%d.%d.so.1.0" % sys.version_info[:2]
libpython = os.path.exists(os.path.join(sysconfig.get_config_var("LIBDIR") or "", name))
if not libpython:
    try:
        ctypes.CDLL(name)
        libpython = True
    except OSError:
        pass
print(json.dumps({
    "executable": getattr(sys, "_base_executable", "") or sys.executable,
    "version": platform.python_version(),
    "minor": "%d.%d" % sys.version_info[:2],
    "implementation": platform.python_implementation(),
    "machine": sys.platform + " " + platform.machine(),
    "glibc": platform.libc_ver()[1] if platform.libc_ver()[0] == "glibc" else "",
    "venv": importlib.util.find_spec("venv") is not None,
    "ensurepip": importlib.util.find_spec("ensurepip") is not None,
    "libpython": libpython,
}))
"""


class Python(NamedTuple):
    """What is known about one interpreter."""

    executable: str
    version: str
    minor: str
    implementation: str
    machine: str
    glibc: str
    venv: bool
    ensurepip: bool
    libpython: bool

    def __str__(self) -> str:
        return f"{self.implementation} {self.version} ({self.executable})"

    @property
    def fits(self) -> bool:
        return self.implementation == "CPython" and self.minor in FITTING and self.venv

    @property
    def runs_triton(self) -> bool:
        glibc = tuple(map(int, self.glibc.split("."))) if self.glibc else (0,)
        return self.machine == "linux x86_64" and glibc >= (2, 35)

    @property
    def lacks(self) -> int:
        return (not self.ensurepip) + (not self.libpython)


def choose(named: str | None, *, models: bool) -> Python:
    """The Python to use. Raises `Failure` with what is there and what would do."""
    found = [look_at(named)] if named else on_path()
    pythons = [python for python in found if python]
    fitting = [python for python in pythons if python.fits]
    if not fitting:
        raise Failure(_none_fits(named, pythons))
    best = min(fitting, key=lambda python: python.lacks)
    if models and not best.runs_triton:
        msg = (
            "the wheel with Triton is for x86_64 Linux with glibc 2.35 or newer (Debian 12,"
            f" Ubuntu 22.04, ...); this is {best.machine}, glibc {best.glibc or 'none'}."
            " ebbtide itself runs here: pip install . and `ebbtide up` with servers of your own."
        )
        raise Failure(msg)
    return best


def on_path() -> list[Python | None]:
    """Every python3.11, python3.12 and python3 there, in this order, each once."""
    found: dict[str, Python] = {}
    for name in ("python3.11", "python3.12", "python3"):
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            candidate = Path(folder, name)
            if folder and os.access(candidate, os.X_OK):
                python = look_at(str(candidate))
                if python:
                    found.setdefault(os.path.realpath(python.executable), python)
    return list(found.values())


def look_at(executable: str) -> Python | None:
    """None when it does not run, as a version manager's placeholder for one not installed."""
    try:
        done = subprocess.run(
            [executable, "-I", "-c", _PROBE], capture_output=True, timeout=30, check=True
        )
        return Python(**json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None


def _none_fits(named: str | None, pythons: list[Python]) -> str:
    there = ", ".join(str(python) for python in pythons) or "none that runs"
    msg = (
        f"CPython 3.11 or 3.12 is needed for the tests and the demo; found"
        f"{' as PYTHON=' + named if named else ' on PATH'}: {there}.\n"
        "Install one (Debian 12: python3.11, Ubuntu 24.04: python3.12, with python3-venv),\n"
        "or name it: PYTHON=/path/to/python3.11 make ..."
    )
    newer = [python for python in pythons if int(python.minor.partition(".")[2]) > 12]
    if newer:
        msg += f"\nebbtide alone runs on {newer[0]} too: {newer[0].executable} -m pip install ."
    return msg

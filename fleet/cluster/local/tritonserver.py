"""Which `tritonserver` runs here, and what it needs around it.

Looked for by the setting `tritonserver` (a binary, or a Python environment that holds the wheel
nvidia-pytriton), else on PATH, else as the wheel in ebbtide's own environment. A `TritonServer`
out of the wheel needs more than its binary:

Rule 1: its python backend wants the stub for the environment's Python beside it. Both are linked
        into a backend directory under the state directory; the wheel itself is left as it is.
Rule 2: the stub needs libpython and the wheel's bundled libraries (LD_LIBRARY_PATH), and imports
        what the first `python3` on PATH imports.
"""

import contextlib
import hashlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from fleet.cluster.local.podspec import Launch
from fleet.errors import SettingError

__all__ = ["COMMAND", "MISSING", "TritonServer", "locate", "with_triton"]

COMMAND = "tritonserver"
MISSING = (
    "tritonserver is not on PATH and ebbtide's environment does not hold the wheel nvidia-pytriton:"
    " install ebbtide[triton] (x86_64 Linux, CPython 3.11 or 3.12), or set EBBTIDE_TRITONSERVER to"
    " a tritonserver binary or to a Python environment with nvidia-pytriton"
)
_IN_SITE = Path("pytriton/tritonserver")
_BINARY = _IN_SITE / "bin" / COMMAND
_VERSION = re.compile(r"python(3\.\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonServer:
    """A server that can be started."""

    binary: Path
    backend_directory: Path | None = None
    """For `--backend-directory`; None: it finds its own."""
    libraries: tuple[Path, ...] = ()
    """Folders that LD_LIBRARY_PATH begins with."""
    path: tuple[Path, ...] = ()
    """Folders that PATH begins with."""


def locate(setting: str, environ: Mapping[str, str], *, state_dir: Path) -> TritonServer | None:
    """The server to use; None when there is none at all (`MISSING` says what to do).

    Raises `SettingError` when the setting names none, or the one found lacks something.
    """
    if setting:
        return _from_setting(Path(setting).expanduser(), state_dir)
    on_path = shutil.which(COMMAND, path=environ.get("PATH", ""))
    if on_path is not None:
        return _from_binary(Path(on_path), state_dir)
    return _from_environment(Path(sys.prefix), state_dir)


def with_triton(launch: Launch, server: TritonServer) -> Launch:
    """`launch` of the command `tritonserver` by itself, as `server` has to be started."""
    argv = [str(server.binary), *launch.argv[1:]]
    flag = "--backend-directory"
    given = any(word == flag or word.startswith(f"{flag}=") for word in argv)
    if server.backend_directory is not None and not given:
        argv.append(f"{flag}={server.backend_directory}")
    env = dict(launch.env)
    for variable, folders in (("LD_LIBRARY_PATH", server.libraries), ("PATH", server.path)):
        parts = [str(folder) for folder in folders] + [env.get(variable, "")]
        if any(parts):
            env[variable] = ":".join(filter(None, parts))
    return replace(launch, argv=tuple(argv), env=MappingProxyType(env))


def _from_setting(path: Path, state_dir: Path) -> TritonServer:
    if path.is_dir():
        for binary in (path / "bin" / COMMAND, path / COMMAND):
            if os.access(binary, os.X_OK):
                return _from_binary(binary, state_dir)
        found = _from_environment(path, state_dir)
        if found is not None:
            return found
    elif os.access(path, os.X_OK) and path.name.startswith(COMMAND):
        return _from_binary(path, state_dir)
    msg = (
        f"EBBTIDE_TRITONSERVER={str(path)!r}: expected a tritonserver binary, or a Python"
        " environment (its folder) that holds the wheel nvidia-pytriton"
    )
    raise SettingError(msg)


def _from_binary(binary: Path, state_dir: Path) -> TritonServer:
    """A server by its binary, which may be that of a wheel."""
    binary = binary.absolute()
    site = binary.parents[len(_BINARY.parts) - 1]
    if site / _BINARY == binary and site.name == "site-packages":
        return _from_wheel(site.parents[2], site, state_dir)
    return TritonServer(binary=binary)


def _from_environment(prefix: Path, state_dir: Path) -> TritonServer | None:
    for site in sorted(prefix.absolute().glob("lib/python3.*/site-packages"), reverse=True):
        if (site / _BINARY).is_file():
            return _from_wheel(prefix.absolute(), site, state_dir)
    return None


def _from_wheel(prefix: Path, site: Path, state_dir: Path) -> TritonServer:
    match = _VERSION.fullmatch(site.parent.name)
    version = match[1] if match else ""
    stub = site / _IN_SITE / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        msg = f"nvidia-pytriton in {prefix} has no stub for Python {version}: use 3.11 or 3.12"
        raise SettingError(msg)
    libpython = _libpython(prefix, version)
    key = hashlib.sha256(os.fsencode(site)).hexdigest()[:8]
    home = state_dir.absolute() / "triton" / f"{version}-{key}"
    backend = (site / _IN_SITE / "backends" / "python").iterdir()
    _link((*(file for file in backend if file.is_file()), stub), home / "backends" / "python")
    _link((libpython,), home / "lib")
    return TritonServer(
        binary=site / _BINARY,
        backend_directory=home / "backends",
        libraries=(site / "nvidia_pytriton.libs", home / "lib"),
        path=(prefix / "bin",),
    )


def _libpython(prefix: Path, version: str) -> Path:
    """The environment's shared libpython. Raises `SettingError` when there is none."""
    name = f"libpython{version}.so.1.0"
    multiarch = f"{platform.machine()}-linux-gnu"
    places = [
        _base(prefix) / "lib",
        _base(prefix) / "lib" / multiarch,
        prefix / "lib-python",
        *(Path(root, multiarch) for root in ("/usr/lib", "/lib")),
        *map(Path, ("/usr/lib64", "/usr/lib", "/usr/local/lib")),
    ]
    for place in places:
        if (place / name).exists():
            return place / name
    msg = (
        f"{name} is not found, which Triton's python backend needs: install it (Debian and Ubuntu:"
        f" apt install libpython{version}), or put it into {prefix / 'lib-python'}"
    )
    raise SettingError(msg)


def _base(prefix: Path) -> Path:
    """The Python installation under a virtual environment; `prefix` itself when it is none."""
    with contextlib.suppress(OSError):
        for line in (prefix / "pyvenv.cfg").read_text().splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home":
                return Path(value.strip()).parent
    return prefix


def _link(files: Iterable[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        link = folder / file.name
        if not link.is_symlink() or link.readlink() != file:
            link.unlink(missing_ok=True)
            link.symlink_to(file)

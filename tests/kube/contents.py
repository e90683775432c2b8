"""What is in the images that e2e tests run: ebbtide as its Dockerfile has it, and a small Redis.

Where no registry is at hand there is no base image: Python, the C library and Redis are files of
this machine, with the libraries that they load. What is ours is the same: the wheel, and the
packages it needs at run time, in the versions of `locks/dev.txt`.
"""

import compileall
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from scripts.kube.binaries import MissingError
from tests.kube.images import Content, write_image

__all__ = ["EBBTIDE", "REDIS", "ebbtide_image", "redis_image"]

EBBTIDE = "docker.io/ebbtide-test/ebbtide:1"
REDIS = "docker.io/ebbtide-test/redis:1"
_ROOT = Path(__file__).resolve().parents[2]
_USERS = "root:x:0:0::/:/bin/sh\nredis:x:999:999::/:/bin/sh\nebbtide:x:10001:10001::/:/bin/sh\n"
_ETC = {
    "etc/passwd": _USERS,
    "etc/group": "root:x:0:\nredis:x:999:\nebbtide:x:10001:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}
_NOT_SHIPPED = frozenset(
    {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages"}
)
_LOADED = re.compile(r"(?:=>\s*|^\s*)(/\S+) \(0x", re.MULTILINE)


def ebbtide_image(folder: Path) -> Path:
    """Built from the working tree."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix)
    lib = base / "lib" / version
    site = f"usr/local/lib/{version}/site-packages"
    files = {f"usr/local/lib/{version}/{each.relative_to(lib)}": each for each in _stdlib(lib)}
    files |= _runtime_packages(site)
    files |= {f"{site}/{name}": path for name, path in _wheel(folder / "wheel").items()}
    python = (base / "bin" / version).resolve()
    files[f"usr/local/bin/{version}"] = python
    libraries = [path for path in files.values() if path.suffix == ".so" or ".so." in path.name]
    for name, path in _loaded_by([python, *libraries]).items():
        # Python's own shared library lies with Python, wherever that is here.
        files[f"usr/local/lib/{path.name}" if base in path.parents else name] = path
    config = {
        "Entrypoint": ["/usr/local/bin/python3", "-m", "ebbtide"],
        "User": "10001:10001",
        "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH=/usr/local/lib"],
    }
    content = Content(
        files=files,
        links={"usr/local/bin/python3": version},
        folders=("tmp", "proc", "sys", "dev"),
        texts=_ETC,
        config=config,
    )
    return write_image(EBBTIDE, content, folder / "ebbtide.tar")


def redis_image(folder: Path) -> Path:
    """redis-server and redis-cli of this machine, with a shell."""
    programs = {}
    for name in ("redis-server", "redis-cli", "sh", "cat", "grep"):
        found = shutil.which(name)
        if found is None:
            raise MissingError(f"no {name} on PATH; on Debian and Ubuntu: redis-server has it")
        programs[f"bin/{name}"] = Path(found).resolve()
    files = programs | _loaded_by(programs.values())
    content = Content(
        files=files,
        folders=("tmp", "data", "proc", "sys", "dev"),
        texts=_ETC,
        config={"Entrypoint": ["/bin/redis-server"], "User": "999:999", "Env": ["PATH=/bin"]},
    )
    return write_image(REDIS, content, folder / "redis.tar")


def _stdlib(lib: Path) -> Iterator[Path]:
    for path in lib.rglob("*"):
        parts = path.relative_to(lib).parts
        unwanted = _NOT_SHIPPED & set(parts) or parts[0].startswith("config-")
        if path.is_file() and not unwanted and not path.name.startswith("_tkinter"):
            yield path


def _runtime_packages(site: str) -> dict[str, Path]:
    """Files of what ebbtide needs, and what that needs in turn."""
    files: dict[str, Path] = {}
    for found in _needed(distribution("ebbtide"), set()):
        for entry in found.files or ():
            path = Path(str(found.locate_file(entry)))
            if ".." not in entry.parts and path.is_file():
                files[f"{site}/{entry}"] = path
    return files


def _needed(found: Distribution, seen: set[str]) -> Iterator[Distribution]:
    for line in found.requires or ():
        name, _, condition = line.partition(";")
        if "extra" in condition or not _holds(condition):
            continue
        plain = re.match(r"[\w.-]+", name)
        assert plain is not None
        if plain[0].lower() not in seen:
            seen.add(plain[0].lower())
            inner = distribution(plain[0])
            yield inner
            yield from _needed(inner, seen)


def _holds(condition: str) -> bool:
    from packaging.markers import Marker

    return not condition.strip() or Marker(condition).evaluate()


def _wheel(folder: Path) -> dict[str, Path]:
    """The files of ebbtide's own wheel, compiled."""
    shutil.rmtree(folder, ignore_errors=True)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run(build, cwd=_ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    compileall.compile_dir(site, quiet=2)
    return {str(path.relative_to(site)): path for path in site.rglob("*") if path.is_file()}


def _loaded_by(binaries: Iterable[Path]) -> dict[str, Path]:
    """The shared libraries, and the loader itself, that `binaries` ask for."""
    said = subprocess.run(
        ["ldd", *map(str, binaries)], capture_output=True, text=True, check=False
    ).stdout
    return {name.lstrip("/"): Path(name).resolve() for name in _LOADED.findall(said)}

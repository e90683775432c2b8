"""What is in the images that e2e tests run: ebbtide as its Dockerfile has it, and a small Redis.

Where no registry is at hand there is no base image: Python, the C library and Redis are files of
this machine, with the libraries that they load. What is ours is the same: the wheel, and the
packages of `locks/run.txt`.
"""

import compileall
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

from scripts.kube.binaries import MissingError
from tests.kube.images import Content, write_image

__all__ = ["EBBTIDE", "REDIS", "ebbtide_image", "redis_image"]

EBBTIDE = "docker.io/ebbtide-test/ebbtide:1"
REDIS = "docker.io/ebbtide-test/redis:1"
_ROOT = Path(__file__).resolve().parents[2]
_USERS = "root:x:0:0::/:/bin/sh\nredis:x:999:999::/:/bin/sh\nebbtide:x:10001:10001::/:/bin/sh\n"
_COMMAND = "#!/usr/local/bin/python3\nimport sys\nfrom ebbtide.cli import main\nsys.exit(main())\n"
_ETC = {
    "etc/passwd": _USERS,
    "etc/group": "root:x:0:\nredis:x:999:\nebbtide:x:10001:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}
_NOT_SHIPPED = frozenset(
    {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages"}
)
_PINNED = re.compile(r"^(\w[^\\\n]*)", re.MULTILINE)
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
        "Entrypoint": ["ebbtide"],
        "User": "10001:10001",
        "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH=/usr/local/lib"],
    }
    content = Content(
        files=files,
        links={"usr/local/bin/python3": version},
        folders=("tmp", "proc", "sys", "dev"),
        texts={**_ETC, "usr/local/bin/ebbtide": _COMMAND},
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
    """Files of the packages that `locks/run.txt` names, as they are installed here."""
    files: dict[str, Path] = {}
    for line in _PINNED.findall((_ROOT / "locks" / "run.txt").read_text()):
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        found = distribution(wanted.name)
        if found.version not in wanted.specifier:
            raise MissingError(f"{line} is pinned for images, {found.version} is installed")
        for entry in found.files or ():
            path = Path(str(found.locate_file(entry)))
            if ".." not in entry.parts and path.is_file():
                files[f"{site}/{entry}"] = path
    return files


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

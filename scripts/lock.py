"""Makes locks/*.txt of locks/*.in, and locks/run.txt of pyproject.toml: exact versions and hashes.

    python scripts/lock.py [--upgrade]

The locks of development, of the image (what it runs, what it is built with), of the benchmark's
peers and of other people's clients serve every platform; the image has the versions that
development has. The models' lock serves CPython 3.11 and 3.12 on x86_64 Linux with glibc 2.35 or
newer, as the wheel with Triton does; locks/models.override leaves out what no model imports.

What is pinned stays as it is unless the .in file or `--upgrade` says otherwise. uv resolves, since
pip can neither override nor lock for other platforms; it is installed into a folder of its own. It
reads its own settings (UV_DEFAULT_INDEX, SSL_CERT_FILE, ...), not pip's.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = "uv==0.9.9"
COMMON = ["--generate-hashes", "--no-header", "--no-annotate", "--python-version=3.11"]
LOCKS = {
    "dev": ["--universal"],
    "run": ["--universal", "--constraint=locks/dev.txt"],
    "build": ["--universal", "--constraint=locks/dev.txt"],
    "bench": ["--universal"],
    "clients": ["--universal"],
    "models": ["--python-platform=x86_64-manylinux_2_35", "--override=locks/models.override"],
}
SOURCES = {"run": "pyproject.toml"}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--upgrade", action="store_true", help="take the newest versions")
    upgrade = ["--upgrade"] if arguments.parse_args().upgrade else []
    folder = ROOT / ".cache" / "uv"
    print(f"lock: {UV} into {folder.relative_to(ROOT)}", flush=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--upgrade", f"--target={folder}", UV],
        check=True,
    )
    for name, more in LOCKS.items():
        source = SOURCES.get(name, f"locks/{name}.in")
        print(f"lock: {source} -> locks/{name}.txt", flush=True)
        files = [source, "-o", f"locks/{name}.txt"]
        command = [folder / "bin" / "uv", "pip", "compile", "--quiet", *COMMON, *more, *upgrade]
        subprocess.run([*command, *files], cwd=ROOT, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

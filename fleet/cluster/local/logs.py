"""The log files of replicas: one each, bounded, the last few of a Deployment kept.

Rule: a replica appends to its file itself. From `_LARGEST` on only the end of it is kept, in a file
named `.1` beside it, and the replica goes on in the emptied one.
"""

import os
import re
from pathlib import Path

__all__ = ["bound", "open_place", "tail"]

_LARGEST = 16 * 2**20
_KEPT = 2**20
_READ = 64 * 2**10
_LINES = 200
_LINE = 2000
_FILES = 10


def open_place(folder: Path, pod_name: str) -> Path:
    """Where the replica `pod_name` logs; removes the oldest logs of its Deployment.

    `folder` is made where absent. A pod name is ``DEPLOYMENT-RUN-NUMBER``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deployment = pod_name.rsplit("-", 2)[0]
    siblings = re.compile(re.escape(deployment) + r"-[0-9a-z]+-\d+\.log(\.1)?")
    found = [Path(entry.path) for entry in os.scandir(folder) if siblings.fullmatch(entry.name)]
    for old in sorted(found, key=_written, reverse=True)[_FILES - 1 :]:
        old.unlink(missing_ok=True)
    return folder / f"{pod_name}.log"


def _written(log: Path) -> int:
    """When it was written to last; a file that another replica has just removed is the oldest."""
    try:
        return log.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def bound(log: Path) -> None:
    """Keep `log` from growing without end."""
    if log.exists() and log.stat().st_size > _LARGEST:
        end = _end(log, _KEPT)
        log.with_name(f"{log.name}.1").write_bytes(end)
        os.truncate(log, 0)


def tail(log: Path) -> tuple[str, ...]:
    """The last lines of `log`, at most 200; empty when there is no such file."""
    try:
        text = _end(log, _READ).decode(errors="replace")
    except OSError:
        return ()
    return tuple(line[:_LINE] for line in text.splitlines()[-_LINES:])


def _end(log: Path, size: int) -> bytes:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - size))
        return file.read(size)

"""Notices that manifests were changed, added or removed.

Rule 1: files and folders are looked at twice a second: modification time, size and identity only.
Rule 2: a change counts once it has stood still for one look, so that half a file is not read.
Rule 3: a file that was named and is gone holds nothing; one that is there and cannot be read is
        broken.
Rule 4: a file that held Deployments is read as if it were named: broken, it must not pass for one
        that is no manifest at all.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fleet.clock import Clock
from fleet.cluster.local.manifests import Manifests

__all__ = ["Watch"]

_EVERY = 0.5
_ENDINGS = (".yaml", ".yml", ".json")

_Look = dict[Path, tuple[int, int, int] | None]


class Watch:
    """The manifests under some paths, now and when they change."""

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        clock: Clock,
        read: Callable[[Sequence[Path]], Manifests],
    ) -> None:
        self._paths = tuple(paths)
        self._clock = clock
        self._read = read
        self._seen: _Look = {}
        self._held: frozenset[Path] = frozenset()

    async def read(self) -> Manifests:
        """What the paths hold now."""
        return await asyncio.to_thread(self._read_now)

    async def changed(self) -> Manifests:
        """Wait until something is different and read it."""
        before = self._seen
        while True:
            await self._clock.sleep(_EVERY)
            now = await asyncio.to_thread(_look, tuple(self._seen))
            if now != self._seen and now == before:
                return await self.read()
            before = now

    def _read_now(self) -> Manifests:
        # Looked at first: what changes during the reading is noticed afterwards.
        self._seen = _look(tuple(_places(self._paths)))
        held = sorted(path for path in self._held if path.exists())
        manifests = self._read((*held, *self._paths))
        broken = frozenset(path for path in manifests.broken if path.exists())
        holding = frozenset(deployment.file for deployment in manifests.deployments)
        self._held = holding | (self._held & broken)
        return replace(manifests, broken=broken)


def _places(paths: Sequence[Path]) -> Iterator[Path]:
    """All that may hold manifests, and the folders in which such may turn up."""
    for path in paths:
        yield path
        for where, folders, names in os.walk(path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from (Path(where, name) for name in folders)
            yield from (Path(where, name) for name in names if name.endswith(_ENDINGS))


def _look(places: Sequence[Path]) -> _Look:
    found: _Look = {}
    for place in places:
        try:
            status = place.stat()
        except OSError:
            found[place] = None
        else:
            found[place] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return found

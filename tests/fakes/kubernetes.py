"""An API server in memory, for one resource: versions, pages, watches, and every way to fail."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping

from fleet.errors import UnavailableError
from fleet.kubernetes.api import ExpiredError
from fleet.kubernetes.objects import Object


class FakeApi:
    """Stands where `fleet.kubernetes.api.Api` does."""

    server = "fake://"

    def __init__(self) -> None:
        self.version = 0
        self.objects: dict[str, Object] = {}
        self.history: list[tuple[int, Object]] = []
        self.compacted = 0
        """Watches and pages from before this version are too old."""
        self.error: Exception | None = None
        """Raised by every call while set."""
        self.lists, self.watches, self.refusals = 0, 0, 0
        self.on_page: Callable[[], None] = lambda: None
        """Called after each page that is not the last."""
        self._changed = asyncio.Event()
        self._cut = asyncio.Event()

    def write(self, name: str, **fields: object) -> Object:
        """Make or change an object."""
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.objects[name] = made = self._made(name, **fields)
        self._tell(kind, made)
        return made

    def delete(self, name: str) -> None:
        del self.objects[name]
        self._tell("DELETED", self._made(name))

    def bookmark(self) -> None:
        self._tell("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})

    def say(self, event: Object) -> None:
        """Send just this on every watch."""
        self.history.append((self.version, event))
        self._wake()

    def cut(self, error: Exception | None = None) -> None:
        """End all watches; with `error` also fail every call from now on."""
        self.error = error
        self._cut.set()
        self._cut = asyncio.Event()

    def compact(self) -> None:
        self.compacted = self.version + 1
        self.version += 1

    async def get(
        self, path: str, *, query: Mapping[str, str] | None = None, timeout: float = 0
    ) -> Object:
        query = query or {}
        assert "resourceVersion" not in query, "it may be older than a mark that stands already"
        await asyncio.sleep(0.01)
        self._refuse()
        if "continue" not in query:
            self.lists += 1
        start, at = (int(x) for x in query.get("continue", f"0 {self.version}").split())
        if at < self.compacted and "continue" in query:
            msg = "410: the continue token is too old"
            raise ExpiredError(msg)
        names = sorted(self.objects)
        end = start + int(query.get("limit") or len(names) + 1)
        found = [self.objects[name] for name in names[start:end]]
        meta = {"resourceVersion": str(at)}
        if end < len(names):
            meta["continue"] = f"{end} {at}"
            self.on_page()
        return {"metadata": meta, "items": found}

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, query: Mapping[str, str], *, silence: float = 0.0
    ) -> AsyncIterator[AsyncIterator[Object]]:
        await asyncio.sleep(0.01)
        self._refuse()
        self.watches += 1
        assert silence > float(query["timeoutSeconds"]), "it may be quiet until it ends"
        assert query["allowWatchBookmarks"] == "true", "a quiet resource would be listed anew"
        yield self._events(int(query["resourceVersion"]), float(query["timeoutSeconds"]))

    async def _events(self, version: int, seconds: float) -> AsyncIterator[Object]:
        if version < self.compacted:
            msg = "410: too old resource version"
            raise ExpiredError(msg)
        cut, ends = self._cut, asyncio.get_running_loop().time() + seconds
        sent = next((i for i, (at, _) in enumerate(self.history) if at > version), None)
        sent = len(self.history) if sent is None else sent
        while True:
            for _, event in self.history[sent:]:
                yield event
            sent = len(self.history)
            left = ends - asyncio.get_running_loop().time()
            if left <= 0:
                return
            await self._either(cut, self._changed, left)
            if cut.is_set():
                if self.error is not None:
                    raise UnavailableError(str(self.error))
                return

    @staticmethod
    async def _either(one: asyncio.Event, other: asyncio.Event, seconds: float) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (one, other)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _refuse(self) -> None:
        if self.error is not None:
            self.refusals += 1
            raise self.error

    def _made(self, name: str, **fields: object) -> Object:
        self.version += 1
        meta = {"name": name, "namespace": "default", "uid": name}
        return {"metadata": {**meta, "resourceVersion": str(self.version)}, **fields}

    def _tell(self, kind: str, item: Object) -> None:
        self.history.append((self.version, {"type": kind, "object": item}))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

"""Everything that happened to some objects, in order, as the API server told it.

What a test judges is what was seen here: a state that lasts a millisecond is an event too.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.kube.admin import Admin, RefusedError

__all__ = ["Event", "Watching", "watching"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """ADDED, MODIFIED or DELETED, and the object then."""

    at: float
    kind: str
    object: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])


class Watching:
    """A thread that lists, then watches; it goes on over an API server's death."""

    def __init__(self, admin: Admin, path: str) -> None:
        self._admin, self._path = admin, path
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._listed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)

    def events(self) -> list[Event]:
        """So far."""
        with self._changed:
            return list(self._events)

    def until(self, condition: Callable[[list[Event]], Any], *, timeout: float = 60.0) -> Any:
        """What `condition(events)` gives, as soon as that is true."""
        end = time.monotonic() + timeout
        with self._changed:
            while not (found := condition(self._events)):
                if not self._changed.wait(max(0.0, end - time.monotonic())):
                    last = [(e.kind, e.name) for e in self._events[-20:]]
                    raise TimeoutError(f"{self._path}: not within {timeout} s; last: {last}")
            return found

    def start(self) -> None:
        self._thread.start()
        if not self._listed.wait(30.0):
            raise TimeoutError(f"{self._path} cannot be listed")

    def stop(self) -> None:
        """It ends with the watch that it holds, a second later at most."""
        self._stopping.set()
        self._thread.join(timeout=10.0)

    def _run(self) -> None:
        version = ""
        while not self._stopping.is_set():
            try:
                if not version:
                    listed = self._admin.get(self._path)
                    version = listed["metadata"]["resourceVersion"]
                    for each in listed["items"]:
                        self._add("ADDED", each)
                    self._listed.set()
                for kind, found in self._admin.watch(self._path, version):
                    version = found["metadata"]["resourceVersion"]
                    if kind != "BOOKMARK":
                        self._add(kind, found)
                    if self._stopping.is_set():
                        return
            except (httpx.TransportError, RefusedError):
                time.sleep(0.05)

    def _add(self, kind: str, found: Mapping[str, Any]) -> None:
        with self._changed:
            self._events.append(Event(at=time.monotonic(), kind=kind, object=found))
            self._changed.notify_all()


@contextmanager
def watching(admin: Admin, path: str) -> Iterator[Watching]:
    """Watch while the block runs; entered once the list is there."""
    watch = Watching(admin, path)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()

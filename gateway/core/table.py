"""Which models there are, by the names that clients use. Pure.

Rule 1: a table is never changed but swapped whole; a request keeps the entry that it found.
Rule 2: a name may hold slashes; in a path the longest registered name that ends at a segment's end
        is meant.
Rule 3: of two revisions that claim a name the elder has it.
"""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from fleet.model import AffinityKind, Revision, RuntimeName, Served
from fleet.names import RevisionName
from fleet.runtimes import CallKind, Profile
from gateway.core.limits import NAMING_BODY_BYTES
from gateway.core.ports import Line
from gateway.core.retries import policy_of
from gateway.core.tally import Tally

__all__ = ["Entry", "Route", "Table", "Tables"]

_MAX_ROUTES = 8192
_LONGEST_KEY = 512
_LONGEST_NAME = 253


class Entry:
    """One name of one model: where its requests go."""

    __slots__ = (
        "affinity",
        "cancels",
        "line",
        "name",
        "profile",
        "resets",
        "retry",
        "revision",
        "served",
        "tally",
        "wishes",
    )

    def __init__(self, served: Served, line: Line, profile: Profile, tally: Tally) -> None:
        self.name: str = served.name
        self.served = served.served
        self.line = line
        self.profile = profile
        self.tally = tally
        self.revision: Revision = line.revision
        self.affinity = line.revision.policy.affinity
        self.wishes = self.affinity is not None
        """Its requests would rather run on one replica than on another."""
        told = line.revision.policy.cancels
        self.cancels = profile.cancels if told is None else told
        """Closing a request's connection stops the work."""
        self.resets = profile.resets if told is None else told
        """Resetting a gRPC call stops the work."""
        self.retry = policy_of(line.revision.policy.retry, profile)


class Route:
    """What one method and path lead to. Immutable by use: many requests share one."""

    __slots__ = ("by_body", "entry", "kind", "limit", "line", "path", "reads", "start", "steps")

    def __init__(
        self,
        kind: CallKind,
        path: str,
        start: bytes,
        entry: Entry | None,
        *,
        by_body: bool = False,
    ) -> None:
        self.kind = kind
        self.path = path
        """What is decided on, and forwarded."""
        self.start = start
        """``METHOD PATH`` as it is sent to the replica."""
        self.line = start + b" HTTP/1.1"
        """The request line without a query, without CRLF."""
        self.entry = entry
        """None: the body names the model, or the gateway answers."""
        self.by_body = by_body
        """The `model` field of the body has a say."""
        self.steps = kind is CallKind.INFER
        """It may be a step of a sequence."""
        self.reads = by_body or (kind is CallKind.INFER and _by_prompt(entry))
        """The whole body is read before anything is decided."""
        self.limit = NAMING_BODY_BYTES if entry is None else entry.revision.policy.max_body
        """The largest body that it takes."""
        if self.reads:
            self.limit = min(self.limit, NAMING_BODY_BYTES)


def _by_prompt(entry: Entry | None) -> bool:
    affinity = None if entry is None else entry.affinity
    return affinity is not None and affinity.kind is AffinityKind.PROMPT


class Table:
    """The names at one moment, and the routes found among them so far."""

    __slots__ = ("_hosts", "_routes", "names")

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.names: dict[str, Entry] = {}
        for entry in entries:
            self.names.setdefault(entry.name, entry)
        self._hosts: dict[str, Entry] = {}
        for name, entry in self.names.items():
            self._hosts.setdefault(name.lower(), entry)
        self._routes: dict[bytes, Route] = {}

    def at(self, path: str, start: int) -> Entry | None:
        """The longest registered name in `path` from `start` on; None when there is none."""
        end = len(path)
        if end > start + _LONGEST_NAME:
            end = path.rfind("/", start, start + _LONGEST_NAME + 1)
        names = self.names
        while end > start:
            entry = names.get(path[start:end])
            if entry is not None:
                return entry
            end = path.rfind("/", start, end)
        return None

    def under(self, host: bytes | None, suffix: str) -> str | None:
        """The name that `host` has before `.suffix`; None when it does not lie there."""
        if host is None or not suffix:
            return None
        name = host.decode("latin-1").rpartition(":")[0] if b":" in host else host.decode("latin-1")
        tail = "." + suffix.lower()
        return name[: -len(tail)].lower() if name.lower().endswith(tail) else None

    def host(self, name: str) -> Entry | None:
        """The model that a host name means, whatever its case."""
        return self._hosts.get(name)

    def known(self, key: bytes) -> Route | None:
        """A route found before."""
        return self._routes.get(key)

    def remember(self, key: bytes, route: Route) -> None:
        """Keep a route; a bounded number of bounded size."""
        if len(key) > _LONGEST_KEY:
            return
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        self._routes[key] = route


class Tables:
    """The newest table, and each revision's tally from one to the next."""

    def __init__(self, profile: Callable[[RuntimeName], Profile]) -> None:
        self.now = Table()
        self.tallies: dict[RevisionName, Tally] = {}
        self._profile = profile
        self._revisions: dict[RevisionName, Revision] = {}
        self._lines: dict[RevisionName, Line] = {}
        self._seen: dict[tuple[str, ...], Table] = {}
        """The newest table, by the patterns of those who may not call every model."""

    def seen(self, patterns: tuple[str, ...] | None) -> Table:
        """The newest table, reduced to the names that `patterns` match; None: all of it.

        Whoever is shown a table finds what is not in it as if it did not exist.
        """
        if patterns is None:
            return self.now
        table = self._seen.get(patterns)
        if table is None:
            names = self.now.names
            table = self._seen[patterns] = Table(
                names[name]
                for name in names
                if any(fnmatchcase(name, pattern) for pattern in patterns)
            )
        return table

    def update(
        self, revisions: Mapping[RevisionName, Revision], lines: Mapping[RevisionName, Line]
    ) -> None:
        """Swap the table if what it was made from has changed."""
        here = {name: revisions[name] for name in revisions if name in lines}
        at = {name: lines[name] for name in here}
        if here == self._revisions and at == self._lines:
            return
        self._revisions, self._lines = here, at
        self.tallies = {name: self.tallies.get(name) or Tally() for name in here}
        elder = sorted(here.values(), key=lambda revision: (revision.created, revision.name))
        self._seen = {}
        self.now = Table(
            Entry(served, at[revision.name], self._profile(revision.runtime), tally)
            for revision in elder
            for tally in (self.tallies[revision.name],)
            for served in revision.models
        )

"""Drain marks of another ebbtide, on Deployments that this one would scale too. Pure.

An ebbtide is all processes of one own namespace: they share the leader's Lease. Where two look
after the same Deployment, by mistake, each would take the other's marks back, and lower what the
other's gateways send to.

Rule 1: a mark of another one counts as a second writer's: it is honoured, and left alone.
Rule 2: so it is for `LASTING` seconds after it was last seen to change, be it to go away. Whoever
        made it may have been uninstalled: then it is like that of a former leader.
Rule 3: what was there before this process counts from when it was first seen.
"""

from dataclasses import dataclass, replace

from fleet.cluster.kubernetes.drainmark import Mark
from fleet.names import RevisionName

__all__ = ["LASTING", "OtherMarks"]

LASTING = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    mark: Mark | None
    """As it stands; None once it is gone."""
    owner: str
    until: float


class OtherMarks:
    """Of all Deployments. `owner`: one's own; empty: all marks are one's own."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._seen: dict[RevisionName, _Seen] = {}

    def see(self, name: RevisionName, mark: Mark | None, *, now: float) -> None:
        """The Deployment's mark as it is now."""
        before = self._seen.get(name)
        if mark is not None and self._is_other(mark):
            if before is None or before.mark != mark:
                self._seen[name] = _Seen(mark=mark, owner=mark.owner, until=now + LASTING)
        elif before is None or before.mark is None:
            return
        elif mark is None and now < before.until:
            self._seen[name] = replace(before, mark=None, until=now + LASTING)
        else:
            # Taken over by us, or cleared when it no longer counted.
            del self._seen[name]

    def gone(self, name: RevisionName) -> None:
        """The Deployment is no more."""
        self._seen.pop(name, None)

    def of(self, name: RevisionName, *, now: float) -> str:
        """Whose marks count there, in words; empty: nobody's but ours."""
        seen = self._seen.get(name)
        if seen is None or now >= seen.until:
            return ""
        return f"another ebbtide, of the namespace {seen.owner}, marks its pods for draining"

    def known(self, name: RevisionName, mark: Mark | None, *, now: float) -> Mark | None:
        """The mark as it counts: with an owner, somebody else's; without, ours to deal with.

        Terms of another ebbtide tell nothing here: 0 is none of ours.
        """
        if mark is None or not mark.owner:
            return mark
        if not self._is_other(mark):
            return replace(mark, owner="")
        return replace(mark, owner=mark.owner if self.of(name, now=now) else "", term=0)

    def due(self, name: RevisionName, *, now: float) -> float | None:
        """When it counts no more; None where nothing does."""
        seen = self._seen.get(name)
        return None if seen is None or now >= seen.until else seen.until

    def _is_other(self, mark: Mark) -> bool:
        return bool(self._owner) and mark.owner not in ("", self._owner)

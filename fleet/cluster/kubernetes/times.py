"""The API's timestamps, in seconds of the wall clock and of this process's own. Pure.

A timestamp of the API is cut to whole seconds, and the clock that it is by may differ from ours.

Rule 1: something happened no later than it was first seen here, and within the second that its
        timestamp names. The earlier of the two ends is what is taken: never in the future, and
        exact for what is seen while it happens.
Rule 2: what was once taken for a timestamp of an object stays, so that no time moves when the
        object is read again.
"""

import re
from math import inf
from typing import TypeAlias

__all__ = ["Moments", "Taken", "wall_seconds"]

Taken: TypeAlias = dict[tuple[str, str], float]
"""What was taken for the timestamps of one object, by what happened."""

_STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d{1,9})?(?:[Zz]|([+-])(\d\d):(\d\d))"
)
_LAST_MONTH = 12


def wall_seconds(stamp: str) -> float | None:
    """Seconds since 1970 of an RFC 3339 timestamp; None for anything else."""
    match = _STAMP.fullmatch(stamp) if stamp.isascii() else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    if not 1 <= month <= _LAST_MONTH:
        return None
    seconds = _days(year, month, day) * 86400.0 + hour * 3600 + minute * 60 + second
    ahead = int(match[9] or 0) * 3600 + int(match[10] or 0) * 60
    return seconds + float(match[7] or 0) - (-ahead if match[8] == "-" else ahead)


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar."""
    # Years that begin in March have their leap day last.
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    leaps = year // 4 - year // 100 + year // 400
    return 365 * year + leaps + (153 * month + 2) // 5 + day - 719469


class Moments:
    """When things happened to one object, by this process's clock.

    `now` is when it is being read, `offset` how far the wall clock is ahead of this process's,
    `before` what was taken for it when it was read before; None: it is read for the first time.
    """

    __slots__ = ("_always", "_before", "_offset", "now", "taken")

    def __init__(self, *, now: float, offset: float, before: Taken | None = None) -> None:
        self.now = now
        self._offset = offset
        self._before = before or {}
        self._always = -inf if before is None else now
        self.taken: Taken = {}
        """For the next reading."""

    def of(self, what: str, stamp: str) -> float | None:
        """When it happened, in seconds of this process's clock; None without a timestamp."""
        return self._take((what, stamp), self.end(stamp))

    def once(self, what: str, stamp: str, *, ahead: float) -> float | None:
        """When it first happened, `ahead` seconds before its timestamp, which may be moved."""
        end = self.end(stamp)
        return self._take((what, ""), None if end is None else end - ahead)

    def seen(self, what: str) -> float:
        """Since when it has been seen at every reading: always, where it was at the first."""
        found = self.taken[what, ""] = self._before.get((what, ""), self._always)
        return found

    def end(self, stamp: str) -> float | None:
        """When the second of a timestamp is over, be it to come."""
        wall = wall_seconds(stamp)
        return None if wall is None else wall + (0.0 if "." in stamp else 1.0) - self._offset

    def _take(self, key: tuple[str, str], end: float | None) -> float | None:
        if end is None:
            return None
        found = self.taken[key] = self._before.get(key, min(self.now, end))
        return found

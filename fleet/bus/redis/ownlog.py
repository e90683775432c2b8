"""One log that this process keeps in Redis: which commands write what is new in it. Pure.

Rule 1: a message that begins anew takes the place of all before it; the others are only added to
        a log that is there, so that one that Redis has lost begins anew.
Rule 2: it begins anew after every new connection and every refusal, and when what was added since
        outweighs it: reading a log never takes much longer than it must.
Rule 3: a log that nobody keeps any more expires.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fleet.bus.redis.answers import FIELD
from fleet.bus.redis.parcels import OddParcelError, Parcel, written

__all__ = ["EXPIRY_S", "Command", "Keys", "OwnLog"]

EXPIRY_S = 10.0
_MOST_SINCE = 500
_FREELY = 64 * 2**10
"""Messages, and bytes, that may be added whatever the log's size."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What ebbtide's keys and channels are called."""

    prefix: str

    def log(self, name: str) -> str:
        """A stream."""
        return f"{self.prefix}{name}"

    @property
    def logs(self) -> str:
        """A sorted set: the logs there are, by when they expire, Unix milliseconds."""
        return f"{self.prefix}logs"

    @property
    def journal(self) -> str:
        """A stream."""
        return f"{self.prefix}journal"

    @property
    def gateways(self) -> str:
        """A channel: there is something new in a gateway's log."""
        return f"{self.prefix}gateways"

    @property
    def leaders(self) -> str:
        """A channel: there is something new in a leader's log."""
        return f"{self.prefix}leaders"

    @property
    def pokes(self) -> str:
        """A channel."""
        return f"{self.prefix}pokes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something to ask of Redis, and who takes the answer."""

    words: tuple[Any, ...]
    answered: Callable[[Any], None] = lambda _: None
    refused: Callable[[], None] = lambda: None


class OwnLog(Generic[_T]):
    """The log called `name`, of `writer` in this `life`.

    `packed` puts a piece of news into a message; `nothing` is one that says nothing.
    """

    def __init__(
        self,
        name: str,
        *,
        writer: str,
        life: str,
        packed: Callable[[Parcel, _T], Parcel],
        nothing: _T,
    ) -> None:
        self.name = name
        self._writer, self._life = writer, life
        self._packed, self._nothing = packed, nothing
        self.number = 0
        """Of its newest message."""
        self._there = False
        """It is in Redis, with all that was told."""
        self._whole = self._since = self._count = 0
        """Bytes that said all there is, and bytes and messages that were added to them."""
        self.unsaid = 0
        """Pieces of news that could not be written."""

    def begin_anew(self) -> None:
        """What Redis has of it is not known."""
        self._there = False

    @property
    def anew(self) -> bool:
        """Whether all there is must be told now."""
        much = self._count > _MOST_SINCE or self._since > max(self._whole, _FREELY)
        return much or not self._there

    def commands(self, news: Iterable[_T], keys: Keys, *, at: float) -> Iterator[Command]:
        """Write `news`, made at `at` of Redis' time: all there is, if it is to begin `anew`."""
        anew, left = self.anew, iter(news)
        following = next(left, None)
        if following is None:
            return
        if anew:
            self._there, self._whole, self._since, self._count = True, 0, 0, 0
        whole = anew
        while following is not None:
            one, following = following, next(left, None)
            self.number += 1
            data = self._written(
                Parcel(
                    writer=self._writer,
                    life=self._life,
                    number=self.number,
                    at=at,
                    whole=whole,
                    more=following is not None,
                ),
                one,
            )
            self._grow(len(data), anew=anew)
            how = ("MAXLEN", "1") if whole else ("NOMKSTREAM",)
            yield Command(
                words=("XADD", keys.log(self.name), *how, "*", FIELD, data),
                answered=self._added,
                refused=self.begin_anew,
            )
            whole = False

    def _written(self, parcel: Parcel, news: _T) -> bytes:
        try:
            return written(self._packed(parcel, news))
        except OddParcelError:
            # Its readers miss what it says, and nothing of the rest.
            self.unsaid += 1
            return written(self._packed(parcel, self._nothing))

    def _grow(self, size: int, *, anew: bool) -> None:
        if anew:
            self._whole += size
        else:
            self._since, self._count = self._since + size, self._count + 1

    def alive(self, keys: Keys, *, at: float) -> Iterator[Command]:
        """Let it live on from `at`, Redis' time."""
        expires = str(int((at + EXPIRY_S) * 1000))
        yield Command(words=("PEXPIREAT", keys.log(self.name), expires), answered=self._found)
        yield Command(words=("ZADD", keys.logs, expires, self.name))

    def _added(self, number: Any) -> None:
        self._there = self._there and number is not None

    def _found(self, count: Any) -> None:
        # Redis may have lost it: restarted, or in want of room.
        self._there = self._there and count == 1

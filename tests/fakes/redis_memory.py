"""What ebbtide asks of Redis, answered from memory: for tests without a process or a network.

It answers as redis-server 7 does, tests/contract/test_redis_memory.py holds it to that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ResponseError

__all__ = ["RedisMemory"]

_Words = Sequence[Any]


def _bytes(word: Any) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()


@dataclass
class _Stream:
    messages: list[tuple[tuple[int, int], bytes]] = field(default_factory=list)
    last: tuple[int, int] = (0, 0)


def _order(number: bytes) -> tuple[int, int]:
    milliseconds, _, counted = number.partition(b"-")
    return int(milliseconds), int(counted or 0)


def _told(number: tuple[int, int]) -> bytes:
    return b"%d-%d" % number


class RedisMemory:
    """`now` is its clock, Unix seconds; what is published lies in `published`."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        self.full = False
        """It refuses to take more, as with too little memory."""
        self.published: list[tuple[bytes, bytes]] = []
        self._streams: dict[bytes, _Stream] = {}
        self._expires: dict[bytes, int] = {}
        self._sorted: dict[bytes, dict[bytes, int]] = {}

    def ask(self, commands: Iterable[_Words]) -> list[Any]:
        """The answers; an error in the place of one that is refused."""
        return [self._answer([_bytes(word) for word in words]) for words in commands]

    def forget(self) -> None:
        """All is gone, as after a restart, which takes a moment."""
        self.now += 0.01
        self._streams.clear()
        self._expires.clear()
        self._sorted.clear()

    def lose(self, key: bytes) -> None:
        """One key is gone, as for want of memory."""
        self.now += 0.01
        self._streams.pop(key, None)
        self._sorted.pop(key, None)

    def keys(self) -> set[bytes]:
        """Those there are."""
        self._expire()
        return {*self._streams, *self._sorted}

    def _answer(self, words: list[bytes]) -> Any:
        self._expire()
        name, *rest = words
        answer = getattr(self, f"_{name.decode().lower()}")
        try:
            return answer(*rest)
        except ResponseError as error:
            return error

    def _expire(self) -> None:
        now_ms = int(self.now * 1000)
        for key in [key for key, at in self._expires.items() if at <= now_ms]:
            self.lose(key)
            del self._expires[key]

    def _room(self) -> None:
        if self.full:
            raise ResponseError("command not allowed when used memory > 'maxmemory'.")

    def _stream(self, key: bytes) -> _Stream:
        if key in self._sorted:
            raise ResponseError("WRONGTYPE Operation against a key of another kind")
        return self._streams.setdefault(key, _Stream())

    def _time(self) -> list[bytes]:
        return [b"%d" % int(self.now), b"%06d" % int(self.now % 1 * 1e6)]

    def _xadd(self, key: bytes, *words: bytes) -> bytes | None:
        self._room()
        most = None
        rest = list(words)
        while rest[0] != b"*":
            word = rest.pop(0)
            if word == b"NOMKSTREAM" and key not in self._streams:
                return None
            if word == b"MAXLEN":
                if rest[0] == b"~":
                    rest.pop(0)
                most = int(rest.pop(0))
        stream = self._stream(key)
        number = max((int(self.now * 1000), 0), (stream.last[0], stream.last[1] + 1))
        _, _, text = rest
        stream.last = number
        stream.messages.append((number, text))
        if most is not None:
            del stream.messages[:-most]
        return _told(number)

    def _xread(self, *words: bytes) -> list[Any] | None:
        most = int(words[1])
        names = words[3:]
        half = len(names) // 2
        found = []
        for key, after in zip(names[:half], names[half:], strict=True):
            if key in self._sorted:
                raise ResponseError("WRONGTYPE Operation against a key of another kind")
            stream = self._streams.get(key, _Stream())
            later = [one for one in stream.messages if one[0] > _order(after)][:most]
            if later:
                found.append([key, [[_told(number), [b"m", text]] for number, text in later]])
        return found or None

    def _xrevrange(self, key: bytes, *_: bytes) -> list[Any]:
        stream = self._streams.get(key, _Stream())
        return [[_told(number), [b"m", text]] for number, text in stream.messages[-1:]]

    def _pexpireat(self, key: bytes, at: bytes) -> int:
        if key not in self._streams:
            return 0
        self._expires[key] = int(at)
        return 1

    def _zadd(self, key: bytes, score: bytes, member: bytes) -> int:
        self._room()
        known = self._sorted.setdefault(key, {})
        new = member not in known
        known[member] = int(score)
        return int(new)

    def _zrange(self, key: bytes, low: bytes, *_: bytes) -> list[bytes]:
        known = self._sorted.get(key, {})
        return [name for name, score in sorted(known.items()) if score > int(low.lstrip(b"("))]

    def _zremrangebyscore(self, key: bytes, _low: bytes, high: bytes) -> int:
        known = self._sorted.get(key, {})
        gone = [name for name, score in known.items() if score <= int(high)]
        for name in gone:
            del known[name]
        return len(gone)

    def _publish(self, channel: bytes, message: bytes) -> int:
        self.published.append((channel, message))
        return 1

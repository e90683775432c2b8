"""How much of what costs us and carries nothing one connection may send. Pure.

Each kind of such frames has a bucket that holds a burst and fills at a rate; a frame that finds its
bucket empty breaks the connection with ENHANCE_YOUR_CALM. The rates are what honest clients stay
far below: many cancel when deadlines pass, grpc-go measures its window with a PING for every few
messages, and C-core gives back small windows at once. An attack sends a hundred times as much.

Rule 1: what is counted: streams reset as soon as they are begun (CVE-2023-44487), what we must
        answer with a reset (CVE-2019-9514), PING (9512), SETTINGS (9515), PRIORITY (9513), empty
        frames (9518), windows given back in crumbs, so that we send in crumbs (9511, 9517).
Rule 2: header blocks without end (CONTINUATION, CVE-2024-27316) and with endless empty names
        (9516) are bounded per block, by those who join it and by `gateway.grpc.core.heads`.
Rule 3: a frame costs one subtraction; the clock is read only when a bucket runs empty. It is then
        filled with what has come in since the last time, a burst at most: so twice the burst may
        come at once, and the rate is kept over any longer span.
"""

from collections.abc import Callable

from gateway.grpc.core.frames import BrokenError, Code

__all__ = ["CRUMB", "Floods"]

CRUMB = 1024
"""A window update of less is counted, in bytes."""

_RESET, _MISPLACED, _PING, _SETTINGS, _PRIORITY, _EMPTY, _CRUMB = range(7)

# What may come at once, how much more of it in a second, and what it is called.
_ALLOWED: tuple[tuple[float, float, str], ...] = (
    (1000.0, 500.0, "resets"),
    (500.0, 100.0, "frames that must be answered with a reset"),
    (10_000.0, 5000.0, "PINGs"),
    (200.0, 10.0, "SETTINGS"),
    (1000.0, 100.0, "PRIORITY frames"),
    (1000.0, 100.0, "empty frames"),
    (20_000.0, 10_000.0, "small window updates"),
)


class Floods:
    """What one connection has left of each kind; every method raises `BrokenError` at the end."""

    __slots__ = ("_at", "_left", "_now", "_times")

    def __init__(self, now: Callable[[], float], *, times: float = 1.0) -> None:
        """`now`: seconds; `times`: as much as from a client, for one that is trusted more."""
        self._now = now
        self._times = times
        self._left = [burst * times for burst, _, _ in _ALLOWED]
        self._at = [now()] * len(_ALLOWED)

    def reset(self) -> None:
        """A RST_STREAM came."""
        self._count(_RESET)

    def misplaced(self) -> None:
        """Something came that we answer with a RST_STREAM."""
        self._count(_MISPLACED)

    def ping(self) -> None:
        """A PING came that asks for an answer."""
        self._count(_PING)

    def settings(self) -> None:
        """SETTINGS came that ask for an answer."""
        self._count(_SETTINGS)

    def priority(self) -> None:
        """A PRIORITY came."""
        self._count(_PRIORITY)

    def empty(self) -> None:
        """DATA, HEADERS or CONTINUATION without a byte came, that ends nothing."""
        self._count(_EMPTY)

    def window(self, by: int) -> None:
        """A WINDOW_UPDATE came."""
        if by < CRUMB:
            self._count(_CRUMB)

    def _count(self, kind: int) -> None:
        left = self._left[kind] - 1.0
        if left < 0.0:
            left = self._filled(kind) - 1.0
        self._left[kind] = left

    def _filled(self, kind: int) -> float:
        """What is in an empty bucket by now."""
        burst, rate, name = _ALLOWED[kind]
        now = self._now()
        filled = min(burst, (now - self._at[kind]) * rate) * self._times
        if filled < 1.0:
            raise BrokenError(
                Code.ENHANCE_YOUR_CALM, f"more than {rate * self._times:.0f} {name} a second"
            )
        self._at[kind] = now
        return filled

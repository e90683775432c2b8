"""Heads seen before: the same bytes mean the same, so they are read once. Pure.

A client on a kept connection, and a model server, send the same head again and again. Reading one
costs the parser, a split and a look at every field; finding it again costs one look-up.

Rule 1: only a head that was accepted is remembered; what is refused is read anew each time.
Rule 2: what is remembered is never changed; whoever needs it otherwise makes a copy.
Rule 3: whoever holds on to a head sees by its `raw` whether it is remembered still: what is
        forgotten has none.
Rule 4: bounded in number and size. Full, it forgets everything: a caller whose heads all differ
        (an identity in each) costs an insertion a request, and nobody more than one reading.
"""

from typing import Generic, Protocol, TypeVar

__all__ = ["Head", "Known"]


class Head(Protocol):
    """What can be remembered."""

    raw: bytes
    """The bytes it was read from; empty while it is not remembered. Written here alone."""


_T = TypeVar("_T", bound=Head)
_MOST = 2048
_LONGEST = 2048


class Known(Generic[_T]):
    """Heads by their bytes."""

    __slots__ = ("_heads", "find")

    def __init__(self) -> None:
        self._heads: dict[bytes, _T] = {}
        self.find = self._heads.get
        """The head with exactly these bytes; None when it is not remembered."""

    def __len__(self) -> int:
        return len(self._heads)

    def remember(self, raw: bytes, head: _T) -> None:
        """Keep a head that was accepted."""
        if len(raw) > _LONGEST:
            return
        if len(self._heads) >= _MOST:
            self.forget()
        self._heads[raw] = head
        head.raw = raw

    def forget(self) -> None:
        """Begin anew."""
        for head in self._heads.values():
            head.raw = b""
        self._heads.clear()

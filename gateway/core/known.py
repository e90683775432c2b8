"""Heads seen before: the same bytes mean the same, so they are read once. Pure.

A client on a kept connection, and a model server, send the same head again and again. Reading one
costs the parser, a split and a look at every field; finding it again costs one look-up.

Rule 1: only a head that was accepted is remembered; what is refused is read anew each time.
Rule 2: what is remembered is never changed; whoever needs it otherwise makes a copy.
Rule 3: bounded in number and size. Full, it forgets everything: a caller whose heads all differ
        (an identity in each) costs an insertion a request, and nobody more than one reading.
"""

from typing import Generic, TypeVar

__all__ = ["Known"]

_T = TypeVar("_T")
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

    def forget(self) -> None:
        """Begin anew."""
        self._heads.clear()

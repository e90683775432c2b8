"""Who wants to hear of something that happens in this process. Pure.

Rule 1: all are told in the order in which they came; one that leaves or comes while news is being
        told changes nothing about who hears of that news.
Rule 2: the same listener may come more than once: each coming is ended for itself, and ending one
        twice does nothing.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Subscribers"]

_T = TypeVar("_T")


class Subscribers(Generic[_T]):
    """The listeners of one kind of news."""

    def __init__(self) -> None:
        self._listeners: dict[object, Callable[[_T], None]] = {}

    def add(self, listener: Callable[[_T], None]) -> Callable[[], None]:
        """Call `listener` with all news from now on; returns what ends that."""
        key = object()
        self._listeners[key] = listener

        def end() -> None:
            self._listeners.pop(key, None)

        return end

    def tell(self, news: _T) -> None:
        """Call every listener with `news`."""
        for listener in tuple(self._listeners.values()):
            listener(news)

"""The objects of one resource, as lists, watches and answers to our own writes tell of them. Pure.

Rule 1: what is older than what is known changes nothing: the answer to a write may come before or
        after the watch tells of it.
Rule 2: an object that has not changed stays the same `dict`, through lists too: readers may
        remember what they read from it.
Rule 3: a list says what is gone; but what is known to be newer than the list stays.
Rule 4: what `trim` makes None of is not kept.
"""

from collections.abc import Callable, Iterable

from fleet.kubernetes.objects import Key, Object, key_of, newer, uid_of, version_of

__all__ = ["Listing", "Store", "Trim"]

Listing = dict[Key, Object]
"""The pages of one list so far, trimmed."""

Trim = Callable[[Object], Object | None]
"""Keeps the few fields of an object that are read, its metadata's name and version among them; None
for an object that nobody reads."""


class Store:
    """One resource."""

    def __init__(self, trim: Trim) -> None:
        self.objects: Listing = {}
        self._trim = trim
        self._amended: dict[Key, str] = {}
        """Versions that are known in part: the whole is still to come."""

    def put(self, item: Object) -> bool:
        """An object as it is now; returns whether that changes anything."""
        key, version = key_of(item), version_of(item)
        known = self.objects.get(key)
        whole = self._amended.get(key) == version
        if known is not None and not newer(version, version_of(known)) and not whole:
            return False
        self._amended.pop(key, None)
        kept = self._trim(item)
        if kept is None:
            return self.objects.pop(key, None) is not None
        self.objects[key] = kept
        return True

    def drop(self, item: Object) -> bool:
        """An object that was deleted, as it was last; returns whether that changes anything."""
        key = key_of(item)
        known = self.objects.get(key)
        if known is None or newer(version_of(known), version_of(item)):
            return False
        del self.objects[key]
        return True

    def clear(self) -> bool:
        """There is no such resource any more; returns whether that changes anything."""
        before, self.objects = self.objects, {}
        return bool(before)

    def amend(self, item: Object, *, base: str) -> bool:
        """`item` is what became of version `base`, as far as its writer knows, and trimmed already;
        returns whether that changes anything."""
        known = self.objects.get(key_of(item))
        if known is None or version_of(known) != base:
            return False
        self.objects[key_of(item)] = item
        self._amended[key_of(item)] = version_of(item)
        return True

    def list(self, listing: Listing, items: Iterable[Object]) -> None:
        """One page of a list, added to `listing`."""
        for item in items:
            key = key_of(item)
            known = None if key in self._amended else self.objects.get(key)
            kept = known if known is not None and _same(known, item) else self._trim(item)
            if kept is not None:
                listing[key] = kept

    def replace(self, listing: Listing, version: str) -> bool:
        """All there is, as listed at `version`; returns whether that changes anything."""
        before, self.objects = self.objects, listing
        amended, self._amended = self._amended, {}
        for key, known in before.items():
            found = listing.get(key)
            if newer(version_of(known), version if found is None else version_of(found)):
                listing[key] = known
                if key in amended:
                    self._amended[key] = amended[key]
        return before.keys() != listing.keys() or any(
            listing[key] is not known for key, known in before.items()
        )


def _same(known: Object, item: Object) -> bool:
    return uid_of(known) == uid_of(item) and version_of(known) == version_of(item)

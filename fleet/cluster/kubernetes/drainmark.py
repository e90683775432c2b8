"""The mark on a Deployment that says which pods take nothing new. Pure; written and read here.

It is the annotation `ebbtide.dev/draining`, JSON with exactly these keys:
``{"number": 3, "owner": "ebbtide", "replicas": ["pod-a", "pod-b"], "term": 7}``; `replicas` are
names of pods, sorted. `owner`, the own namespace of the ebbtide that wrote it, may be missing.

Rule: a mark that is not exactly like this is none at all, and said so. That is the safe side: a
      replica taken for draining would stand idle for a slip of somebody's hand, while one that
      goes on is only not stopped, since no scale is lowered before every gateway has acknowledged
      the number of a mark that it could read.

A drain that is over leaves an empty value, not nothing: the Deployment controller copies
annotations onto the ReplicaSet and takes none away there, and `kubectl rollout undo` copies
them all back. A mark that had only been taken away would come back with it, its number used
twice.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass

from fleet.annotations import PREFIX

__all__ = ["DRAINING", "OVER", "Mark", "read_mark", "write_mark"]

DRAINING = f"{PREFIX}draining"
OVER = ""
"""What stands there between two drains; as good as no annotation."""
_ALLOWED = (
    'ebbtide\'s own mark, like {"number": 3, "replicas": ["pod-a"], "term": 7}; remove it, '
    "ebbtide writes it anew"
)
_KEYS = frozenset({"number", "replicas", "term"})
_OWNER = "owner"
_MOST = 2**53
_LONGEST_NAMESPACE = 63
_LONGEST = 131072
"""Room for a thousand names of pods, with the 63 characters that each has at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A numbered wish of the leader of that term: these pods take nothing new."""

    number: int
    pods: frozenset[str]
    term: int = 0
    owner: str = ""
    """The ebbtide that wrote it; empty: unsaid."""


def read_mark(text: str) -> Mark:
    """The mark that the annotation holds. Raises `ValueError` with what is allowed."""
    try:
        found = json.loads(text) if len(text) <= _LONGEST else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.keys() - {_OWNER} != _KEYS:
        raise ValueError(_ALLOWED)
    number, pods, term = found["number"], found["replicas"], found["term"]
    owner = found.get(_OWNER, "")
    counts = _is_count(number, low=1) and _is_count(term, low=0)
    if not (counts and _are_names(pods) and _is_namespace(owner)):
        raise ValueError(_ALLOWED)
    return Mark(number=number, pods=frozenset(pods), term=term, owner=owner)


def write_mark(number: int, pods: Collection[str], *, term: int, owner: str = "") -> str:
    """The annotation's value; the same for the same mark.

    Raises `ValueError` for one that `read_mark` would refuse: nobody would ever take it back.
    """
    said = {"owner": owner} if owner else {}
    mark = {"number": number, "replicas": sorted(pods), "term": term, **said}
    text = json.dumps(mark, sort_keys=True)
    read_mark(text)
    return text


def _is_count(value: object, *, low: int) -> bool:
    return type(value) is int and low <= value <= _MOST


def _is_namespace(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_NAMESPACE


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and each for each in value)

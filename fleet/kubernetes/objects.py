"""What a raw object of the API says of itself, whatever its kind; none of it is believed. Pure."""

from typing import Any

__all__ = ["Key", "Object", "key_of", "metadata", "newer", "uid_of", "version_of"]

Object = dict[str, Any]
"""An object of the API as it was sent."""
Key = tuple[str, str]
"""Namespace and name; the namespace is empty for what lies in none."""


def metadata(item: Object) -> Object:
    """Its `metadata`; empty where there is none."""
    found = item.get("metadata")
    return found if isinstance(found, dict) else {}


def key_of(item: Object) -> Key:
    """Where it lies."""
    found = metadata(item)
    return str(found.get("namespace") or ""), str(found.get("name") or "")


def uid_of(item: Object) -> str:
    """What tells it from an earlier one of its name."""
    return str(metadata(item).get("uid") or "")


def version_of(item: Object) -> str:
    """Its resource version; empty where it says none."""
    return str(metadata(item).get("resourceVersion") or "")


def newer(one: str, other: str) -> bool:
    """Whether the version `one` came after `other`.

    Versions of one resource are whole numbers that grow (Kubernetes 1.35, KEP-5504); where a server
    counts otherwise, what came in last is taken for the newer one.
    """
    if one.isascii() and one.isdigit() and other.isascii() and other.isdigit():
        return int(one) > int(other)
    return one != other

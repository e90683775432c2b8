"""API keys: who may call, which models, and with what trust. Pure.

The file has a line for each key; empty lines, and those that begin with ``#``, are left out::

    NAME  sha256:HASH  [models=PATTERN,PATTERN...]  [trusted]

Rule 1: a key is 256 random bits, so one SHA-256 of it tells nothing; the file holds no key. A key
        is looked up by its hash: how long that takes depends on nothing that a caller could learn.
Rule 2: lines with one name are one caller: so a key is replaced while both hold.
Rule 3: a model that a key may not call does not exist for it: same answers, same lists.
Rule 4: what is wrong is told by its line, all of it at once; nothing that may be a key is repeated.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType

__all__ = ["EVERY_MODEL", "Key", "Keys", "key_line", "key_of", "read_keys"]

EVERY_MODEL: tuple[str, ...] = ("*",)
"""The patterns of a key without ``models=``."""

_PREFIX = "ebbtide-"
_SCHEME = "sha256:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_PATTERN = re.compile(r"[A-Za-z0-9._/:@+*?\[\]!-]{1,253}")
_LONGEST = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What one key allows."""

    name: str
    """The caller; several keys may share it."""
    models: tuple[str, ...] = EVERY_MODEL
    """Names, or patterns as of a shell, of the models that it may call."""
    trusted: bool = False
    """Its requests may say how urgent they are."""


class Keys:
    """All of them, by hash."""

    __slots__ = ("_by_hash",)

    def __init__(self, by_hash: Mapping[str, Key]) -> None:
        self._by_hash: Mapping[str, Key] = MappingProxyType(dict(by_hash))

    def __len__(self) -> int:
        return len(self._by_hash)

    def find(self, secret: bytes) -> Key | None:
        """The key that `secret` is; None when it is none."""
        return None if len(secret) > _LONGEST else self._by_hash.get(_hashed(secret))


def read_keys(text: str, *, source: str) -> tuple[Keys, list[str]]:
    """The keys in `text`, and a line for each thing wrong in it; `source` is named there."""
    found: dict[str, Key] = {}
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            hashed, key = _read(words)
        except ValueError as error:
            faults.append(f"{source}:{number}: {error}")
            continue
        if hashed in found:
            faults.append(f"{source}:{number}: this hash stands in an earlier line")
        found[hashed] = key
    if not found and not faults:
        faults.append(f"{source}: expected a line for each key; nobody could call")
    return Keys(found), faults


def key_of(entropy: bytes) -> str:
    """A new key of 32 random bytes, as its caller sends it."""
    return _PREFIX + urlsafe_b64encode(entropy).rstrip(b"=").decode()


def key_line(secret: str, key: Key) -> str:
    """The line of the file for a key. Raises `ValueError` for what the file would not take."""
    words = [key.name, _hashed(secret.encode())]
    if key.models != EVERY_MODEL:
        words.append("models=" + ",".join(key.models))
    if key.trusted:
        words.append("trusted")
    if _read(words)[1].models != key.models:
        msg = "models are names or patterns in order, without commas in them"
        raise ValueError(msg)
    return " ".join(words)


def _hashed(secret: bytes) -> str:
    return _SCHEME + sha256(secret).hexdigest()


def _read(words: list[str]) -> tuple[str, Key]:
    if len(words) < 2 or _HASH.fullmatch(words[1]) is None:
        msg = f"expected NAME, then {_SCHEME} and 64 digits from 0 to f"
        raise ValueError(msg)
    if _NAME.fullmatch(words[0]) is None:
        msg = "a name is 1 to 64 letters, digits and ._@-, the first a letter or digit"
        raise ValueError(msg)
    models, trusted = EVERY_MODEL, False
    for word in words[2:]:
        if word == "trusted":
            trusted = True
        elif word.startswith("models="):
            models = _patterns(word.removeprefix("models="))
        else:
            msg = "behind the hash only models=NAME,NAME... and trusted are known"
            raise ValueError(msg)
    return words[1], Key(name=words[0], models=models, trusted=trusted)


def _patterns(text: str) -> tuple[str, ...]:
    patterns = tuple(sorted(set(text.split(","))))
    if not all(map(_PATTERN.fullmatch, patterns)):
        msg = "models= takes names or patterns like chat-*, with commas between"
        raise ValueError(msg)
    return patterns

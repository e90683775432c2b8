"""The tokens that open the admin port. Pure.

The file has a token in each line, printable and without spaces; empty lines, and those that begin
with ``#``, are left out. Each of them opens it, so that one is replaced while both hold.

Rule 1: what a caller sends is compared by its hash, with every token, in constant time.
Rule 2: what is wrong is told by its line; nothing that may be a token is repeated.
"""

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest

__all__ = ["Tokens", "read_tokens", "said_token"]

_TOKEN = re.compile(r"[!-~]{16,512}")


class Tokens:
    """All of them."""

    __slots__ = ("_hashes",)

    def __init__(self, tokens: Iterable[str]) -> None:
        self._hashes = tuple(sha256(token.encode()).digest() for token in tokens)

    def __len__(self) -> int:
        return len(self._hashes)

    def hold(self, said: bytes) -> bool:
        """Whether what was said is one of them."""
        hashed = sha256(said).digest()
        found = [compare_digest(hashed, known) for known in self._hashes]
        return any(found)


def read_tokens(text: str, *, source: str) -> tuple[Tokens, list[str]]:
    """The tokens in `text`, and a line for each thing wrong in it; `source` is named there."""
    found: list[str] = []
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        token = line.strip()
        if not token or token.startswith("#"):
            continue
        if _TOKEN.fullmatch(token) is None:
            allowed = "16 to 512 printable characters without spaces"
            faults.append(f"{source}:{number}: expected a token of {allowed}")
            continue
        found.append(token)
    if not found and not faults:
        faults.append(f"{source}: expected a line with a token; nobody could open the admin port")
    return Tokens(found), faults


def said_token(authorization: bytes) -> bytes | None:
    """The token in an Authorization field: after Bearer, or the password of Basic; else None."""
    scheme, _, said = authorization.strip().partition(b" ")
    said = said.strip()
    match scheme.lower():
        case b"bearer":
            return said or None
        case b"basic":
            try:
                _, _, word = b64decode(said, validate=True).partition(b":")
            except Error:
                return None
            return word or None
        case _:
            return None

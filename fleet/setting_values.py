"""What the text of each setting must look like, and the value it stands for. Pure but for `~`.

A parser raises `ValueError` with what is allowed; `fleet.settings` says which variable it was.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from fleet.gpubudget import parse_budget
from fleet.quantities import parse_bool, parse_bytes, parse_duration, parse_int, parse_number

__all__ = ["DURATIONS", "SIZES", "WORDS", "parse_value"]

_PARSERS: dict[type, Callable[[str], object]] = {
    str: str,
    bool: parse_bool,
    float: parse_number,
}
DURATIONS = {
    "header_timeout",
    "http_keepalive",
    "body_timeout",
    "shutdown_delay",
    "tunnel_idle",
    "shutdown_grace",
    "worker_timeout",
    "tick",
    "stable_window",
    "panic_window",
    "min_residency",
    "start_retry",
}
_POSITIVE = {
    "worker_timeout",
    "tick",
    "stable_window",
    "panic_window",
    "header_timeout",
    "body_timeout",
    "http_keepalive",
    "tunnel_idle",
}
SIZES = {"max_waiting_bytes", "held_bodies", "max_head", "naming_body"}
_MAY_BE_OFF = {"caller_wakes", "max_connections_per_address"}
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DB = re.compile(r"(?:/(?:\d{1,5})?)?")
_KEY_PREFIX = re.compile(r"[A-Za-z0-9:._-]{1,64}")
WORDS: Mapping[str, tuple[str, ...]] = {
    "log_level": ("debug", "info", "warning", "error"),
    "forwarded": ("off", "x-forwarded", "forwarded"),
    "half_close": ("gone", "serve"),
    "no_free_gpu": ("evict-first", "grow-first"),
    "tls_min_version": ("1.2", "1.3"),
    "tls_client_auth": ("required", "optional"),
}
"""Settings that are one of these words, in capitals or not."""


def parse_value(name: str, text: str, *, default: object) -> object:
    """The value of the setting `name`, which is of the type of its `default`."""
    special = _SPECIAL.get(name)
    if special is not None:
        return special(text)
    if name in WORDS:
        return _word(text, allowed=WORDS[name])
    if name in DURATIONS:
        return _duration(text, positive=name in _POSITIVE)
    if name in SIZES:
        return _size(text)
    if name in _MAY_BE_OFF:
        return parse_int(text, low=0, high=1_000_000)
    if type(default) is int:
        return parse_int(text, low=1, high=1_000_000)
    return _PARSERS[type(default)](text)


def _duration(text: str, *, positive: bool) -> float:
    seconds = parse_duration(text)
    if positive and seconds <= 0:
        msg = "a duration over 0"
        raise ValueError(msg)
    return seconds


def _word(text: str, *, allowed: Collection[str]) -> str:
    if text.lower() not in allowed:
        raise ValueError((", " if len(allowed) > 2 else " or ").join(allowed))
    return text.lower()


def _head(text: str) -> int:
    size = parse_bytes(text)
    if not 2**10 <= size <= 2**20:
        msg = "a size from 1Ki to 1Mi"
        raise ValueError(msg)
    return size


def _size(text: str) -> int:
    size = parse_bytes(text)
    if size < 2**20:
        msg = "a size of at least 1Mi"
        raise ValueError(msg)
    return size


def _naming(text: str) -> int:
    size = parse_bytes(text)
    if not 2**10 <= size <= 64 * 2**20:
        msg = "a size from 1Ki to 64Mi"
        raise ValueError(msg)
    return size


def _networks(text: str) -> str:
    words = [word.strip() for word in text.split(",") if word.strip()]
    try:
        return ",".join(str(ipaddress.ip_network(word)) for word in words)
    except ValueError as error:
        msg = f"networks like 10.0.0.0/8, with commas between ({error})"
        raise ValueError(msg) from None


def _via(text: str) -> str:
    if text and _TOKEN.fullmatch(text) is None:
        msg = "a word of letters, digits and -._~, or nothing"
        raise ValueError(msg)
    return text


def _file(text: str) -> str:
    return str(Path(text).expanduser()) if text else ""


def _namespace(text: str) -> str:
    if text and _LABEL.fullmatch(text) is None:
        msg = "the name of a namespace: a-z, 0-9 and -, at most 63"
        raise ValueError(msg)
    return text


def _namespaces(text: str) -> str:
    words = [word.strip() for word in text.split(",") if word.strip()]
    return ",".join(dict.fromkeys(map(_namespace, words)))


def _redis_url(text: str) -> str:
    if text and not _is_redis_url(text):
        msg = "redis://[USER:PASSWORD@]HOST[:PORT][/DB], or rediss:// for TLS"
        raise ValueError(msg)
    return text


def _is_redis_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    known = parts.scheme in ("redis", "rediss") and not (parts.query or parts.fragment)
    return bool(known and host and port != 0 and _DB.fullmatch(parts.path))


def _redis_prefix(text: str) -> str:
    if _KEY_PREFIX.fullmatch(text) is None:
        msg = "1 to 64 letters, digits, and any of :._-"
        raise ValueError(msg)
    return text


def _budget(text: str) -> str:
    parse_budget(text)
    return text


_SPECIAL: dict[str, Callable[[str], object]] = {
    "max_head": _head,
    "naming_body": _naming,
    "trusted_peers": _networks,
    "via": _via,
    "state_dir": lambda text: str(Path(text).expanduser()),
    "api_keys": _file,
    "admin_token_file": _file,
    "gpu_budget": _budget,
    "namespace": _namespace,
    "namespaces": _namespaces,
    "redis_url": _redis_url,
    "redis_prefix": _redis_prefix,
    "redis_ca": _file,
    "redis_cert": _file,
    "redis_key": _file,
}

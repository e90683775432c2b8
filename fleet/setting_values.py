"""What the text of each setting must look like, and the value it stands for. Pure but for `~`.

A parser raises `ValueError` with what is allowed; `fleet.settings` says which variable it was.
"""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from fleet.gpubudget import parse_budget
from fleet.quantities import parse_bool, parse_bytes, parse_duration, parse_int, parse_number

__all__ = ["DURATIONS", "parse_value"]

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
_SIZES = {"max_waiting_bytes", "held_bodies"}
_MAY_BE_OFF = {"caller_wakes", "max_connections_per_address"}
_FORWARDED = ("off", "x-forwarded", "forwarded")
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DB = re.compile(r"(?:/(?:\d{1,5})?)?")
_KEY_PREFIX = re.compile(r"[A-Za-z0-9:._-]{1,64}")
_LEVELS = ("debug", "info", "warning", "error")


def parse_value(name: str, text: str, *, default: object) -> object:
    """The value of the setting `name`, which is of the type of its `default`."""
    special = _SPECIAL.get(name)
    if special is not None:
        return special(text)
    if name in DURATIONS:
        return _duration(text, positive=name in _POSITIVE)
    if name in _SIZES:
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


def _level(text: str) -> str:
    if text.lower() not in _LEVELS:
        raise ValueError(", ".join(_LEVELS))
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


def _forwarded(text: str) -> str:
    if text.lower() not in _FORWARDED:
        raise ValueError(", ".join(_FORWARDED))
    return text.lower()


def _half_close(text: str) -> str:
    if text.lower() not in ("gone", "serve"):
        msg = "gone or serve"
        raise ValueError(msg)
    return text.lower()


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


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(" or ".join(words))
        return text.lower()

    return parse


_SPECIAL: dict[str, Callable[[str], object]] = {
    "tls_min_version": _one_of("1.2", "1.3"),
    "tls_client_auth": _one_of("required", "optional"),
    "log_level": _level,
    "no_free_gpu": _one_of("evict-first", "grow-first"),
    "max_head": _head,
    "naming_body": _naming,
    "trusted_peers": _networks,
    "forwarded": _forwarded,
    "via": _via,
    "half_close": _half_close,
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

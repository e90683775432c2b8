"""What a Deployment claims: the names of its models, and the calls that may pass. Pure.

Both come from annotations as text; what is wrong raises `ValueError` saying what is allowed.
"""

import re
from collections import Counter

from fleet.model import AllowRule, Served
from fleet.names import ModelName, is_model_name

__all__ = ["parse_allow", "parse_models"]

_MOST_NAMES, _LONGEST_NAMES = 100, 8192
_MOST_RULES, _LONGEST_RULES = 1000, 65536
_NAMES = (
    "names separated by commas, each NAME or ALIAS=NAME, of up to 253 letters, digits or ._/@:- "
    "beginning with a letter or digit"
)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_GRPC = "GRPC"
_RULES = (
    "all, or methods and paths like POST /predict, GET /items/* (a path may end in /* for all "
    f"below it; * is any path or method; methods: {', '.join(_METHODS)}; and {_GRPC} with "
    "/package.Service/Method or /package.Service/*)"
)
# Paths are compared decoded and normalised, so one that is not could never match.
_PATH = re.compile(r"/[^\s%?#\\*,\x00-\x1f\x7f]*")
_FULL_METHOD = re.compile(r"/[A-Za-z0-9_.]+/(?:[A-Za-z0-9_.]+|\*)|\*")


def parse_models(text: str) -> tuple[Served, ...]:
    """The models in `name, alias=served, ...`; the first is canonical."""
    _bound(text, longest=_LONGEST_NAMES, most=_MOST_NAMES, what="names")
    models = tuple(_served(part.strip()) for part in text.split(","))
    counts = Counter(model.name for model in models)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        msg = f"each name once, but {', '.join(twice)} is there more than once"
        raise ValueError(msg)
    return models


def _served(part: str) -> Served:
    alias, equals, served = (side.strip() for side in part.partition("="))
    if not is_model_name(alias) or (equals and not is_model_name(served)):
        raise ValueError(_NAMES)
    return Served(name=ModelName(alias), served=served or alias)


def parse_allow(text: str) -> tuple[AllowRule, ...]:
    """The rules in `all` or `METHOD /path, ...`, each once."""
    if text.strip() == "all":
        return (AllowRule(method="*", path="*"),)
    _bound(text, longest=_LONGEST_RULES, most=_MOST_RULES, what="rules")
    return tuple(dict.fromkeys(_rule(part) for part in text.split(",")))


def _bound(text: str, *, longest: int, most: int, what: str) -> None:
    """Before anything is read: an annotation may be 256 KiB long, and everybody may write one."""
    if len(text) > longest or text.count(",") >= most:
        msg = f"at most {most} {what} and {longest} characters in all"
        raise ValueError(msg)


def _rule(part: str) -> AllowRule:
    words = part.split()
    if len(words) != 2:
        raise ValueError(_RULES)
    if words[0] == _GRPC:
        proper = _FULL_METHOD.fullmatch(words[1]) is not None
    else:
        proper = words[0] in (*_METHODS, "*") and _is_path(words[1])
    if not proper:
        raise ValueError(_RULES)
    return AllowRule(method=words[0], path=words[1])


def _is_path(path: str) -> bool:
    if path in ("*", "/", "/*"):
        return True
    below = path.endswith("/*")
    stem = path.removesuffix("/*")
    if _PATH.fullmatch(stem) is None:
        return False
    # A slash at the end is a path of its own; empty and dot segments never arrive.
    *inner, last = stem.split("/")[1:]
    return not {"", ".", ".."} & set(inner) and last not in (".", "..") and not (below and not last)

"""Reads documents that come from outside: wrong types become problems, never exceptions. Pure.

Rule 1: a `Node` knows where it lies, so that every problem names its place and its value.
Rule 2: null counts as absent, as in Kubernetes.
Rule 3: `plain` comes first: it bounds depth and size, so nothing after it needs to.
"""

from collections.abc import Mapping

from fleet.model import Problem

__all__ = ["Node", "Report", "plain"]

_DEPTH = 50
_SIZE = 200_000
_BITS = 64
_SHOWN = 80


class Report:
    """The problems of one Deployment, in the order they were found, each once."""

    __slots__ = ("_problems", "deployment", "source")

    def __init__(self, *, source: str, deployment: str = "") -> None:
        self.source = source
        self.deployment = deployment
        self._problems: dict[Problem, None] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(self._problems)

    @property
    def refused(self) -> bool:
        """Whether anything is wrong that is more than a warning."""
        return not all(problem.warning for problem in self._problems)

    def refuse(self, key: str, value: object, allowed: str) -> None:
        """`value` at `key` is wrong; `allowed` says what would be right."""
        self._add(key, value, allowed, warning=False)

    def warn(self, key: str, value: object, allowed: str) -> None:
        """`value` at `key` works, but hardly as it is meant."""
        self._add(key, value, allowed, warning=True)

    def _add(self, key: str, value: object, allowed: str, *, warning: bool) -> None:
        problem = Problem(
            source=self.source,
            deployment=self.deployment,
            key=key,
            value=_shown(value),
            allowed=allowed,
            warning=warning,
        )
        self._problems[problem] = None


class Node:
    """One value in a document, and its place there."""

    __slots__ = ("_report", "path", "value")

    def __init__(self, value: object, report: Report, path: str = "") -> None:
        self.value = value
        self.path = path
        self._report = report

    @property
    def present(self) -> bool:
        return self.value is not None

    def at(self, *keys: str) -> "Node":
        """What lies under `keys`, one after the other; an absent node where nothing does."""
        node = self
        for key in keys:
            path = f"{node.path}.{key}" if node.path else key
            node = Node(node._mapping().get(key), self._report, path)
        return node

    def fields(self) -> dict[str, "Node"]:
        """The values of a mapping by key; none when it is absent or no mapping."""
        return {key: self.at(key) for key in self._mapping()}

    def items(self) -> tuple["Node", ...]:
        """The items of a list; none when it is absent or no list."""
        if self.value is None:
            return ()
        if not isinstance(self.value, list):
            self.refuse("a list")
            return ()
        return tuple(
            Node(item, self._report, f"{self.path}[{index}]")
            for index, item in enumerate(self.value)
        )

    def text(self, default: str = "") -> str:
        """The text here, or `default` when it is absent or no text."""
        if self.value is None:
            return default
        if not isinstance(self.value, str):
            self.refuse("text; numbers, dates and words like off or yes need quotes")
            return default
        if "\0" in self.value:
            self.refuse("text without a zero byte")
            return default
        return self.value

    def texts(self) -> tuple[str, ...]:
        """The items of a list of texts."""
        return tuple(item.text() for item in self.items())

    def whole(self, *, low: int, high: int, default: int) -> int:
        """The whole number here, or `default` when it is absent or none."""
        if self.value is None:
            return default
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            self.refuse(f"a whole number from {low} to {high}")
            return default
        if not low <= self.value <= high:
            self.refuse(f"a whole number from {low} to {high}")
            return default
        return self.value

    def flag(self) -> bool:
        """Whether it is true; false when it is absent or neither."""
        if self.value is not None and not isinstance(self.value, bool):
            self.refuse("true or false")
        return self.value is True

    def refuse(self, allowed: str) -> None:
        """The value here is wrong."""
        self._report.refuse(self.path, self.value, allowed)

    def warn(self, allowed: str) -> None:
        """The value here works, but hardly as it is meant."""
        self._report.warn(self.path, self.value, allowed)

    def _mapping(self) -> Mapping[str, object]:
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            self.refuse("a mapping")
            return {}
        return self.value


def plain(value: object) -> object:
    """A copy of `value` made of dict (keys are text), list, str, int, float, bool and None alone.

    Raises `ValueError` for one that is nested too deeply, is too large once its aliases are
    written out, contains itself, or holds a number beyond 64 bits.
    """
    return _Copy().of(value, depth=0)


class _Copy:
    def __init__(self) -> None:
        self._left = _SIZE

    def of(self, value: object, *, depth: int) -> object:
        self._left -= 1
        if depth > _DEPTH or self._left < 0:
            msg = f"at most {_SIZE} values, nested at most {_DEPTH} deep, and none within itself"
            raise ValueError(msg)
        if isinstance(value, str):
            return _text(value)
        # What is a dict is one at the first look: a Mapping takes a search.
        if isinstance(value, dict | Mapping):
            return {_key(key): self.of(item, depth=depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.of(item, depth=depth + 1) for item in value]
        return _scalar(value)


def _key(key: object) -> str:
    # `no:` without quotes is a key too, and Kubernetes calls it "false".
    if isinstance(key, str):
        return _text(key)
    return str(key).lower() if isinstance(key, bool) else str(_scalar(key))


def _scalar(value: object) -> object:
    if isinstance(value, int) and value.bit_length() > _BITS:
        msg = f"no number of more than {_BITS} bits"
        raise ValueError(msg)
    if value is None or isinstance(value, int | float):
        return value
    return _text(str(value))


def _text(value: str) -> str:
    # A lone surrogate can be written nowhere: not to a terminal, a file or an environment.
    return str(value) if value.isascii() else value.encode(errors="replace").decode()


def _shown(value: object) -> str:
    if value is None:
        return ""
    # The repr of a document's part may be long; the place is what helps.
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."

"""Finds manifest files and reads the Kubernetes objects in them.

Rule 1: the order is stable: by path, then by place within the file.
Rule 2: in a folder only what looks like a manifest counts (`apiVersion` and `kind` in its text, at
        most 8 MiB): a model repository beside it has YAML and JSON of its own. Hidden files and
        folders are skipped, and links to folders are not followed.
Rule 3: a file that breaks off keeps the objects before the break.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from fleet.document import plain
from fleet.model import Problem

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # libyaml is not everywhere
    from yaml import SafeLoader  # type: ignore[assignment]

__all__ = ["Documents", "KubeObject", "read_documents"]

_ENDINGS = frozenset({".yaml", ".yml", ".json"})
_LARGEST = 8 * 2**20
_MARKS = (b"apiVersion", b"kind")
_PLAIN_TEXT = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")
# What PyYAML's constructors raise for scalars that are not what their tag says.
_WRONG_VALUE = (
    *(yaml.YAMLError, RecursionError),
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError),
)
# libyaml's binding would recurse until the stack is used up, and merge until the memory is.
_DEEPEST = 100
_MOST_MERGED = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeObject:
    """One object: made of dict, list, text, numbers, bools and None alone."""

    value: dict[str, object]
    kind: str
    file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """All objects found, in order."""

    objects: tuple[KubeObject, ...]
    problems: tuple[Problem, ...]
    files: tuple[Path, ...]
    broken: frozenset[Path]
    """Files not read to their end, and folders not read at all."""


class _BrokenError(Exception):
    """A file is no good from `line` on."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class _Loader(SafeLoader):
    """YAML as Kubernetes reads it: dates stay text, and a key stands only once. Bounded."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._merged = 0

    def descend_resolver(self, parent: yaml.Node | None, index: object) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            message = f"nested more than {_DEEPEST} deep"
            mark = None if parent is None else parent.start_mark
            raise yaml.composer.ComposerError(None, None, message, mark)
        super().descend_resolver(parent, index)

    def ascend_resolver(self) -> None:
        self._depth -= 1
        super().ascend_resolver()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        self._merged += len(node.value)
        if self._merged > _MOST_MERGED:
            message = f"merges more than {_MOST_MERGED} values"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:  # noqa: FBT001, FBT002  # PyYAML's own signature
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                message = f"the key {key.value!r} stands here twice"
                raise yaml.constructor.ConstructorError(None, None, message, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _PLAIN_TEXT]
    for first, resolvers in SafeLoader.yaml_implicit_resolvers.items()
}


def read_documents(paths: Sequence[Path]) -> Documents:
    """The objects in `paths`: files, or folders with all below them."""
    objects: list[KubeObject] = []
    problems: list[Problem] = []
    files: list[Path] = []
    broken: set[Path] = set()
    unread: list[OSError] = []
    for file, named in _files(paths, unread):
        try:
            content = _content(file, named=named)
            if content is not None:
                files.append(file)
                for value in _parse(file, content):
                    objects.extend(_objects(value, file))
        except _BrokenError as error:
            source = f"{file}:{error.line}" if error.line else str(file)
            problems.append(_problem(source, str(error)))
            broken.add(file)
        except OSError as error:
            unread.append(error)
    for failure in unread:
        problems.append(_problem(str(failure.filename), f"cannot be read: {failure.strerror}"))
        broken.add(Path(str(failure.filename)))
    return Documents(
        objects=tuple(objects),
        problems=tuple(problems),
        files=tuple(files),
        broken=frozenset(broken),
    )


def _content(file: Path, *, named: bool) -> bytes | None:
    if named:
        return file.read_bytes()
    if file.stat().st_size > _LARGEST:
        return None
    content = file.read_bytes()
    return content if all(mark in content for mark in _MARKS) else None


def _problem(source: str, message: str) -> Problem:
    return Problem(source=source, deployment="", key="file", value="", allowed=message)


def _files(paths: Sequence[Path], unread: list[OSError]) -> Iterator[tuple[Path, bool]]:
    """Each file once, and whether it was named rather than found in a folder."""
    seen: set[Path] = set()
    for path in paths:
        named = not path.is_dir()
        for file in (path,) if named else sorted(_below(path, unread)):
            real = file.resolve()
            if real not in seen:
                seen.add(real)
                yield file, named


def _below(folder: Path, unread: list[OSError]) -> Iterator[Path]:
    for where, folders, names in os.walk(folder, onerror=unread.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = Path(where, name)
            if not name.startswith(".") and file.suffix in _ENDINGS and file.is_file():
                yield file


def _parse(file: Path, content: bytes) -> Iterator[object]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text ({error.reason} at byte {error.start})"
        raise _BrokenError(message, content[: error.start].count(b"\n") + 1) from error
    if file.suffix == ".json":
        yield _json(text)
    else:
        yield from _yaml(text)


def _json(text: str) -> object:
    try:
        return plain(json.loads(text))
    except json.JSONDecodeError as error:
        message = f"is not JSON: {error.msg}"
        raise _BrokenError(message, error.lineno) from error
    except (ValueError, RecursionError) as error:
        message = f"cannot be taken: {error}"
        raise _BrokenError(message) from error


def _yaml(text: str) -> Iterator[object]:
    line = 0
    try:
        loader = _Loader(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                if node is not None:
                    line = node.start_mark.line + 1
                    yield plain(loader.construct_document(node))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"is not YAML: {error.problem or error.context}"
        raise _BrokenError(message, mark.line + 1 if mark else line) from error
    except _WRONG_VALUE as error:
        message = f"cannot be taken: {error}"
        raise _BrokenError(message, line) from error


def _objects(value: object, file: Path) -> Iterator[KubeObject]:
    if not isinstance(value, dict):
        return
    kind = value.get("kind")
    if not isinstance(kind, str) or not isinstance(value.get("apiVersion"), str):
        return
    items = value.get("items")
    if kind.endswith("List") and isinstance(items, list):
        # The items of a DeploymentList do not say again what they are.
        inner = {"apiVersion": value["apiVersion"], "kind": kind.removesuffix("List")}
        for item in items:
            if isinstance(item, dict):
                yield from _objects({**inner, **item}, file)
    else:
        yield KubeObject(value=value, kind=kind, file=file)

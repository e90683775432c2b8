"""Deployments as plain documents, and what reading one gives."""

from typing import Any

from hypothesis import strategies as st

from fleet.deployment import Registration, read_deployment
from fleet.model import Revision

_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("all")
)
ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


def document(
    annotations: dict[str, Any] | None = None,
    *,
    container: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
) -> dict[str, Any]:
    keys = {"model": "m"} if annotations is None else annotations
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "d",
            "namespace": "n",
            "annotations": {f"ebbtide.dev/{key}": value for key, value in keys.items()},
        },
        "spec": {
            "template": {"spec": {"containers": [{"name": "c", **(container or {})}]}},
            **(spec or {}),
        },
    }


def read(document: dict[str, Any]) -> Registration:
    return read_deployment(document, source="f.yaml", created=5.0, version="7")


def accepted(*args: Any, **kwargs: Any) -> Revision:
    registration = read(document(*args, **kwargs))
    assert registration.revision is not None, [str(each) for each in registration.problems]
    return registration.revision


def refused(*args: Any, **kwargs: Any) -> list[str]:
    registration = read(document(*args, **kwargs))
    assert registration.revision is None
    return [str(each) for each in registration.problems if not each.warning]


def ports(*named: tuple[str | None, int]) -> dict[str, Any]:
    return {
        "ports": [
            {"containerPort": number} | ({"name": name} if name else {}) for name, number in named
        ]
    }

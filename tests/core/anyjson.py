"""Any JSON there can be, and JSON that was mangled in one place."""

import copy
from typing import Any

from hypothesis import strategies as st

__all__ = ["JSON", "mangled"]

_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("True")
)
JSON = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, inner in items:
        found += _places(inner, (*path, key))
    return found


@st.composite
def mangled(draw: st.DrawFn, document: dict[str, Any], *, times: int = 3) -> dict[str, Any]:
    """`document` with anything at all in up to `times` of its places, or nothing there."""
    made = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, times))):
        *path, last = draw(st.sampled_from(_places(made)))
        inner = made
        for key in path:
            inner = inner[key]
        if draw(st.booleans()):
            inner[last] = draw(JSON)
        else:
            del inner[last]
        if not made:
            break
    return made

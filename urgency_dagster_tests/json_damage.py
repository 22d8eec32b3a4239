"""Stored JSON with damaged parts, as an older version, a broken disk or a hand edit would leave it."""

import copy
from collections.abc import Iterator
from typing import Any, TypeAlias

from hypothesis import strategies as st

Place: TypeAlias = tuple[str | int, ...]
"""The keys and positions that lead to a part of a JSON value."""

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)

ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)

REMOVED = object()


@st.composite
def damaged(draw: st.DrawFn, whole: Any) -> Any:
    """A JSON value of which one to three parts are removed or are any other JSON."""
    value = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        if places := list(_places(value)):
            _change(value, draw(st.sampled_from(places)), draw(st.just(REMOVED) | ANY_JSON))
    return value


def _places(value: Any, at: Place = ()) -> Iterator[Place]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*at, key)
        yield from _places(part, (*at, key))


def _change(value: Any, place: Place, new: Any) -> None:
    *way, last = place
    for key in way:
        value = value[key]
    if new is REMOVED:
        del value[last]
    else:
        value[last] = new

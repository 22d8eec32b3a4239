import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.scoring.gap.characters import character_errors, edit_distance

TEXT = st.text("가나다ab1", max_size=12)


def by_definition(one: str, other: str) -> int:
    """The distance by its definition, without a table."""
    if not one or not other:
        return len(one) + len(other)
    changed = by_definition(one[1:], other[1:]) + (one[0] != other[0])
    return min(changed, by_definition(one[1:], other) + 1, by_definition(one, other[1:]) + 1)


@given(st.text("가나a", max_size=5), st.text("가나a", max_size=5))
def test_it_is_the_distance_by_its_definition(one: str, other: str) -> None:
    assert edit_distance(one, other) == by_definition(one, other)


@given(TEXT, TEXT)
def test_it_is_symmetric_and_zero_for_equal_texts_only(one: str, other: str) -> None:
    distance = edit_distance(one, other)
    assert distance == edit_distance(other, one)
    assert (distance == 0) == (one == other)
    assert abs(len(one) - len(other)) <= distance <= max(len(one), len(other))


@pytest.mark.parametrize(
    ("label", "recognised", "errors", "characters"),
    [
        ("불이 났어요.", "불이났어요", 0, 5),
        ("불이 났어요", "물이 났어", 2, 5),
        ("\u1107\u116e\u11af", "불", 0, 1),
        ("", "네 네", 2, 0),
        ("119!", "", 3, 3),
    ],
)
def test_letters_and_digits_count(label: str, recognised: str, errors: int, characters: int) -> None:
    assert character_errors(label, recognised) == (errors, characters)

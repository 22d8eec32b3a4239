import pytest

from docs.generate.hooks import PARTS, on_page_markdown


def test_a_marker_is_replaced_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, "number", lambda: "42")
    assert on_page_markdown("before\n\n<!-- generate: number -->\n\nafter `<!-- generate: number -->`") == (
        "before\n\n42\n\nafter `<!-- generate: number -->`"
    )


def test_an_unknown_marker_is_an_error() -> None:
    with pytest.raises(KeyError, match="weather"):
        on_page_markdown("<!-- generate: weather -->")

"""Figures as people read them."""

import pytest

from urgency_dagster.defs.figures import duration, figure_table, option_table, rounded, share, size, timing


def test_a_share_names_both_counts() -> None:
    assert share(3, 45, "calls") == "3 of 45 calls (6.7 %)"
    assert share(0, 1234, "samples") == "0 of 1,234 samples (0.0 %)"
    assert share(0, 0, "calls") == "no calls"


@pytest.mark.parametrize(
    ("size_bytes", "words"), [(1_260_000, "1.3 MB"), (999_000_000, "999.0 MB"), (87_300_000_000, "87.3 GB")]
)
def test_sizes_are_in_megabytes(size_bytes: int, words: str) -> None:
    assert size(size_bytes) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(12.34, "12.3 s"), (59.96, "60.0 s"), (252.1, "4 min 12 s"), (7520, "2 h 5 min")]
)
def test_times_are_in_words_and_in_seconds_for_the_plot(seconds: float, words: str) -> None:
    assert duration(seconds) == words
    assert timing(seconds) == {"took": words, "seconds": round(seconds, 1)}


def test_scores_are_rounded_and_options_are_exact() -> None:
    assert rounded({"f1": 0.123456, "n": 3, "name": "x"}) == {"f1": 0.1235, "n": 3, "name": "x"}
    assert "| f1 | 0.1235 |" in str(figure_table({"f1": 0.123456}).value)
    assert "| learning_rate | 2e-05 |" in str(option_table({"learning_rate": 2e-05}).value)

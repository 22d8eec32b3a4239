"""Files that real pandas 1.3, 1.4, 1.5, 2.0, 2.2 and 3.1 wrote, with the script beside them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from urgency_dagster.attention.reading.pickles import load_attention_pickle
from urgency_dagster_tests.attention.writers import write_pickles

FOLDER = Path(write_pickles.__file__).parent
WRITERS = ("1.3", "1.4", "1.5", "2.0", "2.2", "3.1", "3.1-without-pyarrow")


def load(writer: str, variant: str, protocol: int) -> Any:
    return load_attention_pickle(FOLDER / f"pandas-{writer}-{variant}-protocol-{protocol}.pkl")


def assert_features(X: Any, expected: Any) -> None:
    assert list(X.columns) == list(expected)
    assert X.index.tolist() == list(range(write_pickles.ROWS))
    for name, values in expected.items():
        assert X[name].dtype == values.dtype, name
        np.testing.assert_array_equal(X[name].to_numpy(), values)


@pytest.mark.parametrize("writer", WRITERS)
class TestEveryWriter:
    @pytest.mark.parametrize("protocol", [4, 5])
    def test_the_authors_tuple_loads(self, writer: str, protocol: int) -> None:
        loaded = load(writer, "authors", protocol)
        assert_features(loaded.X, write_pickles.features())
        np.testing.assert_array_equal(loaded.y, write_pickles.labels())
        np.testing.assert_array_equal(loaded.groups, write_pickles.participants())
        np.testing.assert_array_equal(loaded.t_s, write_pickles.seconds())
        assert (loaded.y.dtype, loaded.groups.dtype.kind, loaded.t_s.dtype) == (np.int64, "U", np.float64)
        assert loaded.warnings == ()

    def test_timestamps_in_one_utc_index_load(self, writer: str) -> None:
        loaded = load(writer, "utc", 5)
        assert_features(loaded.X, write_pickles.features())
        # That t agrees with the instants shows that these were read rightly.
        np.testing.assert_array_equal(loaded.t_s, write_pickles.seconds() - 9 * 3600)
        assert loaded.warnings == ()

    def test_the_students_tuple_loads_without_its_times(self, writer: str) -> None:
        loaded = load(writer, "student", 5)
        assert_features(loaded.X, write_pickles.features(write_pickles.STUDENT_NUMERIC, write_pickles.CATEGORICAL))
        np.testing.assert_array_equal(loaded.groups, write_pickles.participants())
        assert loaded.t_s is None
        assert loaded.warnings == ("t has 18 values for 15 rows and was dropped",)


def test_every_file_of_the_folder_is_tested() -> None:
    tested = {
        f"pandas-{writer}-{variant}.pkl"
        for writer in WRITERS
        for variant in ("authors-protocol-4", "authors-protocol-5", "utc-protocol-5", "student-protocol-5")
    }
    assert {file.name for file in FOLDER.glob("*.pkl")} == tested

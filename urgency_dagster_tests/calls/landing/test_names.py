import os
import unicodedata

import pytest

from urgency_dagster.calls.landing.names import composed, printable, same_name

NFC, NFD = (unicodedata.normalize(form, "TS_광주.zip") for form in ("NFC", "NFD"))


def test_decomposed_hangul_is_composed() -> None:
    assert composed(NFD) == NFC != NFD


@pytest.mark.parametrize(
    ("name", "shown"),
    [(NFC, NFC), (NFD, NFC), ("a\nb\0", "a\ufffdb\ufffd"), (os.fsdecode(b"\xb1.zip"), "\ufffd.zip"), ("a b", "a b")],
)
def test_what_cannot_be_shown_is_replaced(name: str, shown: str) -> None:
    assert printable(name) == shown


@pytest.mark.parametrize(
    ("one", "other"),
    [("TS_X.ZIP", "ts_x.zip"), (NFC, NFD), ("Straße", "STRASSE"), ("É", "e\u0301"), ("\u0390", "\u03aa\u0301")],
)
def test_names_that_a_disk_may_take_for_one(one: str, other: str) -> None:
    assert same_name(one) == same_name(other)


def test_other_names_differ() -> None:
    assert len({same_name(name) for name in ("TS_x.zip", "TL_x.zip", "TS_y.zip", "TS_é.zip", "TS_e.zip")}) == 5

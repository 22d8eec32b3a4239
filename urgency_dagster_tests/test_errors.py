"""The errors of the project."""

import pickle

import pytest

from urgency_dagster import errors
from urgency_dagster.errors import Rejected, UrgencyError

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, UrgencyError) and value is not Rejected
]


def test_a_message_has_the_received_value_the_expected_values_and_the_remedy() -> None:
    assert str(UrgencyError("no file", "a file", "copy it")) == "no file; expected a file; to fix it, copy it"
    assert str(UrgencyError("no file")) == "no file"
    assert str(UrgencyError("no file", remedy="copy it")) == "no file; to fix it, copy it"


@pytest.mark.parametrize("error", CLASSES)
def test_an_error_survives_pickling(error: type[UrgencyError]) -> None:
    back = pickle.loads(pickle.dumps(error("received", "expected", "remedy")))
    assert type(back) is error
    assert str(back) == "received; expected expected; to fix it, remedy"


def test_a_rejection_survives_pickling() -> None:
    back = pickle.loads(pickle.dumps(Rejected("too_short", "12 ms")))
    assert (back.reason, back.detail, str(back)) == ("too_short", "12 ms", "too_short: 12 ms")


def test_every_exception_is_an_urgency_error_and_is_in_the_docstring() -> None:
    defined = [value for value in vars(errors).values() if isinstance(value, type)]
    assert all(issubclass(value, UrgencyError) for value in defined)
    assert all(value.__name__ in (errors.__doc__ or "") for value in defined)

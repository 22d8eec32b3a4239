import pickle

import pytest

from urgency_dagster import errors
from urgency_dagster.errors import Rejected, UrgencyError

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, UrgencyError) and value is not Rejected
]


def test_an_error_says_what_was_received_what_was_expected_and_what_to_do():
    assert str(UrgencyError("no file", "a file", "copy it")) == "no file; expected a file; to fix it, copy it"
    assert str(UrgencyError("no file")) == "no file"
    assert str(UrgencyError("no file", remedy="copy it")) == "no file; to fix it, copy it"


@pytest.mark.parametrize("error", CLASSES)
def test_an_error_survives_leaving_its_process(error):
    back = pickle.loads(pickle.dumps(error("received", "expected", "remedy")))
    assert type(back) is error
    assert str(back) == "received; expected expected; to fix it, remedy"


def test_a_rejection_survives_leaving_its_process():
    back = pickle.loads(pickle.dumps(Rejected("too_short", "12 ms")))
    assert (back.reason, back.detail, str(back)) == ("too_short", "12 ms", "too_short: 12 ms")


def test_every_exception_has_the_one_root_and_is_in_the_tree():
    defined = [value for value in vars(errors).values() if isinstance(value, type)]
    assert all(issubclass(value, UrgencyError) for value in defined)
    assert all(value.__name__ in (errors.__doc__ or "") for value in defined)

"""A place in storage: when a model is taken up, and what keeps the former one."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from urgency_dagster.errors import ArtefactError
from urgency_dagster.serving.model_slot import RETRY_S, ModelSlot, files_below
from urgency_dagster.writing import replacing_folder


class Place:
    """A folder with one file, whose text is the model. A file that says `damaged` cannot be loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now_s = folder, 0.0
        self.slot: ModelSlot[str] = ModelSlot("place", lambda: files_below(folder), self.load, lambda: self.now_s)
        self.loading: Callable[[], object] = lambda: None

    def load(self) -> str:
        self.loading()
        try:
            text = (self.folder / "model.txt").read_text()
        except OSError as error:
            raise ArtefactError("there is no model", "one", "train it") from error
        if text == "damaged":
            raise ValueError("a secret of the content")
        return text

    def write(self, text: str) -> None:
        with replacing_folder(self.folder) as temporary:
            (temporary / "model.txt").write_text(text)

    def look_twice(self) -> bool:
        return self.slot.look() or self.slot.look()


def state_of(place: Place) -> tuple[str | None, str | None, int]:
    return place.slot.model, place.slot.error, place.slot.loads


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "place")


def test_the_first_look_takes_up_what_is_there(place: Place) -> None:
    place.write("first")
    assert place.slot.look()
    assert state_of(place) == ("first", None, 1)
    assert not place.slot.look()


def test_a_change_is_taken_up_when_two_looks_find_it(place: Place) -> None:
    place.write("first")
    place.slot.look()
    place.write("second")
    assert not place.slot.look()
    assert place.slot.model == "first"
    assert place.slot.look()
    assert (place.slot.model, place.slot.loads) == ("second", 2)


def test_a_folder_that_changes_at_every_look_is_not_taken_up(place: Place) -> None:
    place.write("first")
    place.slot.look()
    for number in range(5):
        place.write(f"part {number}")
        assert not place.slot.look()
    assert place.slot.model == "first"
    place.slot.look()
    assert place.slot.model == "part 4"


def test_a_model_whose_files_change_while_it_is_loaded_is_dropped(place: Place) -> None:
    place.write("first")
    place.slot.look()
    place.write("second")
    place.loading = lambda: place.write("third")
    assert not place.look_twice()
    assert place.slot.model == "first"
    place.loading = lambda: None
    assert place.look_twice()
    assert place.slot.model == "third"


def test_the_same_content_again_is_not_loaded(place: Place) -> None:
    place.write("first")
    place.slot.look()
    place.write("first")
    assert not place.look_twice()
    assert (place.slot.loads, place.slot.error) == (1, None)


@pytest.mark.parametrize("damage", ["deleted", "damaged"])
def test_the_former_model_goes_on_and_the_error_is_told(
    place: Place, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    place.write("first")
    place.slot.look()
    if damage == "deleted":
        (place.folder / "model.txt").unlink()
    else:
        place.write("damaged")
    with caplog.at_level(logging.WARNING):
        place.look_twice()
    assert place.slot.model == "first"
    expected = "there is no model" if damage == "deleted" else "ValueError while it was loaded"
    assert place.slot.error is not None
    assert place.slot.error.startswith(expected)
    assert "the former model goes on answering" in caplog.text
    assert "secret" not in caplog.text
    place.write("first")
    place.look_twice()
    assert state_of(place) == ("first", None, 1)


def test_an_error_is_logged_once_and_tried_again_later(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []
    place.loading = lambda: calls.append(1)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            place.slot.look()
        assert len(calls) == 1
        place.now_s = RETRY_S
        place.slot.look()
        place.slot.look()
    assert len(calls) == 2
    assert len(caplog.records) == 1


def test_a_model_that_comes_late_is_taken_up(place: Place) -> None:
    place.slot.look()
    assert state_of(place)[0] is None
    place.write("late")
    assert place.look_twice()
    assert state_of(place) == ("late", None, 1)

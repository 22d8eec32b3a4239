"""Which side reaches what: training calls the weights, development calls what is chosen, validation calls nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.urgency.configuration import SplitConfig
from urgency_dagster.urgency.data.dataset import build_training_set, read_training_set
from urgency_dagster.urgency.data.tables import DEVELOPMENT, TRAIN, VALIDATION
from urgency_dagster.urgency.package.model_folder import load_urgency_model, read_card
from urgency_dagster.urgency.training.fit import TrainingSummary, train
from urgency_dagster.writing import write_table
from urgency_dagster_tests.urgency.conftest import ARCHIVES, FAST

MODES = ["official", "call", "utterance"]

WEIGHTS = "model.safetensors"


def change_labels(paths: StoragePaths, side: str) -> None:
    """Gives every row of a side the next urgency and the other sentiment."""
    rows = pq.read_table(paths.urgency.rows)
    here = pc.equal(rows["side"], side)
    for name, classes in (("urgency_id", 3), ("sentiment_id", 2)):
        other = pa.array((rows[name].to_numpy() + 1) % classes)
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(place), pc.if_else(here, other, rows[name]))
    write_table(paths.urgency.rows, rows)


def change_vectors(paths: StoragePaths, side: str) -> None:
    """Gives every utterance of a side another vector."""
    rows = read_training_set(paths).side(side)
    for archive in pc.unique(rows["archive"]).to_pylist():
        here = rows.filter(pc.equal(rows["archive"], archive))["row"].to_numpy()
        vectors = np.load(paths.archive(archive).vectors)
        vectors[here] *= -100
        np.save(paths.archive(archive).vectors, vectors)


def change_texts(paths: StoragePaths, side: str) -> None:
    """Gives every utterance of a side the text of the first."""
    rows = pq.read_table(paths.urgency.rows)
    place = rows.schema.get_field_index("text")
    texts = pc.if_else(pc.equal(rows["side"], side), rows["text"][0], rows["text"])
    write_table(paths.urgency.rows, rows.set_column(place, rows.schema.field(place), texts))


CHANGES = [change_labels, change_vectors, change_texts]

Change = Callable[[StoragePaths, str], None]


def files_of(paths: StoragePaths) -> dict[str, bytes]:
    """The bytes of the checkpoint and of every file of the model folder, by name."""
    folder = paths.urgency.model
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return files | {"checkpoint": paths.urgency.checkpoint.read_bytes()}


@pytest.fixture
def built(paths: StoragePaths, request: pytest.FixtureRequest) -> StoragePaths:
    split: SplitConfig = getattr(request, "param", SplitConfig())
    build_training_set(paths, list(ARCHIVES), split)
    return paths


class TestValidationSide:
    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.parametrize("built", [SplitConfig(mode=mode) for mode in MODES], ids=MODES, indirect=True)
    def test_whatever_it_holds_the_model_has_the_same_bytes(
        self, built: StoragePaths, text_model: PretrainedModel, change: Change
    ) -> None:
        train(built, text_model, FAST)
        before = files_of(built)
        change(built, VALIDATION)
        train(built, text_model, FAST)
        assert files_of(built) == before

    def test_it_is_not_even_read(self, built: StoragePaths, text_model: PretrainedModel) -> None:
        train(built, text_model, FAST)
        before = files_of(built)
        rows = pq.read_table(built.urgency.rows)
        write_table(built.urgency.rows, rows.filter(pc.not_equal(rows["side"], VALIDATION)))
        shutil.rmtree(built.archive("V_광주_구급").folder)
        train(built, text_model, FAST)
        assert files_of(built) == before

    @pytest.mark.parametrize("built", [SplitConfig(selection="validation")], indirect=True)
    def test_on_demand_it_chooses_the_epoch(self, built: StoragePaths, text_model: PretrainedModel) -> None:
        """The same change is seen where the validation side does choose, so the tests above can fail."""
        before = train(built, text_model, FAST)
        change_labels(built, VALIDATION)
        after = train(built, text_model, FAST)
        assert losses(after) == losses(before)
        assert [epoch.average_f1 for epoch in after.history] != [epoch.average_f1 for epoch in before.history]


def losses(summary: TrainingSummary) -> list[float]:
    return [epoch.loss for epoch in summary.history]


class TestDevelopmentSide:
    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.parametrize("built", [SplitConfig(mode=mode) for mode in MODES], ids=MODES, indirect=True)
    def test_it_gives_no_gradient(self, built: StoragePaths, text_model: PretrainedModel, change: Change) -> None:
        """With one epoch there is no choice of an epoch, so the weights are those of the training calls alone."""
        one_epoch = FAST.changed(epochs=1)
        before = train(built, text_model, one_epoch)
        weights = files_of(built)[WEIGHTS]
        change(built, DEVELOPMENT)
        after = train(built, text_model, one_epoch)
        assert files_of(built)[WEIGHTS] == weights
        assert losses(after) == losses(before)

    def test_it_chooses_the_epoch(self, built: StoragePaths, text_model: PretrainedModel) -> None:
        before = train(built, text_model, FAST)
        weights = files_of(built)[WEIGHTS]
        change_labels(built, DEVELOPMENT)
        after = train(built, text_model, FAST)
        assert losses(after) == losses(before)
        for summary in (before, after):
            assert summary.best.average_f1 == max(epoch.average_f1 for epoch in summary.history)
        assert after.best.epoch != before.best.epoch, "the best epoch is the same, so this test shows nothing"
        assert files_of(built)[WEIGHTS] != weights

    @pytest.mark.parametrize("change", [change_labels, change_vectors])
    def test_it_fits_temperatures_and_thresholds(
        self, built: StoragePaths, text_model: PretrainedModel, change: Change
    ) -> None:
        models = []
        for changed in (False, True):
            if changed:
                change(built, DEVELOPMENT)
            train(built, text_model, FAST.changed(epochs=1))
            models.append(load_urgency_model(built.urgency.model))
        before, after = models
        for level in ("utterance", "call"):
            assert before.temperatures[level]["urgency"] != after.temperatures[level]["urgency"]
        assert before.thresholds.keys() == after.thresholds.keys() == {"answer_from", "alarm_from"}
        assert all(before.thresholds[name] != after.thresholds[name] for name in before.thresholds)

    def test_it_measures_the_speaker_model(self, built: StoragePaths, text_model: PretrainedModel) -> None:
        train(built, text_model, FAST.changed(epochs=1))
        before = read_card(built.urgency.model)["speaker"]
        change_vectors(built, DEVELOPMENT)
        train(built, text_model, FAST.changed(epochs=1))
        after = read_card(built.urgency.model)["speaker"]
        assert before["training"] == after["training"]
        assert before["accuracy"] != after["accuracy"]


def test_the_training_side_gives_the_gradient(built: StoragePaths, text_model: PretrainedModel) -> None:
    before = train(built, text_model, FAST.changed(epochs=1))
    change_labels(built, TRAIN)
    assert losses(train(built, text_model, FAST.changed(epochs=1))) != losses(before)


def test_a_side_of_few_calls_still_chooses(tmp_path: Path, text_model: PretrainedModel) -> None:
    from urgency_dagster_tests.urgency.conftest import write_root

    archives = {"T_광주_구급": 8, "V_광주_구급": 3}
    paths = write_root(tmp_path, archives=archives)
    summary = build_training_set(paths, list(archives), SplitConfig())
    assert 1 <= summary.calls[DEVELOPMENT] <= 3
    assert train(paths, text_model, FAST).best.epoch <= FAST.epochs

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from urgency_dagster.errors import ArtefactError, ModelError, SettingsError, TrainingDataError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.statistics.calibration import fit_temperature
from urgency_dagster.statistics.confusion import confusion_matrix, f1_macro
from urgency_dagster.urgency.configuration import SplitConfig
from urgency_dagster.urgency.data.batches import UtteranceDataset, tokenise
from urgency_dagster.urgency.data.dataset import build_training_set, first_rows, read_training_set
from urgency_dagster.urgency.data.tables import DEVELOPMENT, TRAIN
from urgency_dagster.urgency.network.inference import mean_by_call, predict_logits
from urgency_dagster.urgency.package.checkpoints import read_checkpoint
from urgency_dagster.urgency.package.model_folder import UrgencyModel, load_urgency_model, read_card
from urgency_dagster.urgency.training.fit import TrainingSummary, train
from urgency_dagster.urgency.training.resume import BEST, LAST
from urgency_dagster_tests.urgency.conftest import (
    ARCHIVES,
    FAST,
    WORDS,
    Trained,
    train_and_evaluate,
    write_root,
)

ONE_EPOCH = FAST.changed(epochs=1)
TWO_EPOCHS = FAST.changed(epochs=2)


def test_a_training_learns_urgency_and_sentiment(trained: Trained) -> None:
    majority = trained.metrics["majority"]
    assert trained.metrics["utterance"]["urgency"]["f1_macro"] > majority["urgency"]["f1_macro"] + 0.2
    assert trained.metrics["utterance"]["sentiment"]["f1_macro"] > majority["sentiment"]["f1_macro"] + 0.2


def test_several_audio_vectors_are_learnt_from(trained_on_spans: Trained, trained: Trained) -> None:
    majority, scores = (trained_on_spans.metrics[name] for name in ("majority", "utterance"))
    assert scores["urgency"]["f1_macro"] > majority["urgency"]["f1_macro"] + 0.2
    assert scores["sentiment"]["f1_macro"] > majority["sentiment"]["f1_macro"] + 0.2
    assert trained_on_spans.summary.parameters == trained.summary.parameters


def development_side(paths: StoragePaths, model: UrgencyModel) -> UtteranceDataset:
    rows = read_training_set(paths).side(DEVELOPMENT)
    return UtteranceDataset(paths, rows, tokenise(rows["text"], model.tokenizer, model.max_length))


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory: pytest.TempPathFactory, text_model: PretrainedModel) -> Trained:
    """A training on labels that have nothing to do with their content."""
    return train_and_evaluate(write_root(tmp_path_factory.mktemp("shuffled"), shuffle_labels=True), text_model)


def test_shuffled_labels_stay_at_chance(shuffled: Trained) -> None:
    low, _ = shuffled.metrics["utterance"]["urgency"]["f1_macro_interval"]
    assert low < 1 / 3
    assert shuffled.metrics["utterance"]["urgency"]["f1_macro"] < 0.45


def test_the_best_epoch_is_stored_and_not_the_last(shuffled: Trained) -> None:
    history, best = shuffled.summary.history, shuffled.summary.best
    assert [scores.epoch for scores in history] == [1, 2, 3, 4]
    assert best.average_f1 == max(scores.average_f1 for scores in history)
    assert best.epoch < len(history), "the best epoch is the last one, so this test shows nothing"
    assert read_checkpoint(shuffled.paths.urgency.checkpoint)["epoch"] == best.epoch
    model = load_urgency_model(shuffled.paths.urgency.model)
    dataset = development_side(shuffled.paths, model)
    logits = predict_logits(model.network, dataset, batch_size=FAST.batch_size, device="cpu")
    for task, expected in (("urgency", best.urg_f1), ("sentiment", best.sent_f1)):
        matrix = confusion_matrix(
            getattr(dataset, task), getattr(logits, task).argmax(axis=1), getattr(logits, task).shape[1]
        )
        assert f1_macro(matrix) == expected


def test_the_rate_falls_along_half_a_cosine(trained: Trained) -> None:
    top, bottom, epochs = FAST.learning_rate, FAST.min_learning_rate, FAST.epochs
    expected = [bottom + (top - bottom) * (1 + np.cos(np.pi * epoch / epochs)) / 2 for epoch in range(epochs)]
    assert [scores.learning_rate for scores in trained.summary.history] == pytest.approx(expected)


def test_progress_counts_every_step(paths: StoragePaths, text_model: PretrainedModel) -> None:
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    seen = []
    train(paths, text_model, ONE_EPOCH, lambda done, total, **figures: seen.append((done, total, figures)))
    assert [done for done, _, _ in seen] == list(range(1, seen[0][1] + 1))
    assert all(figures.keys() == {"loss", "lr"} for _, _, figures in seen)


def test_the_same_training_gives_the_same_bytes(tmp_path: Path, trained: Trained, text_model: PretrainedModel) -> None:
    again = train_and_evaluate(write_root(tmp_path / "elsewhere"), text_model)
    assert again.summary == trained.summary
    assert again.metrics == trained.metrics
    for first in sorted(trained.paths.urgency.folder.rglob("*")):
        second = again.paths.root / trained.paths.relative(first)
        assert first.is_dir() or first.read_bytes() == second.read_bytes(), first.name


def test_another_seed_is_another_training(paths: StoragePaths, trained: Trained, text_model: PretrainedModel) -> None:
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    other = train(paths, text_model, ONE_EPOCH.changed(seed=1))
    assert other.history[0].loss != trained.summary.history[0].loss


@pytest.fixture(scope="module")
def two_epochs(
    trained: Trained, tmp_path_factory: pytest.TempPathFactory, text_model: PretrainedModel
) -> TrainingSummary:
    """What the untouched configuration comes to after two epochs."""
    paths = StoragePaths(shutil.copytree(trained.paths.root, tmp_path_factory.mktemp("two") / "root"))
    return train(paths, text_model, TWO_EPOCHS)


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 8},
        {"learning_rate": 1e-3},
        {"weight_decay": 0.5},
        {"min_learning_rate": 4e-3},
        {"clip_norm": 0.01},
        {"sentiment_weight": 0.0},
        {"urgency_weight": 0.0},
        {"dropout": 0.0},
        {"attention_dropout": 0.9},
        {"max_length": 4},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_hyper_parameter_reaches_the_training(
    paths: StoragePaths, two_epochs: TrainingSummary, text_model: PretrainedModel, change: dict[str, Any]
) -> None:
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    other = train(paths, text_model, TWO_EPOCHS.changed(**change))
    assert other.history[1].loss != two_epochs.history[1].loss


def test_the_heads_matter_only_to_several_audio_vectors(
    paths: StoragePaths, two_epochs: TrainingSummary, text_model: PretrainedModel, tmp_path: Path
) -> None:
    """The weight of the only vector is 1 in every head."""
    one_head = TWO_EPOCHS.changed(attention_heads=1)
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    loss = train(paths, text_model, one_head).history[1].loss
    assert loss == pytest.approx(two_epochs.history[1].loss, rel=1e-6)  # other shapes of products round differently
    spans = write_root(tmp_path / "spans", tokens=4)
    build_training_set(spans, list(ARCHIVES), SplitConfig())
    one, four = (train(spans, text_model, config).history[1].loss for config in (one_head, TWO_EPOCHS))
    assert one != four


def test_the_callers_random_state_is_untouched(paths: StoragePaths, text_model: PretrainedModel) -> None:
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    before = torch.random.get_rng_state()
    train(paths, text_model, ONE_EPOCH)
    assert torch.equal(before, torch.random.get_rng_state())


def test_nan_in_the_vectors_stops_the_training(paths: StoragePaths, text_model: PretrainedModel) -> None:
    target = paths.archive("T_광주_구급").vectors
    np.save(target, np.full_like(np.load(target), np.nan))
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    with pytest.raises(TrainingDataError, match="the loss became nan"):
        train(paths, text_model, ONE_EPOCH)
    assert not paths.urgency.checkpoint.exists()
    assert not paths.urgency.model.exists()


def test_no_training_set_is_refused(tmp_path: Path, text_model: PretrainedModel) -> None:
    with pytest.raises(ArtefactError, match="no training set"):
        train(StoragePaths(tmp_path), text_model, ONE_EPOCH)


def test_a_folder_without_a_model_is_refused(paths: StoragePaths, tmp_path: Path) -> None:
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    with pytest.raises(ModelError, match="cannot be loaded"):
        train(paths, PretrainedModel("nothing", tmp_path / "nothing", "local"), ONE_EPOCH)


def test_the_unknown_tokens_are_on_the_card_and_too_many_are_refused(
    paths: StoragePaths, text_model: PretrainedModel, tmp_path: Path
) -> None:
    """In a vocabulary without the words of the fixtures' labels, each text has at least one unknown word."""
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    folder = shutil.copytree(text_model.folder, tmp_path / "other")
    vocabulary = (folder / "tokenizer.json").read_text(encoding="utf-8")
    for number, word in enumerate(word for words in WORDS.values() for word in words):
        vocabulary = vocabulary.replace(f'"{word}"', f'"other{number}"')
    (folder / "tokenizer.json").write_text(vocabulary, encoding="utf-8")
    other = PretrainedModel("other", folder, "local")
    with pytest.raises(ModelError, match=r"of the training texts are unknown to the text model 'other'.* 20\.0%"):
        train(paths, other, ONE_EPOCH.changed(unknown_tokens_max=0.2))
    train(paths, other, ONE_EPOCH.changed(unknown_tokens_max=0.9))
    used = read_training_set(paths).side(TRAIN)["text"].to_pylist()
    expected = len(used) / sum(len(text.split()) for text in used)  # one word of the label in each text
    assert read_card(paths.urgency.model)["unknown_tokens"] == pytest.approx(expected)
    assert f"| {expected:.2%} |" in (paths.urgency.model / "README.md").read_text(encoding="utf-8")


def test_heads_that_do_not_divide_the_width_are_refused(paths: StoragePaths, text_model: PretrainedModel) -> None:
    build_training_set(paths, list(ARCHIVES), SplitConfig())
    with pytest.raises(SettingsError, match="attention heads"):
        train(paths, text_model, ONE_EPOCH.changed(attention_heads=5))


class TestCalibration:
    def test_without_a_development_side_nothing_is_fitted(
        self, paths: StoragePaths, text_model: PretrainedModel
    ) -> None:
        build_training_set(paths, list(ARCHIVES), SplitConfig(selection="validation"))
        train(paths, text_model, ONE_EPOCH)
        model = load_urgency_model(paths.urgency.model)
        ones = {"urgency": 1.0, "sentiment": 1.0}
        assert model.temperatures == {"utterance": ones, "call": ones}
        assert model.thresholds == {}
        readme = (paths.urgency.model / "README.md").read_text(encoding="utf-8")
        assert "| alarm threshold for a call | not offered: the development side has no calls of 상 (high) |" in readme
        assert "| validation side, by utterance | accuracy | macro-F1 |" in readme

    def test_the_card_says_which_calls_chose_what(self, trained: Trained) -> None:
        card = read_card(trained.paths.urgency.model)
        summary = read_training_set(trained.paths).summary
        assert (card["calls"], card["utterances"]) == (summary.calls, summary.utterances)
        assert 0 < card["calls"][DEVELOPMENT] < card["calls"][TRAIN] / 4
        assert card["split"]["selection"] == DEVELOPMENT
        sizes = f"{summary.utterances[DEVELOPMENT]} utterances of {summary.calls[DEVELOPMENT]} calls"
        readme = (trained.paths.urgency.model / "README.md").read_text(encoding="utf-8")
        assert f"| best epoch | {card['epoch']} of {FAST.epochs}, chosen on {sizes} (development) |" in readme
        assert "| development side, by utterance | accuracy | macro-F1 |" in readme
        model = load_urgency_model(trained.paths.urgency.model)
        assert (card["temperatures"], card["thresholds"]) == (model.temperatures, model.thresholds)

    def test_each_level_has_the_temperature_that_fits_it(self, trained: Trained) -> None:
        model = load_urgency_model(trained.paths.urgency.model)
        dataset = development_side(trained.paths, model)
        logits = predict_logits(model.network, dataset, batch_size=FAST.batch_size, device="cpu")
        first = first_rows(dataset.calls)
        levels = {"utterance": (logits, slice(None)), "call": (mean_by_call(logits, dataset.calls), first)}
        for level, (of_level, of_rows) in levels.items():
            for task in ("urgency", "sentiment"):
                expected = fit_temperature(getattr(of_level, task), getattr(dataset, task)[of_rows])
                assert model.temperatures[level][task] == pytest.approx(expected, rel=1e-6), (level, task)
        assert model.temperatures["utterance"] != model.temperatures["call"]

    def test_too_few_calls_fit_no_temperature_and_no_threshold_and_the_card_says_so(
        self, paths: StoragePaths, text_model: PretrainedModel
    ) -> None:
        build_training_set(paths, list(ARCHIVES), SplitConfig())
        train(paths, text_model, ONE_EPOCH.changed(min_development_calls=20))
        model, card = load_urgency_model(paths.urgency.model), read_card(paths.urgency.model)
        assert model.thresholds == {}
        assert model.temperatures["call"] == {"urgency": 1.0, "sentiment": 1.0}
        assert model.temperatures["utterance"]["urgency"] != 1
        calls, alarm = card["calls"][DEVELOPMENT], card["threshold_fits"]["alarm_from"]
        readme = (paths.urgency.model / "README.md").read_text(encoding="utf-8")
        assert f"not fitted: the development side has {calls} calls, 20 are needed" in readme
        low, high = alarm["interval"]
        assert f"only {alarm['calls']} calls of 상 (high), and at least 20 are needed" in readme
        assert f"{low:.1%} to {high:.1%} of them (95 % interval)" in readme

    @pytest.mark.parametrize(("name", "shares"), [("deferral_rate", (0.0, 0.5)), ("alarm_recall", (0.95, 0.3))])
    def test_the_configuration_sets_the_thresholds(
        self, paths: StoragePaths, text_model: PretrainedModel, name: str, shares: tuple[float, float]
    ) -> None:
        build_training_set(paths, list(ARCHIVES), SplitConfig())
        fitted = []
        for share in shares:
            train(paths, text_model, ONE_EPOCH.changed(**{name: share}))
            fitted.append(load_urgency_model(paths.urgency.model).thresholds)
        moved = "answer_from" if name == "deferral_rate" else "alarm_from"
        assert fitted[0][moved] < fitted[1][moved]
        assert all(fitted[0][key] == fitted[1][key] for key in fitted[0].keys() - {moved})


class TestMixedPrecision:
    REDUCED = FAST.changed(mixed_precision="bf16")

    @pytest.fixture
    def reduced(self, paths: StoragePaths, text_model: PretrainedModel) -> tuple[StoragePaths, TrainingSummary]:
        build_training_set(paths, list(ARCHIVES), SplitConfig())
        return paths, train(paths, text_model, self.REDUCED)

    def test_bf16_learns_as_well_with_slightly_other_losses(
        self, trained: Trained, reduced: tuple[StoragePaths, TrainingSummary]
    ) -> None:
        _, summary = reduced
        for ours, full in zip(summary.history, trained.summary.history, strict=True):
            assert ours.loss != full.loss
            assert ours.loss == pytest.approx(full.loss, rel=0.05)

    def test_the_stored_weights_are_float32(self, reduced: tuple[StoragePaths, TrainingSummary]) -> None:
        paths, _ = reduced
        assert {tensor.dtype for tensor in load_urgency_model(paths.urgency.model).network.state_dict().values()} == {
            torch.float32
        }
        state = read_checkpoint(paths.urgency.checkpoint)
        assert {tensor.dtype for tensor in state["model_state_dict"].values()} == {torch.float32}
        assert state["config"]["mixed_precision"] == "bf16"

    def test_an_interrupted_training_in_bf16_has_the_same_result(
        self, reduced: tuple[StoragePaths, TrainingSummary], text_model: PretrainedModel
    ) -> None:
        paths, summary = reduced
        before = paths.urgency.checkpoint.read_bytes()
        with pytest.raises(Killed):
            train(paths, text_model, self.REDUCED, TestResume().stop_in(3))
        assert train(paths, text_model, self.REDUCED) == summary
        assert paths.urgency.checkpoint.read_bytes() == before

    def test_an_unsupported_precision_is_refused(self, paths: StoragePaths, text_model: PretrainedModel) -> None:
        build_training_set(paths, list(ARCHIVES), SplitConfig())
        with pytest.raises(SettingsError, match="fp16"):
            train(paths, text_model, FAST.changed(mixed_precision="fp16"))


class Steps:
    """Records the progress of a training."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.total = 0

    def __call__(self, done: int, total: int, **figures: float) -> None:
        self.done.append(done)
        self.total = total


class Killed(BaseException):
    """Ends a training from outside, as a signal does."""


class TestResume:
    def stop_in(self, epoch: int, steps: int = 1) -> Callable[..., None]:
        """Ends the training some steps into an epoch."""

        def progress(done: int, total: int, **figures: float) -> None:
            if done == (epoch - 1) * total // FAST.epochs + steps:
                raise Killed

        return progress

    @pytest.fixture
    def trained_paths(self, trained: Trained, tmp_path: Path) -> StoragePaths:
        """The root of `trained`, without what the training made of it."""
        paths = StoragePaths(shutil.copytree(trained.paths.root, tmp_path / "again"))
        paths.urgency.checkpoint.unlink()
        shutil.rmtree(paths.urgency.model)
        return paths

    @pytest.mark.parametrize("epoch", [1, 2, 3, 4])
    def test_a_resumed_training_has_the_same_result(
        self, trained: Trained, trained_paths: StoragePaths, text_model: PretrainedModel, epoch: int
    ) -> None:
        with pytest.raises(Killed):
            train(trained_paths, text_model, FAST, self.stop_in(epoch))
        assert not trained_paths.urgency.checkpoint.exists()
        steps = Steps()
        summary = train(trained_paths, text_model, FAST, steps)
        assert summary == trained.summary
        assert steps.done[0] == (epoch - 1) * steps.total // FAST.epochs + 1, "no whole epoch is trained again"
        for first in sorted(file for file in trained.paths.urgency.model.rglob("*") if file.is_file()):
            assert first.read_bytes() == (trained_paths.root / trained.paths.relative(first)).read_bytes(), first.name
        assert trained_paths.urgency.checkpoint.read_bytes() == trained.paths.urgency.checkpoint.read_bytes()
        assert not trained_paths.urgency.unfinished_training.exists()

    def test_a_training_may_be_interrupted_several_times(
        self, trained: Trained, trained_paths: StoragePaths, text_model: PretrainedModel
    ) -> None:
        for epoch in (2, 2, 3, 4, 4):
            with pytest.raises(Killed):
                train(trained_paths, text_model, FAST, self.stop_in(epoch, steps=2))
        assert train(trained_paths, text_model, FAST) == trained.summary

    def test_a_training_with_another_seed_starts_at_its_first_epoch(
        self, trained_paths: StoragePaths, text_model: PretrainedModel
    ) -> None:
        with pytest.raises(Killed):
            train(trained_paths, text_model, FAST, self.stop_in(3))
        steps = Steps()
        train(trained_paths, text_model, FAST.changed(seed=1), steps)
        assert steps.done[0] == 1

    @pytest.mark.parametrize("name", [LAST, BEST])
    @pytest.mark.parametrize("content", [None, b"", b"damaged"])
    def test_a_damaged_or_missing_state_is_trained_again(
        self,
        trained: Trained,
        trained_paths: StoragePaths,
        text_model: PretrainedModel,
        name: str,
        content: bytes | None,
    ) -> None:
        with pytest.raises(Killed):
            train(trained_paths, text_model, FAST, self.stop_in(3))
        kept = trained_paths.urgency.unfinished_training / name
        if content is None:
            kept.unlink()
        else:
            kept.write_bytes(content)
        assert train(trained_paths, text_model, FAST) == trained.summary

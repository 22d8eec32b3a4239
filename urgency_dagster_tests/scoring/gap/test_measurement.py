"""What missing labels cost, measured on recordings."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from urgency_dagster.calls import load_waveform, sample_at
from urgency_dagster.cli import main
from urgency_dagster.errors import ArtefactError, RecognitionError
from urgency_dagster.listening import HeardCall, Listener, Listening, Segment, Transcript, Turn
from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import load_predictor, measure_label_free_gap
from urgency_dagster.scoring.archive import scored_with
from urgency_dagster.urgency import (
    GAP_METRICS,
    Predictor,
    export_model,
    load_model,
    read_held_out_calls,
    read_metrics,
)
from urgency_dagster.writing import read_json, write_json, write_table
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.scoring.gap.conftest import CONFIG, Measured
from urgency_dagster_tests.urgency.spoken import SpokenRoot

VALIDATION = "V_광주_구급"


def measured(paths: StoragePaths, predictor: Predictor | None = None) -> dict[str, Any]:
    return measure_label_free_gap(paths, predictor or load_predictor(paths.root), CONFIG)


def files(paths: StoragePaths) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(paths.urgency.label_free_gap.iterdir())}


@dataclass(frozen=True)
class LabelReader:
    """A recogniser that knows the labels: the text by the samples of an utterance."""

    texts: dict[bytes, str] = field(repr=False)
    listening: Listening = "http"
    needs_tokens: bool = False

    def transcripts(self, segments: Sequence[Segment]) -> Sequence[Transcript]:
        return [Transcript(self.texts.get(segment.waveform.tobytes(), "")) for segment in segments]


class LabelListener(Listener):
    """A listener that finds exactly the turns of the labels."""

    turns: dict[bytes, list[Turn]]

    def listen(self, waveform: Any, turns: Sequence[Turn] | None = None) -> HeardCall:
        samples = np.concatenate(list(waveform))
        return super().listen(samples, turns or self.turns[samples.tobytes()])


@pytest.fixture(scope="module")
def labels(speaking: SpokenRoot) -> dict[bytes, list[Turn]]:
    """The utterances of each call, by its samples."""
    turns: dict[bytes, list[Turn]] = {}
    for archive in speaking.paths.root.joinpath("calls").iterdir():
        for row in pq.read_table(archive / "utterances.parquet").to_pylist():
            samples = load_waveform(speaking.paths.root / row["wav_file_path"]).tobytes()
            turns.setdefault(samples, []).append(Turn(row["startAt"], row["endAt"], row["text"]))
    return turns


@pytest.fixture(scope="module")
def reader(labels: dict[bytes, list[Turn]]) -> LabelReader:
    texts = {}
    for samples, turns in labels.items():
        waveform = np.frombuffer(samples, np.float32)
        for turn in turns:
            texts[waveform[sample_at(turn.start_ms) : sample_at(turn.end_ms)].tobytes()] = str(turn.text)
    return LabelReader(texts)


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner)
    else:
        yield value


class TestWays:
    def test_label_turns_and_label_text_are_the_evaluation(self, once: Measured) -> None:
        metrics, evaluation = once.metrics, read_metrics(once.paths)
        assert evaluation
        assert metrics["same_as_evaluation"]["passed"]
        assert metrics["same_as_evaluation"]["max_difference"] <= metrics["same_as_evaluation"]["limit"] == 1e-5
        for unit in ("utterance", "call"):
            for task in ("urgency", "sentiment"):
                ours, theirs = metrics["ways"]["label"][unit][task], evaluation[unit][task]
                assert {name: ours[name] for name in ("accuracy", "f1_macro")} == {
                    name: theirs[name] for name in ("accuracy", "f1_macro")
                }

    def test_recognised_text_that_equals_the_label_costs_nothing(
        self, copied: StoragePaths, reader: LabelReader
    ) -> None:
        metrics = measured(copied, replace(load_predictor(copied.root), recogniser=reader))
        assert set(numbers(metrics["differences"]["label_turns"])) == {0.0}
        assert metrics["character_error_rate"]["label_turns"]["rate"] == 0
        assert metrics["character_error_rate"]["found_turns"]["rate"] > 0

    def test_turns_and_text_that_equal_the_label_cost_nothing(
        self, copied: StoragePaths, reader: LabelReader, labels: dict[bytes, list[Turn]]
    ) -> None:
        predictor = replace(load_predictor(copied.root), recogniser=reader)
        listener = LabelListener(predictor.listener.encoder, reader)
        object.__setattr__(listener, "turns", {key: [replace(turn, text=None) for turn in of_call]
                                               for key, of_call in labels.items()})  # fmt: skip
        predictor.__dict__["listener"] = listener
        metrics = measured(copied, predictor)
        assert set(numbers(metrics["differences"])) == {0.0}
        assert {way: rate["rate"] for way, rate in metrics["character_error_rate"].items()} == {
            "label_turns": 0,
            "found_turns": 0,
        }
        speech = metrics["speech"]
        assert (speech["missed"], speech["covered_utterances"], speech["turns_without_label"]) == (0, 1, 0)

    def test_turns_are_found_and_their_text_is_recognised(self, once: Measured) -> None:
        metrics = once.metrics
        assert metrics["listening"] == "ctc"
        assert metrics["calls"]["validation"] == {"asked": 8, "measured": 8, "left_out": {}}
        assert metrics["speech"]["turns"] >= 16
        assert metrics["speech"]["missed"] < 0.3
        assert metrics["speech"]["covered_utterances"] > 0.7
        assert metrics["character_error_rate"]["label_turns"]["rate"] > 0.5, "a random CTC head understands nothing"
        assert metrics["ways"]["found_turns"]["call"]["urgency"]["n"] == 8
        for way in ("label_turns", "found_turns"):
            assert metrics["differences"][way]["call"]["urgency"]["f1_macro"] < 0, "the text matters to this model"

    def test_the_same_input_gives_the_same_bytes(self, copied: StoragePaths, once: Measured) -> None:
        measured(copied)
        first = files(once.paths)
        assert files(copied) == first
        assert sorted(first) == ["metrics.json", "report.md"]

    def test_no_text_and_no_id_is_stored(self, once: Measured, speaking: SpokenRoot) -> None:
        written = b"".join(files(once.paths).values()).decode()
        for row in speaking.rows():
            assert row["text"] not in written
            assert row["_id"] not in written

    def test_progress_counts_the_calls_of_both_sets(self, copied: StoragePaths) -> None:
        seen: list[tuple[int, int]] = []
        predictor = load_predictor(copied.root)
        measure_label_free_gap(copied, predictor, CONFIG, lambda done, total, **_: seen.append((done, total)))
        assert seen == [(done, 11) for done in range(1, 12)]


class TestWithoutARecogniser:
    def test_it_says_what_is_not_measured(self, copied: StoragePaths) -> None:
        metrics = measured(copied, replace(load_predictor(copied.root), recogniser="none"))
        assert metrics["character_error_rate"] is None
        assert "character error rate is not measured" in metrics["not_measured"]
        report = files(copied)["report.md"].decode()
        assert metrics["not_measured"] in report
        assert "(b) label turns, no text" in report
        assert metrics["speech"]["missed"] < 0.3, "what needs no text is measured"


class TestCallsThatCannotBeHeard:
    def test_a_missing_recording_is_left_out_and_counted(self, copied: StoragePaths) -> None:
        min(copied.archive(VALIDATION).audio.iterdir()).unlink()
        metrics = measured(copied)
        assert metrics["calls"]["validation"] == {"asked": 8, "measured": 7, "left_out": {"unreadable_audio": 1}}
        assert metrics["ways"]["label"]["call"]["urgency"]["n"] == 7
        assert "left out: 1 unreadable_audio" in files(copied)["report.md"].decode()

    def test_a_recording_that_is_too_short_is_left_out(self, copied: StoragePaths) -> None:
        import soundfile

        recording = min(copied.archive(VALIDATION).audio.iterdir())
        samples, rate = soundfile.read(recording)
        soundfile.write(recording, samples[: 2 * rate], rate)
        assert measured(copied)["calls"]["validation"]["left_out"] == {"unreadable_audio": 1}

    def test_without_any_recording_nothing_is_written(self, copied: StoragePaths) -> None:
        for recording in copied.archive(VALIDATION).audio.iterdir():
            recording.unlink()
        with pytest.raises(ArtefactError, match=r"none of the 8 validation calls can be heard \(8 unreadable_audio\)"):
            measured(copied)
        assert not copied.urgency.label_free_gap.exists()

    def test_a_recogniser_that_does_not_answer_costs_the_call(self, copied: StoragePaths, reader: LabelReader) -> None:
        class Unreachable(LabelReader):
            def transcripts(self, segments: Sequence[Segment]) -> Sequence[Transcript]:
                raise RecognitionError("no answer", "an answer", "start the server")

        with pytest.raises(ArtefactError, match="8 not_recognised"):
            measured(copied, replace(load_predictor(copied.root), recogniser=Unreachable(reader.texts)))


class TestThresholds:
    def test_they_are_fitted_on_the_development_side(self, once: Measured) -> None:
        paths, metrics, predictor = once.paths, once.metrics, load_predictor(once.paths.root)
        development = read_held_out_calls(paths).development
        ids = sorted(set(development["_id"].to_pylist()))
        assert len(ids) == metrics["calls"]["development"]["measured"] == read_card(paths)["calls"]["development"]
        recordings = [next(paths.archive("T_광주_구급").audio.glob(f"{call}_*")) for call in ids]
        answers = [predictor.predict(recording) for recording in recordings]
        confidences = [max(answer.urgency.probabilities.values()) for answer in answers if answer.urgency]
        assert metrics["thresholds"]["answer_from"] == pytest.approx(min(confidences), abs=1e-12)

    def test_the_validation_side_does_not_change_them(
        self, copied: StoragePaths, once: Measured, build: Builder
    ) -> None:
        before = once.metrics
        for recording in copied.archive(VALIDATION).audio.iterdir():
            recording.write_bytes(build.wav(6000))
        after = measured(copied)
        assert after["threshold_fits"] == before["threshold_fits"]
        assert (before["speech"]["turns"] > 0, after["speech"]["turns"]) == (True, 0)

    def test_their_effect_is_measured_beside_that_of_the_label_thresholds(self, once: Measured) -> None:
        metrics = once.metrics
        effects = metrics["threshold_effects"]
        assert effects["fitted_without_labels"]["answer_from"]["threshold"] == metrics["thresholds"]["answer_from"]
        model = load_predictor(once.paths.root).model
        assert effects["fitted_with_labels"]["answer_from"]["threshold"] == model.thresholds["answer_from"]

    def test_a_planted_leak_is_caught(self, copied: StoragePaths) -> None:
        """One utterance of a development call lies on the validation side."""
        leaked = read_held_out_calls(copied).development
        rows = pq.read_table(copied.urgency.rows)
        keys = [pc.equal(rows[name], leaked[name][0]) for name in ("_id", "utterance_id")]
        sides = pc.if_else(pc.and_(*keys), "validation", rows["side"])
        place = rows.schema.get_field_index("side")
        write_table(copied.urgency.rows, rows.set_column(place, rows.schema.field("side"), sides))
        with pytest.raises(ArtefactError, match="1 calls of the development side are also on another side"):
            measured(copied)
        assert not copied.urgency.label_free_gap.exists()


def read_card(paths: StoragePaths) -> dict[str, Any]:
    card: dict[str, Any] = read_json(paths.urgency.model / "card.json")
    return card


class TestAskingTheModelAfterwards:
    def test_it_abstains_by_the_threshold_of_its_way_of_listening(self, once: Measured, speaking: SpokenRoot) -> None:
        recording = min(once.paths.archive(VALIDATION).audio.iterdir())
        before = load_predictor(speaking.paths.root).predict(recording)
        assert (before.abstain, before.alarm) == (None, None)
        thresholds, predictor = once.metrics["thresholds"], load_predictor(once.paths.root)
        assert predictor.label_free_gap
        assert predictor.label_free_gap.thresholds == thresholds
        answer = predictor.predict(recording)
        assert answer.urgency
        assert answer.abstain == (max(answer.urgency.probabilities.values()) < thresholds["answer_from"])
        labelled = predictor.predict(recording, [(1000, 1900, "네")])
        assert labelled.urgency
        own = predictor.model.thresholds["answer_from"]
        assert labelled.abstain == (max(labelled.urgency.probabilities.values()) < own)

    def test_new_thresholds_score_archives_again(self, once: Measured, speaking: SpokenRoot) -> None:
        before, after = (load_predictor(root.paths.root) for root in (speaking, once))
        assert scored_with(before) != scored_with(after)
        assert scored_with(after) == scored_with(load_predictor(once.paths.root))

    def test_it_knows_the_gap_of_its_recogniser_only(self, once: Measured, again: StoragePaths) -> None:
        metrics, gap = once.metrics, load_predictor(again.root).label_free_gap
        assert gap
        assert (gap.listening, gap.task, gap.calls) == ("ctc", "urgency", 8)
        assert gap.with_labels == metrics["ways"]["label"]["call"]["urgency"]["f1_macro"]
        assert gap.without_labels - gap.with_labels == pytest.approx(
            metrics["differences"]["found_turns"]["call"]["urgency"]["f1_macro"]
        )
        settings = again.settings_env.read_text(encoding="utf-8").replace("=ctc", "=none")
        again.settings_env.write_text(settings, encoding="utf-8")
        assert load_predictor(again.root).label_free_gap is None

    @pytest.mark.parametrize(
        "change",
        [
            lambda stored: stored["model"].update(weights_sha256="0" * 64),
            lambda stored: stored["same_as_evaluation"].update(passed=False),
            lambda stored: stored.pop("ways"),
            lambda stored: stored.update(thresholds={"answer_from": "much"}),
            lambda stored: stored.update(calls=[]),
        ],
        ids=["another model", "another evaluation", "another version", "no number", "no counts"],
    )
    def test_it_does_not_use_what_does_not_belong_to_it(self, again: StoragePaths, change: Any) -> None:
        file = again.urgency.label_free_gap / GAP_METRICS
        stored = read_json(file)
        change(stored)
        write_json(file, stored)
        assert load_predictor(again.root).label_free_gap is None

    def test_a_damaged_file_is_not_used(self, copied: StoragePaths) -> None:
        copied.urgency.label_free_gap.mkdir()
        (copied.urgency.label_free_gap / GAP_METRICS).write_text("{", encoding="utf-8")
        assert load_predictor(copied.root).label_free_gap is None

    def test_predictions_of_another_model_are_noticed(self, copied: StoragePaths) -> None:
        file = copied.urgency.evaluation / "predictions.parquet"
        table = pq.read_table(file)
        logits = [
            [value + 0.01 * place for place, value in enumerate(row)] for row in table["urgency_logits"].to_pylist()
        ]
        place = table.schema.get_field_index("urgency_logits")
        column = pa.array(logits, table.schema.field(place).type)
        write_table(file, table.set_column(place, table.schema.field(place), column))
        metrics = measured(copied)
        assert not metrics["same_as_evaluation"]["passed"]
        assert "cannot be trusted" in files(copied)["report.md"].decode()
        assert load_predictor(copied.root).label_free_gap is None


class TestTheExportedFolder:
    """It takes the thresholds with it: an exported model abstains as the model of the storage root does."""

    def test_it_abstains_by_the_same_thresholds_wherever_it_lies(self, once: Measured, again: StoragePaths) -> None:
        export_model(again)
        moved = Path(shutil.move(again.urgency.export, again.root / "elsewhere"))
        recordings = sorted(again.archive(VALIDATION).audio.iterdir())
        ours = load_predictor(again.root)
        theirs = load_model(moved, engine="openvino", speech_model=Path(ours.speech_model or ""), recogniser="ctc")
        assert theirs.label_free_gap == ours.label_free_gap
        for recording in recordings:
            one, other = ours.predict(recording), theirs.predict(recording)
            assert other.abstain is not None
            assert (other.abstain, other.alarm, other.listening) == (one.abstain, one.alarm, "ctc")

    def test_it_holds_figures_alone(self, again: StoragePaths, speaking: SpokenRoot) -> None:
        export_model(again)
        folder = again.urgency.export / "label_free_gap"
        copies = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
        assert copies == files(again)
        told = {str(row[name]).strip() for row in speaking.rows() for name in ("text", "_id")}
        assert not [secret for secret in told if any(secret.encode() in copy for copy in copies.values())]

    def test_without_a_measurement_it_has_none(self, copied: StoragePaths) -> None:
        export_model(copied)
        assert not (copied.urgency.export / "label_free_gap").exists()
        assert load_predictor(copied.root, engine="openvino").label_free_gap is None

    def test_the_gap_of_another_model_is_left_out(self, again: StoragePaths) -> None:
        stored = read_json(again.urgency.label_free_gap / GAP_METRICS)
        stored["model"]["weights_sha256"] = "0" * 64
        write_json(again.urgency.label_free_gap / GAP_METRICS, stored)
        export_model(again)
        assert not (again.urgency.export / "label_free_gap").exists()

    def test_the_command_asks_it_with_openvino(self, again: StoragePaths) -> None:
        export_model(again)
        recording = min(again.archive(VALIDATION).audio.iterdir())
        words = ["predict", str(recording), "--storage", str(again.root), "--format", "json"]
        torch, openvino = (CliRunner().invoke(main, [*words, "--engine", engine]) for engine in ("torch", "openvino"))
        assert (torch.exit_code, openvino.exit_code) == (0, 0), openvino.output
        ((one,), (other,)) = (json.loads(done.stdout)["calls"] for done in (torch, openvino))
        assert other["urgency"]["probabilities"] == pytest.approx(one["urgency"]["probabilities"], abs=1e-5)
        assert (other["abstain"], other["alarm"]) == (one["abstain"], one["alarm"])
        shutil.rmtree(again.urgency.export)
        without = CliRunner().invoke(main, [*words, "--engine", "openvino"])
        assert (without.exit_code, without.stdout) == (2, "")
        assert "urgency/export cannot be loaded" in without.stderr


@pytest.mark.parametrize("missing", ["evaluation", "model", "training_set"])
def test_a_missing_artefact_is_refused(copied: StoragePaths, missing: str) -> None:
    predictor = load_predictor(copied.root)
    shutil.rmtree(copied.urgency.folder / missing)
    with pytest.raises(ArtefactError):
        measured(copied, predictor)


def test_the_report_has_every_figure_for_people(once: Measured) -> None:
    metrics = once.metrics
    report = files(once.paths)["report.md"].decode()
    for way in ("(a) label turns, label text", "(b) label turns, recognised text", "(c) found turns, recognised text"):
        assert way in report
    assert f"{metrics['speech']['missed']:.3f}" in report
    assert json.dumps(metrics["calls"]["development"]["measured"]) in report


def test_the_model_folder_is_not_changed(once: Measured, speaking: SpokenRoot) -> None:
    def contents(folder: Path) -> dict[Path, bytes]:
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert contents(once.paths.urgency.model) == contents(speaking.model)

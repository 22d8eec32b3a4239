"""The vectors of given turns are those of the pipeline, and so are the turns that have none."""

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster import calls
from urgency_dagster.errors import InputError, SettingsError
from urgency_dagster.listening import Listener, Turn, load_listener
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster_tests.calls.conftest import GROUP, LAYER, WIDE, save_speech_model
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.listening.conftest import Noise

ARCHIVE = "T_x"
TIMES = [(2200, 2900), (0, 700), (1000, 1500), (2100, 2599), (-1, 700), (700, 700), (3000, 3600), (2500, 9000)]
"""Times in ms of a recording of 3000 ms. Kept are the first three and the last."""


@pytest.fixture(scope="session")
def listener(models: dict[str, PretrainedModel]) -> Listener:
    return load_listener(models[LAYER], device="cpu")


def turns(*times: tuple[int, int]) -> list[Turn]:
    return [Turn(start, end, f"발화 {start}") for start, end in times]


@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("rate", [8000, 44_100])
@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("kind", [LAYER, GROUP])
def test_turns_have_the_vectors_and_the_reasons_of_the_pipeline(
    paths: StoragePaths,
    build: Builder,
    models: dict[str, PretrainedModel],
    kind: str,
    tokens: int,
    rate: int,
    engine: Literal["torch", "openvino"],
) -> None:
    utterances = [build.utterance(n, startAt=start, endAt=end) for n, (start, end) in enumerate(TIMES)]
    wav = build.wav(3000, rate=rate)
    label = build.label(build.call_id(1), utterances=utterances)
    name = f"{label['_id']}_20230101"
    build.extracted(paths, ARCHIVE, {f"{name}.wav": wav}, {f"{name}.json": build.json(label)})
    calls.build_utterance_table(paths, ARCHIVE, workers=1)
    config = calls.EmbeddingConfig(device="cpu", engine=engine, audio_tokens=tokens, workers=1)
    calls.embed_archive(paths, ARCHIVE, models[kind], config)
    calls.write_processed_data(paths, ARCHIVE, calls.ProcessedConfig())
    listener = load_listener(models[kind], audio_tokens=tokens, device="cpu", engine=engine)
    given = [Turn(entry["startAt"], entry["endAt"], entry["text"]) for entry in utterances]
    heard = listener.listen(calls.load_waveform(wav), given)
    rows = pq.read_table(paths.archive(ARCHIVE).utterances).to_pylist()
    assert [(turn.start_ms, turn.end_ms) for turn in heard.turns] == [(row["startAt"], row["endAt"]) for row in rows]
    vectors = np.load(paths.archive(ARCHIVE).vectors).reshape(heard.vectors.shape)
    np.testing.assert_allclose(heard.vectors, vectors, rtol=0, atol=1e-6)
    rejects = pq.read_table(paths.archive(ARCHIVE).rejects).to_pylist()
    expected = {row["utterance_id"]: row["reason"] for row in rejects}
    assert {f"{given.index(turn):08x}": reason for turn, reason in heard.rejected} == expected
    assert (len(heard.turns), len(expected)) == (4, 4)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_turns_have_the_vectors_of_an_archive_in_bfloat16(
    paths: StoragePaths, build: Builder, tmp_path: Path, engine: Literal["torch", "openvino"]
) -> None:
    model = save_speech_model(tmp_path / "model", LAYER, **WIDE)
    utterances = [build.utterance(n, endAt=n * 1000 + 600 + 17 * n) for n in range(12)]
    label, wav = build.label(build.call_id(1), utterances=utterances), build.wav(13_000)
    name = f"{label['_id']}_20230101"
    build.extracted(paths, ARCHIVE, {f"{name}.wav": wav}, {f"{name}.json": build.json(label)})
    calls.build_utterance_table(paths, ARCHIVE, workers=1)
    config = calls.EmbeddingConfig(device="cpu", engine=engine, precision="bfloat16", workers=1)
    assert calls.embed_archive(paths, ARCHIVE, model, config).made_with["precision"] == "bfloat16"
    calls.write_processed_data(paths, ARCHIVE)
    vectors = np.load(paths.archive(ARCHIVE).vectors)
    given = [Turn(entry["startAt"], entry["endAt"], entry["text"]) for entry in utterances]
    heard = load_listener(model, device="cpu", engine=engine, precision="bfloat16").listen(
        calls.load_waveform(wav), given
    )
    # A rounding can fall to the other side in another batch. In float32 they are up to 0.02 away.
    np.testing.assert_allclose(heard.vectors[:, 0], vectors, rtol=0, atol=1e-4)


@given(times=st.lists(st.tuples(st.integers(-500, 4000), st.integers(-500, 9000)), max_size=12))
def test_every_turn_is_heard_or_has_a_reason(times: list[tuple[int, int]], listener: Listener, noise: Noise) -> None:
    given_turns = turns(*times)
    heard = listener.listen(noise(3000), given_turns)
    parts = [*heard.turns, *(turn for turn, _ in heard.rejected)]
    assert sorted(parts, key=lambda turn: (turn.start_ms, turn.end_ms)) == sorted(
        given_turns, key=lambda turn: (turn.start_ms, turn.end_ms)
    )
    assert heard.vectors.shape == (len(heard.turns), 1, 16)
    assert [turn.start_ms for turn in heard.turns] == sorted(turn.start_ms for turn in heard.turns)
    assert {reason for _, reason in heard.rejected} <= {"bad_times", "outside_audio", "too_short"}


def test_a_turn_has_the_same_vector_alone_and_among_many(listener: Listener, noise: Noise) -> None:
    waveform = noise(200_000)
    many = turns(*((n * 1000, n * 1000 + 600 + 3 * (n % 30)) for n in range(150)))
    heard = listener.listen(waveform, many)
    for position in (0, 63, 64, 149):
        alone = listener.listen(waveform, [many[position]])
        np.testing.assert_allclose(heard.vectors[position], alone.vectors[0], rtol=0, atol=1e-6)


def test_a_recording_shorter_than_any_turn_is_no_error(listener: Listener, noise: Noise) -> None:
    heard = listener.listen(noise(300), turns((0, 300)))
    assert (heard.turns, heard.vectors.shape, heard.duration_ms) == ((), (0, 1, 16), 300)
    assert listener.listen(np.empty(0, dtype=np.float32), ()).rejected == ()


def test_text_that_is_given_is_that_of_a_label(listener: Listener, noise: Noise) -> None:
    assert listener.listen(noise(2000), turns((0, 900))).listening == "label"
    assert listener.listen(noise(2000), [*turns((0, 900)), Turn(1000, 1900)]).listening == "none"


@pytest.mark.parametrize(
    "waveform", [np.zeros(16_000), np.zeros((16_000, 2), np.float32), np.zeros(16_000, np.int16), [0.0] * 16_000]
)
def test_a_waveform_of_another_kind_is_refused(listener: Listener, waveform: np.ndarray) -> None:
    with pytest.raises(InputError, match="load_waveform"):
        listener.listen(waveform, turns((0, 900)))


def test_more_vectors_than_frames_are_refused(models: dict[str, PretrainedModel]) -> None:
    with pytest.raises(SettingsError, match="audio_tokens is 25"):
        load_listener(models[LAYER], audio_tokens=25)


def test_a_file_gives_what_its_samples_give(listener: Listener, build: Builder, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(build.wav(3000))
    heard = [listener.listen(calls.load_waveform(a), turns((0, 900))) for a in (tmp_path / "a.wav", build.wav(3000))]
    np.testing.assert_array_equal(heard[0].vectors, heard[1].vectors)

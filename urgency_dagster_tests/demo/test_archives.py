import io
import json
import re
import wave
import zipfile
from pathlib import Path
from typing import Any

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from urgency_dagster.demo.archives import DATA_FOLDER, MIN_CALLS, PAIRS, draw_pairs, texts, zip_pair
from urgency_dagster.errors import SettingsError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.tables import CALL_TAKER, CALLER, SENTIMENTS, URGENCY_LEVELS

KEYS = {
    "_id": str,
    "audioPath": str,
    "recordId": str,
    "status": int,
    "startAt": int,
    "endAt": int,
    "utterances": list,
    "mediaType": str,
    "gender": str,
    "address": str,
    "disasterLarge": str,
    "disasterMedium": str,
    "urgencyLevel": str,
    "sentiment": str,
    "symptom": list,
    "triage": str,
}
UTTERANCE_KEYS = {"id": str, "startAt": int, "endAt": int, "text": str, "speaker": int}


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {info.filename.lstrip("/"): archive.read(info) for info in archive.infolist()}


def both(root: Path, name: str) -> tuple[dict[str, bytes], dict[str, dict[str, Any]]]:
    """Audio by member name, and labels by stem."""
    pair = next(pair for pair in PAIRS if pair.name == name)
    landing = StoragePaths(root).landing_calls
    labels = {
        member.removesuffix(".json"): json.loads(content.decode("utf-8-sig"))
        for member, content in members(landing / pair.path("L")).items()
    }
    return members(landing / pair.path("S")), labels


def every_label(root: Path) -> list[dict[str, Any]]:
    return [label for pair in PAIRS for label in both(root, pair.name)[1].values()]


def test_the_tree_is_ai_hubs(demo_root: Path) -> None:
    landing = StoragePaths(demo_root).landing_calls
    assert {path.relative_to(landing).as_posix() for path in landing.rglob("*.zip")} == {
        f"{DATA_FOLDER}/Training/1.원천데이터/TS_광주_구급.zip",
        f"{DATA_FOLDER}/Training/2.라벨링데이터/TL_광주_구급.zip",
        f"{DATA_FOLDER}/Training/1.원천데이터/TS_서울_화재.zip",
        f"{DATA_FOLDER}/Training/2.라벨링데이터/TL_서울_화재.zip",
        f"{DATA_FOLDER}/Validation/1.원천데이터/VS_광주_구급.zip",
        f"{DATA_FOLDER}/Validation/2.라벨링데이터/VL_광주_구급.zip",
    }


@pytest.mark.parametrize(("name", "digits"), [("T_광주_구급", 14), ("T_서울_화재", 8), ("V_광주_구급", 14)])
def test_members_are_named_by_call_and_date(demo_root: Path, name: str, digits: int) -> None:
    audio, labels = both(demo_root, name)
    for member in audio:
        assert re.fullmatch(rf"[0-9a-f]{{24}}_2023\d{{{digits - 4}}}\.wav", member)
    for stem, label in labels.items():
        assert re.fullmatch(rf"[0-9a-f]{{24}}_2023\d{{{digits - 4}}}", stem)
        assert label["_id"] == stem.split("_")[0]


def test_labels_have_every_key_with_its_type(demo_root: Path) -> None:
    for label in every_label(demo_root):
        assert {key: type(value) for key, value in label.items()} == KEYS
        for utterance in label["utterances"]:
            assert {key: type(value) for key, value in utterance.items()} == UTTERANCE_KEYS
            assert re.fullmatch(r"[0-9a-f]{8}|wavesurfer_[0-9a-z]+", utterance["id"])
            assert utterance["speaker"] in (CALL_TAKER, CALLER)
            assert 0 <= utterance["startAt"] < utterance["endAt"]


def test_labels_are_those_of_the_data_set(demo_root: Path) -> None:
    labels = every_label(demo_root)
    assert {label["urgencyLevel"] for label in labels} == set(URGENCY_LEVELS)
    assert {label["sentiment"] for label in labels} <= set(SENTIMENTS)
    assert {label["disasterLarge"] for label in labels} == {"구급", "화재"}
    assert len({label["_id"] for label in labels}) == len({label["recordId"] for label in labels}) == len(labels)


def test_audio_is_telephone_wav_as_long_as_its_label_says(demo_root: Path) -> None:
    for pair in PAIRS:
        audio, labels = both(demo_root, pair.name)
        for member, content in audio.items():
            if not content.startswith(b"RIFF"):
                continue
            with wave.open(io.BytesIO(content)) as stream:
                assert (stream.getframerate(), stream.getnchannels(), stream.getsampwidth()) == (8000, 1, 2)
                duration_ms = stream.getnframes() / 8
            assert duration_ms == labels[member.removesuffix(".wav")]["endAt"]
            assert 10_000 < duration_ms < 60_000


def test_one_recording_is_garbage_that_no_decoder_reads(demo_root: Path) -> None:
    audio, labels = both(demo_root, "T_광주_구급")
    broken = {member: content for member, content in audio.items() if not content.startswith(b"RIFF")}
    assert len(broken) == 1
    ((member, content),) = broken.items()
    assert member.removesuffix(".wav") in labels
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(io.BytesIO(content))


def test_one_label_has_no_recording(demo_root: Path) -> None:
    missing = {}
    for pair in PAIRS:
        audio, labels = both(demo_root, pair.name)
        missing[pair.name] = len(labels.keys() - {member.removesuffix(".wav") for member in audio})
        assert {member.removesuffix(".wav") for member in audio} <= labels.keys()
    assert missing == {"T_광주_구급": 0, "T_서울_화재": 1, "V_광주_구급": 0}


def test_some_utterances_are_short_and_some_end_after_their_recording(demo_root: Path) -> None:
    labels = every_label(demo_root)
    spans = [(u["startAt"], u["endAt"], label["endAt"]) for label in labels for u in label["utterances"]]
    assert any(end - start < 500 for start, end, _ in spans)
    assert sum(end > length for _, end, length in spans) == len(PAIRS)
    assert all(start + 500 <= length for start, end, length in spans if end > length)


@pytest.mark.slow
def test_the_data_sets_quirks_occur() -> None:
    drawn = draw_pairs(60, 7)[0]
    audio, labels = (zipfile.ZipFile(io.BytesIO(content)) for content in zip_pair(drawn).values())
    names = [*audio.namelist(), *labels.namelist()]
    assert 0 < sum(name.startswith("/") for name in names) < len(names)
    marked = sum(labels.read(name).startswith(b"\xef\xbb\xbf") for name in labels.namelist())
    assert 0 < marked < len(labels.namelist())
    said = texts([drawn])
    assert 0 < sum(text.endswith(" ") for text in said) < len(said)
    assert 0 < sum("[개인정보]" in text for text in said) < len(said)


@settings(deadline=None)
@given(calls=st.integers(MIN_CALLS, 60), seed=st.integers(0, 1000))
def test_every_size_gives_every_pair_every_urgency_among_its_sound_calls(calls: int, seed: int) -> None:
    pairs = draw_pairs(calls, seed)
    assert sum(len(drawn.calls) for drawn in pairs) == calls
    for drawn in pairs:
        sound = [call.conversation.urgency for call in drawn.calls if not call.damage]
        assert set(sound) == set(URGENCY_LEVELS)
        assert len(drawn.calls) - len(sound) == bool(drawn.pair.damage)


@settings(deadline=None)
@given(calls=st.integers(MIN_CALLS, 150), seed=st.integers(0, 20))
def test_no_sentiment_occurs_in_the_validation_calls_only(calls: int, seed: int) -> None:
    heard: dict[str, set[str]] = {"T": set(), "V": set()}
    for drawn in draw_pairs(calls, seed):
        heard[drawn.pair.split] |= {call.conversation.sentiment for call in drawn.calls if not call.damage}
    assert heard["V"] <= heard["T"]


def test_another_seed_says_something_else() -> None:
    assert texts(draw_pairs(12, 1)) != texts(draw_pairs(12, 2))


def test_too_few_calls_are_refused() -> None:
    with pytest.raises(SettingsError, match="11 calls are asked for; expected 12 or more"):
        draw_pairs(MIN_CALLS - 1, 7)

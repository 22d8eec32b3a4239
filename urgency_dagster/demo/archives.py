"""AI Hub's archive pairs with synthetic calls in them: their tree, names and label JSON, as bytes.

What is said is in `conversations`, how it sounds in `recordings`; nothing is written to disk here.
"""

import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from urgency_dagster.demo import wording
from urgency_dagster.demo.conversations import (
    SENTIMENT_SHARES,
    URGENCY_SHARES,
    Conversation,
    deal,
    draw_conversation,
    pick,
)
from urgency_dagster.demo.recordings import Recording, record, script, wav_bytes
from urgency_dagster.demo.speech import speak
from urgency_dagster.errors import SettingsError

DATA_FOLDER = PurePosixPath("088.119 지능형 신고접수 음성 인식 데이터/3.개방데이터/1.데이터")
AUDIO_FOLDER, LABEL_FOLDER = "1.원천데이터", "2.라벨링데이터"
"""Source: the tree as AI Hub's downloads unpack it."""

MIN_CALLS = 12
"""Fewer calls cannot give each pair all three urgency levels and both damaged calls."""

_ZIP_TIME = (2024, 10, 30, 0, 0, 0)
"""One time for all members, so that the same calls give the same bytes."""


@dataclass(frozen=True)
class Pair:
    """One pair of archives: a split (`T` Training, `V` Validation), a region and a category."""

    split: str
    region: str
    category: str
    share: float
    damage: str = ""

    @property
    def name(self) -> str:
        """The pair's name less its S/L letter, e.g. `T_광주_구급`."""
        return f"{self.split}_{self.region}_{self.category}"

    def path(self, kind: str) -> str:
        """Where the ZIP of one kind (`S` audio, `L` labels) lies below `landing/calls`."""
        split = "Training" if self.split == "T" else "Validation"
        folder = AUDIO_FOLDER if kind == "S" else LABEL_FOLDER
        return str(DATA_FOLDER / split / folder / f"{self.split}{kind}_{self.region}_{self.category}.zip")


NO_DECODER, NO_AUDIO = "no decoder reads the audio", "the audio is missing"
PAIRS = (
    Pair("T", "광주", "구급", share=0.42, damage=NO_DECODER),
    Pair("T", "서울", "화재", share=0.29, damage=NO_AUDIO),
    Pair("V", "광주", "구급", share=0.29),
)
"""The pairs of the demo; `damage` is what ails the last call of the pair."""


@dataclass(frozen=True)
class DemoCall:
    """One call to be shipped: its names in the archive, what is said, and the seed of how it sounds."""

    call_id: str
    date_token: str
    conversation: Conversation
    seed: tuple[int, ...]
    damage: str = ""

    @property
    def stem(self) -> str:
        """The member name without its ending, the same in both archives."""
        return f"{self.call_id}_{self.date_token}"


@dataclass(frozen=True)
class DemoPair:
    """One pair with its calls."""

    pair: Pair
    calls: tuple[DemoCall, ...]


def draw_pairs(calls: int, seed: int) -> tuple[DemoPair, ...]:
    """The calls of every pair, before anything is spoken.

    Args:
        calls: how many labels the pairs hold together, the two damaged calls included.
        seed: the same seed draws the same calls.

    Raises:
        SettingsError: fewer than `MIN_CALLS` calls.
    """
    if calls < MIN_CALLS:
        raise SettingsError(f"{calls} calls are asked for", f"{MIN_CALLS} or more", "ask for more calls")
    order = np.random.default_rng([seed, 0])
    which = deal(order, {pair.name: pair.share for pair in PAIRS}, calls)
    return tuple(_draw_pair(pair, which.count(pair.name), (seed, i)) for i, pair in enumerate(PAIRS, start=1))


def zip_pairs(pairs: Iterable[DemoPair]) -> dict[str, bytes]:
    """The ZIPs of several pairs, see `zip_pair`."""
    return {name: content for pair in pairs for name, content in zip_pair(pair).items()}


def zip_pair(demo_pair: DemoPair) -> dict[str, bytes]:
    """The audio ZIP and the label ZIP of a pair, by their path below `landing/calls`; the same pair, the same bytes."""
    calls = demo_pair.calls
    rngs = [np.random.default_rng(call.seed) for call in calls]
    scripts = [script(rng, call.conversation) for rng, call in zip(rngs, calls, strict=True)]
    spoken = iter(speak([line for lines in scripts for line in lines]))
    audio, labels = _Zip(), _Zip()
    for done, (rng, call, lines) in enumerate(zip(rngs, calls, scripts, strict=True), start=1):
        ends_early = done % 8 == 3
        recording = record(rng, call.conversation, [next(spoken) for _ in lines], ends_early=ends_early)
        # Some members of the data set are named from the root.
        slash = "/" if rng.random() < 0.1 else ""
        if call.damage != NO_AUDIO:
            sound = _garbage(rng) if call.damage == NO_DECODER else wav_bytes(recording.samples)
            audio.add(f"{slash}{call.stem}.wav", sound)
        # The data set's readers expect a byte order mark, so some labels have one.
        encoding = "utf-8-sig" if rng.random() < 0.1 else "utf-8"
        label = json.dumps(_label(rng, call, recording), ensure_ascii=False, indent=2)
        labels.add(f"{slash}{call.stem}.json", label.encode(encoding))
    return {demo_pair.pair.path("S"): audio.content(), demo_pair.pair.path("L"): labels.content()}


def texts(pairs: Iterable[DemoPair]) -> list[str]:
    """Every text said in some pairs."""
    return [turn.text for pair in pairs for call in pair.calls for turn in call.conversation.turns]


def _draw_pair(pair: Pair, n: int, seed: tuple[int, ...]) -> DemoPair:
    rng = np.random.default_rng(seed)
    sound = n - bool(pair.damage)
    urgencies = deal(rng, URGENCY_SHARES, sound)
    # A sentiment that only the validation calls have could not be learnt.
    rare = int(pair.split == "T" and sound >= len(SENTIMENT_SHARES))
    sentiments = deal(rng, SENTIMENT_SHARES, sound, at_least=rare)
    if pair.damage:
        urgencies.append(pick(rng, list(URGENCY_SHARES)))
        sentiments.append(max(SENTIMENT_SHARES, key=lambda label: SENTIMENT_SHARES[label]))
    calls = []
    for i in range(n):
        conversation = draw_conversation(rng, pair.category, urgencies[i], sentiments[i])
        damage = pair.damage if i == n - 1 else ""
        calls.append(DemoCall(_hex(rng, 24), _date_token(rng, pair.region), conversation, (*seed, i), damage))
    return DemoPair(pair, tuple(calls))


def _label(rng: np.random.Generator, call: DemoCall, recording: Recording) -> dict[str, Any]:
    """The label JSON of one call, with every key of the data set."""
    conversation = call.conversation
    return {
        "_id": call.call_id,
        "audioPath": f"{call.date_token[:8]}/converted_{_hex(rng, 12)}.wav",
        "recordId": _hex(rng, 20),
        "status": 12,
        "startAt": 0,
        "endAt": recording.duration_ms,
        "utterances": [
            {"id": _utterance_id(rng), "startAt": start, "endAt": end, "text": turn.text, "speaker": turn.speaker}
            for turn, (start, end) in zip(conversation.turns, recording.spans_ms, strict=True)
        ],
        "mediaType": "Mobile",
        "gender": conversation.gender,
        "address": wording.CITY,
        "disasterLarge": conversation.category,
        "disasterMedium": conversation.medium,
        "urgencyLevel": conversation.urgency,
        "sentiment": conversation.sentiment,
        "symptom": list(conversation.symptoms),
        "triage": "준응급증상",
    }


class _Zip:
    """A ZIP in memory whose bytes depend on its members only."""

    def __init__(self) -> None:
        self._target = io.BytesIO()
        self._archive = zipfile.ZipFile(self._target, "w")

    def add(self, name: str, content: bytes) -> None:
        member = zipfile.ZipInfo(name, _ZIP_TIME)
        member.compress_type = zipfile.ZIP_DEFLATED
        member.external_attr = 0o644 << 16
        member.create_system = 3
        # Noise hardly compresses, so more effort would only cost time.
        self._archive.writestr(member, content, compresslevel=1)

    def content(self) -> bytes:
        self._archive.close()
        return self._target.getvalue()


def _hex(rng: np.random.Generator, digits: int) -> str:
    return rng.bytes(digits // 2).hex()


def _utterance_id(rng: np.random.Generator) -> str:
    """Eight hex digits, or the longer form of a segment that a person added."""
    if rng.random() < 0.15:
        return "wavesurfer_" + np.base_repr(int(rng.integers(36**10, 36**11)), 36).lower()
    return _hex(rng, 8)


def _date_token(rng: np.random.Generator, region: str) -> str:
    """Eight digits in Seoul, fourteen with the time elsewhere."""
    day = f"2023{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}"
    if region == "서울":
        return day
    return f"{day}{rng.integers(24):02d}{rng.integers(60):02d}{rng.integers(60):02d}"


def _garbage(rng: np.random.Generator) -> bytes:
    """Bytes that no decoder takes for sound; without 0xFF, which could begin an MPEG frame."""
    return rng.integers(0, 128, 4096, dtype=np.uint8).tobytes()

"""Recordings of every kind that users have, each with what a model must say of it: an answer, or a reason for none."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import soxr

from urgency_dagster_tests.listening.syllables import RATE, silence, syllables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.floating[Any]]

ANSWER = "answer"

SPEECH = np.concatenate([silence(800), syllables(2500), silence(1200), syllables(1500, seed=1), silence(500)])

TIMES = np.arange(4 * RATE) / RATE

SOUNDS: "dict[str, tuple[Samples, str]]" = {
    "speech": (SPEECH, ANSWER),
    "three seconds": (syllables(3000), ANSWER),
    "speech over noise": (SPEECH + np.random.default_rng(0).normal(0, 0.01, len(SPEECH)), ANSWER),
    "silence": (np.zeros(3 * RATE), "no_speech"),
    "noise": (np.random.default_rng(0).normal(0, 0.1, 3 * RATE), "no_speech"),
    "music": (
        0.2 * np.sin(2 * np.pi * np.outer([262, 330, 392], TIMES)).sum(axis=0) * np.exp(-(TIMES % 1)),
        "no_speech",
    ),
    "half a second": (syllables(400), "no_speech"),
}
"""Samples at 16 kHz, and what must be said of them in every format."""

FORMATS = {
    "pcm24.wav": ("WAV", "PCM_24"),
    "float32.wav": ("WAV", "FLOAT"),
    "mulaw.wav": ("WAV", "ULAW"),
    "alaw.wav": ("WAV", "ALAW"),
    "gsm.wav": ("WAV", "GSM610"),
    "flac.flac": ("FLAC", "PCM_16"),
    "mp3.mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg.ogg": ("OGG", "VORBIS"),
    "flac named.wav": ("FLAC", "PCM_16"),
}
"""Format and subtype of libsndfile by the end of the name."""


def encoded(
    samples: "Samples", rate: int = 8000, channels: int = 1, kind: str = "WAV", subtype: str = "PCM_16"
) -> bytes:
    """A file of samples at 16 kHz, in another rate, number of channels and format."""
    resampled = soxr.resample(samples.astype(np.float32), RATE, rate, "HQ")
    stream = io.BytesIO()
    soundfile.write(stream, np.stack([resampled] * channels, axis=1), rate, format=kind, subtype=subtype)
    return stream.getvalue()


def damaged() -> dict[str, tuple[bytes, str]]:
    """Files that are not whole, and files that are no recording."""
    speech, flac = encoded(SPEECH), encoded(SPEECH, kind="FLAC")
    with_nan = SPEECH.astype(np.float32)
    with_nan[100:200] = np.nan
    stream = io.BytesIO()
    soundfile.write(stream, with_nan, RATE, format="WAV", subtype="FLOAT")
    return {
        "cut off.wav": (speech[: len(speech) * 3 // 5], ANSWER),
        "length of 0.wav": (speech[:40] + bytes(4) + speech[44:], ANSWER),
        "with nan.wav": (stream.getvalue(), ANSWER),
        "header alone.wav": (speech[:44], "unreadable_audio"),
        "cut off in the header.wav": (speech[:20], "unreadable_audio"),
        "cut off in the header.flac": (flac[:20], "unreadable_audio"),
        "empty.wav": (b"", "unreadable_audio"),
        "empty.mp3": (b"", "unreadable_audio"),
        "text.wav": ("이것은 녹음이 아니다.\n".encode() * 40, "unreadable_audio"),
        "bytes.wav": (bytes(range(256)) * 40, "unreadable_audio"),
    }


def short_recordings() -> dict[str, tuple[bytes, str]]:
    """The content of each file by its name, and `answer` or the reason for none."""
    sounds = {
        f"{name} {rate} {channels}.wav": (encoded(samples, rate, channels), expected)
        for name, (samples, expected) in SOUNDS.items()
        for rate in (8000, 44_100)
        for channels in (1, 2)
    }
    formats = {f"speech {name}": (encoded(SPEECH, 8000, 1, *form), ANSWER) for name, form in FORMATS.items()}
    return sounds | formats | damaged()


def forty_minutes() -> dict[str, tuple[bytes, str]]:
    """A recording of 40 minutes with speech at both ends. Digital silence costs little."""
    samples = np.concatenate([SPEECH, silence(40 * 60_000 - 2 * len(SPEECH) * 1000 // RATE), SPEECH])
    return {"forty minutes.flac": (encoded(samples, kind="FLAC"), ANSWER)}


Kinds = Callable[[], dict[str, tuple[bytes, str]]]
"""Returns the content of each file by its name, and `answer` or the reason for none."""

"""The prosodic features of one utterance, computed by librosa on frames of its waveform at 8 kHz.

All features share one grid of frames, without padding at the ends. Source: f0 is found by YIN (A. de Cheveigné and
H. Kawahara, "YIN, a fundamental frequency estimator for speech and music", JASA 111, 2002) as `librosa.yin` does it.
The f0 of an utterance with the flag `tone_660hz` is that of the tone.
"""

import math
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from urgency_dagster.calls.audio import PCM16_STEP, SAMPLE_RATE
from urgency_dagster.calls.prosody.configuration import ProsodyConfig
from urgency_dagster.errors import AudioError

if TYPE_CHECKING:
    import numpy as np

PROSODY_RATE_HZ = 8_000
"""Samples per second of the analysis. Source: the sample rate of AI Hub's data set 71768."""

FRAME_LENGTH = 512
"""Samples of a frame: 64 ms, which holds three periods of 50 Hz, the lowest permitted f0."""

HOP_LENGTH = 80
"""Samples between two frames: 10 ms."""

BLOCK_FRAMES = 256
"""Frames that are analysed at once, so that memory and speed do not depend on the length of the utterance."""

MIN_LEVEL_DBFS = 20 * math.log10(PCM16_STEP)
"""The level of silence in dBFS: one step of 16-bit audio. The logarithm of an RMS of 0 would be minus infinity."""


@dataclass(frozen=True)
class Frames:
    """The features of each frame of an utterance, as arrays of shape (frames,).

    Attributes:
        f0_hz: the estimate of `librosa.yin`, which exists for unvoiced frames too.
        voiced: whether f0 is meaningful, see `_is_voiced`.
        level_dbfs: RMS level, at least MIN_LEVEL_DBFS.
        zero_crossing_rate: sign changes divided by samples.
    """

    f0_hz: "np.ndarray"
    voiced: "np.ndarray"
    level_dbfs: "np.ndarray"
    zero_crossing_rate: "np.ndarray"


def utterance_features(segment: "np.ndarray", config: ProsodyConfig) -> dict[str, float | None]:
    """The features that depend on the sound, by column name.

    Args:
        segment: the utterance, mono float32 at 16 kHz, shape (samples,).
        config: the range of f0 and the rule of voicing.

    Raises:
        AudioError: the segment is shorter than one frame.
    """
    shortest = FRAME_LENGTH * SAMPLE_RATE // PROSODY_RATE_HZ
    if len(segment) < shortest:
        raise AudioError(f"an utterance of {len(segment)} samples", f"at least {shortest}", "materialize utterances")
    frames = frame_features(analysed_waveform(segment), config)
    return {
        **_f0_statistics(frames),
        "voiced_share": float(frames.voiced.mean()),
        "level_mean_dbfs": float(frames.level_dbfs.mean()),
        "level_sd_db": float(frames.level_dbfs.std()),
        "zero_crossing_rate_mean": float(frames.zero_crossing_rate.mean()),
    }


def analysed_waveform(segment: "np.ndarray") -> "np.ndarray":
    """The segment at 8 kHz, float32."""
    import librosa

    waveform: np.ndarray = librosa.resample(segment, orig_sr=SAMPLE_RATE, target_sr=PROSODY_RATE_HZ)
    return waveform


def frame_features(waveform: "np.ndarray", config: ProsodyConfig) -> Frames:
    """The features of all frames of a waveform at 8 kHz, which holds at least one frame."""
    import numpy as np

    count = 1 + (len(waveform) - FRAME_LENGTH) // HOP_LENGTH
    blocks = [
        _block_features(_block(waveform, first, min(first + BLOCK_FRAMES, count)), config)
        for first in range(0, count, BLOCK_FRAMES)
    ]
    return Frames(*(np.concatenate(arrays) for arrays in zip(*blocks, strict=True)))


def _block(waveform: "np.ndarray", first: int, end: int) -> "np.ndarray":
    """The samples of the frames from `first` to before `end`."""
    return waveform[first * HOP_LENGTH : (end - 1) * HOP_LENGTH + FRAME_LENGTH]


def _block_features(block: "np.ndarray", config: ProsodyConfig) -> "tuple[np.ndarray, ...]":
    """The fields of `Frames` for some frames that follow each other."""
    import librosa

    grid: dict[str, Any] = {"frame_length": FRAME_LENGTH, "hop_length": HOP_LENGTH, "center": False}
    f0_hz = librosa.yin(block, sr=PROSODY_RATE_HZ, fmin=config.f0_min_hz, fmax=config.f0_max_hz, **grid)
    rms = librosa.feature.rms(y=block, **grid)[0].astype("float64")
    level_dbfs = librosa.amplitude_to_db(rms, ref=1.0, amin=PCM16_STEP, top_db=None)
    zero_crossing_rate = librosa.feature.zero_crossing_rate(block, **grid)[0]
    return f0_hz, _is_voiced(block, f0_hz, level_dbfs, config), level_dbfs, zero_crossing_rate


def _is_voiced(
    block: "np.ndarray", f0_hz: "np.ndarray", level_dbfs: "np.ndarray", config: ProsodyConfig
) -> "np.ndarray":
    """Which frames are voiced: YIN estimates f0 for every frame, also where there is no pitch.

    A frame is voiced if its f0 lies strictly between the bounds, it is loud enough, and it correlates with itself one
    period later.
    """
    inside = (config.f0_min_hz < f0_hz) & (f0_hz < config.f0_max_hz)
    loud = level_dbfs >= config.voiced_level_min_dbfs
    periodic = _period_correlation(block, f0_hz, config.f0_min_hz) >= config.voiced_correlation_min
    return inside & loud & periodic


def _period_correlation(block: "np.ndarray", f0_hz: "np.ndarray", f0_min_hz: float) -> "np.ndarray":
    """The normalised correlation of the start of each frame with the samples one period later; 0 for silence.

    All frames compare equally many samples: those that leave room for the longest period.
    """
    import numpy as np

    length = FRAME_LENGTH - math.ceil(PROSODY_RATE_HZ / f0_min_hz)
    windows = np.lib.stride_tricks.sliding_window_view(block, length)
    starts = np.arange(len(f0_hz)) * HOP_LENGTH
    periods = np.rint(PROSODY_RATE_HZ / f0_hz).astype(np.int64)
    now, later = windows[starts], windows[starts + periods]
    product, energy_now, energy_later = (
        np.einsum("ij,ij->i", one, other).astype(np.float64)
        for one, other in ((now, later), (now, now), (later, later))
    )
    norm = np.sqrt(energy_now * energy_later)
    correlation: np.ndarray = np.divide(product, norm, out=np.zeros_like(norm), where=norm > 0)
    return correlation


def _f0_statistics(frames: Frames) -> dict[str, float | None]:
    """Median and spread of f0 over the voiced frames; None where no frame is voiced."""
    import numpy as np

    f0_hz = frames.f0_hz[frames.voiced]
    if not len(f0_hz):
        return {"f0_median_hz": None, "f0_iqr_semitones": None, "f0_range_semitones": None}
    p5, p25, p75, p95 = np.percentile(12 * np.log2(f0_hz), [5, 25, 75, 95]).tolist()
    return {
        "f0_median_hz": float(np.median(f0_hz)),
        "f0_iqr_semitones": p75 - p25,
        "f0_range_semitones": p95 - p5,
    }


def spoken_characters(text: str) -> int:
    """The Hangul syllables, letters and digits of a text; spaces, punctuation and symbols do not count.

    A syllable that is written as several jamo counts once, because the text is composed (Unicode NFC) first.
    """
    return sum(map(str.isalnum, unicodedata.normalize("NFC", text)))

"""A synthetic conversation becomes a telephone recording: prosody, timing, mixing, the line's band and noise.

Speech itself comes from `speech`; nothing is written to disk here.
"""

import io
import math
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from urgency_dagster.demo.conversations import Conversation
from urgency_dagster.demo.speech import SAMPLE_RATE_HZ as SPOKEN_RATE_HZ
from urgency_dagster.demo.speech import Line
from urgency_dagster.demo.wording import MASK
from urgency_dagster.tables import CALL_TAKER

if TYPE_CHECKING:
    import numpy.typing as npt

    Waveform = npt.NDArray[np.float64]

SAMPLE_RATE_HZ = 8_000
SAMPLES_PER_MS = SAMPLE_RATE_HZ // 1000
"""Source: every recording of the data set is 8 kHz, mono, 16-bit PCM."""

UP = SAMPLE_RATE_HZ // math.gcd(SAMPLE_RATE_HZ, SPOKEN_RATE_HZ)
DOWN = SPOKEN_RATE_HZ // math.gcd(SAMPLE_RATE_HZ, SPOKEN_RATE_HZ)
"""The factors of the resampling from the synthesiser's rate."""

TELEPHONE_BAND_HZ = (300.0, 3400.0)

OVERLAP_SHARE = 0.25
"""Share of neighbouring utterances that overlap. Source: measured on 100 calls of the data set."""

MASK_TONE_HZ = 660.0
"""The beep over masked words. Source: a steady tone of about this pitch is heard in part of the data set's calls."""

RATE_WPM = {"하": 160, "중": 178, "상": 200}
PITCH_STEP = {"하": -4, "중": 0, "상": 7}
PITCH_RANGE = {"불안/걱정": 55, "당황/난처": 75, "중립": 25, "기타부정": 40}
CALLER_PITCH = {"F": 66, "M": 34}


@dataclass(frozen=True)
class Recording:
    """One call as it is shipped.

    Attributes:
        samples: mono int16 at 8 kHz, a whole number of milliseconds long.
        spans_ms: start and end of each turn in milliseconds, in the order of the turns; the last end may lie past the
            end of the samples.
    """

    samples: "npt.NDArray[np.int16]"
    spans_ms: tuple[tuple[int, int], ...]

    @property
    def duration_ms(self) -> int:
        """The length in milliseconds."""
        return self.samples.size // SAMPLES_PER_MS


def script(rng: np.random.Generator, conversation: Conversation) -> list[Line]:
    """How each turn is spoken: urgency moves the caller's rate and pitch, sentiment the range of the pitch."""
    taker_pitch = int(rng.integers(40, 61))
    caller_pitch = CALLER_PITCH[conversation.gender] + PITCH_STEP[conversation.urgency] + round(rng.normal(0, 5))
    lines = []
    for turn in conversation.turns:
        # Some word must be there to be beeped over.
        text = turn.text.replace(MASK, "거기")
        rate = round(rng.normal(0, 8))
        if turn.speaker == CALL_TAKER:
            lines.append(Line(text, 180 + rate, taker_pitch, pitch_range=35))
            continue
        pitch_range = PITCH_RANGE[conversation.sentiment] + round(rng.normal(0, 8))
        volume = 110 if conversation.urgency == "상" else 95
        lines.append(Line(text, RATE_WPM[conversation.urgency] + rate, caller_pitch, max(pitch_range, 0), volume))
    return lines


def record(
    rng: np.random.Generator,
    conversation: Conversation,
    spoken: "Sequence[npt.NDArray[np.int16]]",
    *,
    ends_early: bool = False,
) -> Recording:
    """Mixes the spoken turns of one call and sends them through a telephone line.

    Args:
        rng: the source of pauses, overlaps and noise.
        conversation: the call.
        spoken: the waveform of each of its turns, int16 at the synthesiser's rate.
        ends_early: the recording stops within the last turn, whose labelled end then lies past it.
    """
    waveforms = [_telephone_rate(samples) for samples in spoken]
    masked = [MASK in turn.text for turn in conversation.turns]
    waveforms = [_beeped(waveform) if beep else waveform for waveform, beep in zip(waveforms, masked, strict=True)]
    spans_ms = _spans(rng, [len(waveform) // SAMPLES_PER_MS for waveform in waveforms])
    after_ms = -int(rng.integers(150, 400)) if ends_early else int(rng.integers(200, 900))
    track = _mixed(waveforms, spans_ms, spans_ms[-1][1] + after_ms)
    return Recording(_telephone_line(rng, track), tuple(spans_ms))


def wav_bytes(samples: "npt.NDArray[np.int16]") -> bytes:
    """A RIFF WAV file: 8 kHz, mono, 16-bit PCM."""
    target = io.BytesIO()
    with wave.open(target, "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(SAMPLE_RATE_HZ)
        stream.writeframes(samples.astype("<i2").tobytes())
    return target.getvalue()


def _telephone_rate(samples: "npt.NDArray[np.int16]") -> "Waveform":
    """The samples at 8 kHz, at one loudness, padded to a whole millisecond."""
    from scipy.signal import resample_poly

    waveform = resample_poly(samples / 32768.0, UP, DOWN, window=_low_pass())
    return np.pad(waveform, (0, -len(waveform) % SAMPLES_PER_MS))


@cache
def _low_pass() -> "Waveform":
    """The filter that `resample_poly` would design anew for every turn."""
    from scipy.signal import firwin

    factor = max(UP, DOWN)
    taps: Waveform = firwin(2 * 10 * factor + 1, 1 / factor, window=("kaiser", 5.0))
    return taps


def _beeped(waveform: "Waveform") -> "Waveform":
    """The waveform with its middle third under a tone."""
    covered = slice(len(waveform) // 3, 2 * len(waveform) // 3)
    waveform = waveform.copy()
    waveform[covered] = 0.2 * np.sin(2 * np.pi * MASK_TONE_HZ / SAMPLE_RATE_HZ * np.arange(waveform[covered].size))
    return waveform


def _spans(rng: np.random.Generator, lengths_ms: Sequence[int]) -> list[tuple[int, int]]:
    """Start and end of each turn: short pauses, and every fourth turn or so begins before the last one ends."""
    spans: list[tuple[int, int]] = []
    end = int(rng.integers(200, 900))
    for i, length in enumerate(lengths_ms):
        pause = int(rng.integers(120, 1300))
        if i > 0 and rng.random() < OVERLAP_SHARE:
            pause = -min(int(rng.integers(80, 600)), lengths_ms[i - 1] // 2)
        start = end + pause if i > 0 else end
        spans.append((start, start + length))
        end = max(end, start + length)
    return spans


def _mixed(waveforms: "Sequence[Waveform]", spans_ms: Sequence[tuple[int, int]], duration_ms: int) -> "Waveform":
    track = np.zeros(max(end for _, end in spans_ms) * SAMPLES_PER_MS)
    for waveform, (start, end) in zip(waveforms, spans_ms, strict=True):
        track[start * SAMPLES_PER_MS : end * SAMPLES_PER_MS] += waveform
    target = duration_ms * SAMPLES_PER_MS
    return np.pad(track, (0, max(target - track.size, 0)))[:target]


def _telephone_line(rng: np.random.Generator, track: "Waveform") -> "npt.NDArray[np.int16]":
    """Band-limited speech over the noise of the line."""
    from scipy.signal import butter, sosfilt

    noise = rng.normal(0.0, float(rng.uniform(0.002, 0.015)), track.size)
    band = butter(4, TELEPHONE_BAND_HZ, btype="bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    line = 0.5 * sosfilt(band, track) + noise
    samples: npt.NDArray[np.int16] = np.round(np.clip(line, -1.0, 1.0) * 32767).astype(np.int16)
    return samples

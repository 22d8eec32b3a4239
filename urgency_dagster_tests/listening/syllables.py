"""A waveform that silero-vad takes for speech, made without a process: a buzz through three formants, and hisses."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import lfilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16_000
FORMANTS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))
"""Source: Peterson and Barney (1952), mean formants of men."""


def syllables(duration_ms: int, seed: int = 0) -> "NDArray[np.float32]":
    """Syllables without a pause, mono float32 at 16 kHz."""
    rng, spoken, missing = np.random.default_rng(seed), [], duration_ms * RATE // 1000
    while missing > 0:
        hiss = rng.normal(0, 0.05, int(rng.integers(20, 60)) * RATE // 1000)
        spoken += [hiss, _vowel(rng, int(rng.integers(100, 260)) * RATE // 1000)]
        missing -= len(spoken[-2]) + len(spoken[-1])
    return (0.5 * np.concatenate(spoken))[: duration_ms * RATE // 1000].astype(np.float32)


def silence(duration_ms: int) -> "NDArray[np.float32]":
    return np.zeros(duration_ms * RATE // 1000, np.float32)


def _vowel(rng: np.random.Generator, samples: int) -> "NDArray[np.float64]":
    pitch_hz = np.linspace(rng.uniform(100, 160), rng.uniform(100, 160), samples)
    buzz = (np.diff(np.floor(np.cumsum(pitch_hz) / RATE), prepend=0) > 0).astype(float)
    radius = np.exp(-np.pi * 80 / RATE)  # a bandwidth of 80 Hz
    for formant_hz in FORMANTS_HZ[rng.integers(len(FORMANTS_HZ))]:
        buzz = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * formant_hz / RATE), radius**2], buzz)
    return np.asarray(buzz / np.abs(buzz).max() * np.sin(np.linspace(0, np.pi, samples)) ** 0.5 * rng.uniform(0.3, 1))

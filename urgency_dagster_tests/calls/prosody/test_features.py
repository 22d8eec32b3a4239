"""Each feature on signals whose pitch, level and rate are known, and against plain calls of librosa."""

import math
from typing import Any

import librosa
import numpy as np
import pytest

from urgency_dagster.calls.audio import PCM16_STEP
from urgency_dagster.calls.prosody.configuration import ProsodyConfig
from urgency_dagster.calls.prosody.features import (
    BLOCK_FRAMES,
    FRAME_LENGTH,
    HOP_LENGTH,
    MIN_LEVEL_DBFS,
    analysed_waveform,
    frame_features,
    spoken_characters,
    utterance_features,
)
from urgency_dagster.errors import AudioError

CONFIG = ProsodyConfig()
F0 = ("f0_median_hz", "f0_iqr_semitones", "f0_range_semitones")
Samples = np.ndarray


def harmonic(f0_hz: float, seconds: float = 2.0, amplitude: float = 0.2) -> Samples:
    """A tone with five harmonics below 4 kHz, at 16 kHz."""
    times = np.arange(int(seconds * 16_000)) / 16_000
    tones = [np.sin(2 * np.pi * f0_hz * n * times) / n for n in range(1, 6)]
    return np.asarray(amplitude * np.sum(tones, axis=0), dtype=np.float32)


def noise(seconds: float = 2.0, amplitude: float = 0.1, seed: int = 0) -> Samples:
    samples = np.random.default_rng(seed).normal(0, amplitude, int(seconds * 16_000))
    return np.asarray(samples, dtype=np.float32)


def glide(seconds: float = 2.0) -> Samples:
    """A tone that rises by one octave, from 110 to 220 Hz, with noise."""
    times = np.arange(int(seconds * 16_000)) / 16_000
    phase = 2 * np.pi * 110 * seconds / math.log(2) * 2 ** (times / seconds)
    tones = [np.sin(n * phase) / n for n in range(1, 6)]
    tone = np.asarray(0.2 * np.sum(tones, axis=0), dtype=np.float32)
    return np.asarray(tone + noise(seconds, 0.005))


class TestF0:
    @pytest.mark.parametrize("f0_hz", [80, 120, 220, 400, 480])
    def test_a_harmonic_tone_has_its_own_f0(self, f0_hz: float) -> None:
        features = utterance_features(harmonic(f0_hz), CONFIG)
        assert features["f0_median_hz"] == pytest.approx(f0_hz, rel=0.01)
        assert features["voiced_share"] == 1.0
        assert features["f0_iqr_semitones"] == pytest.approx(0, abs=0.1)
        assert features["f0_range_semitones"] == pytest.approx(0, abs=0.1)

    def test_a_glide_over_an_octave_spreads_over_twelve_semitones(self) -> None:
        features = utterance_features(glide(), CONFIG)
        assert features["f0_median_hz"] == pytest.approx(110 * 2**0.5, rel=0.01)
        # The first and the last frame are centred 32 ms from the ends.
        covered = 12 * (1 - 0.064 / 2)
        assert features["f0_iqr_semitones"] == pytest.approx(0.5 * covered, abs=0.1)
        assert features["f0_range_semitones"] == pytest.approx(0.9 * covered, abs=0.1)

    @pytest.mark.parametrize("f0_hz", [60, 660])
    def test_a_pure_tone_outside_the_bounds_is_not_reported_outside(self, f0_hz: float) -> None:
        features = utterance_features(harmonic(f0_hz), CONFIG)
        median = features["f0_median_hz"]
        assert median is None or CONFIG.f0_min_hz < median < CONFIG.f0_max_hz

    def test_the_bounds_are_those_of_the_configuration(self) -> None:
        tone = harmonic(440)
        assert utterance_features(tone, CONFIG)["f0_median_hz"] == pytest.approx(440, rel=0.01)
        lower = utterance_features(tone, ProsodyConfig(f0_max_hz=300))["f0_median_hz"]
        assert lower == pytest.approx(220, rel=0.01)


class TestVoicing:
    def test_silence_has_no_f0_and_the_lowest_level(self) -> None:
        features = utterance_features(np.zeros(16_000, np.float32), CONFIG)
        assert [features[name] for name in F0] == [None, None, None]
        assert features["voiced_share"] == 0.0
        assert features["level_mean_dbfs"] == pytest.approx(MIN_LEVEL_DBFS)
        assert pytest.approx(-90.309, abs=1e-3) == MIN_LEVEL_DBFS
        assert features["level_sd_db"] == pytest.approx(0, abs=1e-9)
        assert features["zero_crossing_rate_mean"] == 0.0

    def test_white_noise_is_unvoiced(self) -> None:
        share = utterance_features(noise(20), CONFIG)["voiced_share"]
        assert share is not None
        assert share < 0.01

    def test_tone_between_noise_is_voiced_for_its_part(self) -> None:
        features = utterance_features(np.concatenate([noise(1), harmonic(200, 2), noise(1)]), CONFIG)
        assert features["voiced_share"] == pytest.approx(0.5, abs=0.02)
        assert features["f0_median_hz"] == pytest.approx(200, rel=0.01)

    def test_a_tone_below_the_level_is_unvoiced(self) -> None:
        quiet = harmonic(220, amplitude=1e-3)
        level = utterance_features(quiet, CONFIG)["level_mean_dbfs"]
        assert level is not None
        assert level < -60
        assert utterance_features(quiet, CONFIG)["voiced_share"] == 0.0
        assert utterance_features(quiet, ProsodyConfig(voiced_level_min_dbfs=-80))["voiced_share"] == 1.0

    def test_the_correlation_decides(self) -> None:
        mixture = harmonic(150, 4) + noise(4, 0.1)
        shares = [
            utterance_features(mixture, ProsodyConfig(voiced_correlation_min=bound))["voiced_share"] or 0.0
            for bound in (0.3, 0.7, 0.95)
        ]
        assert shares[0] > 0.9
        assert shares[0] >= shares[1] > shares[2]


class TestLevel:
    def test_a_sine_of_full_scale_is_three_decibels_below_it(self) -> None:
        times = np.arange(32_000) / 16_000
        sine = np.sin(2 * np.pi * 250 * times).astype(np.float32)
        features = utterance_features(sine, CONFIG)
        assert features["level_mean_dbfs"] == pytest.approx(-3.01, abs=0.02)
        # 250 crossings up and 250 down, in 8,000 samples.
        assert features["zero_crossing_rate_mean"] == pytest.approx(500 / 8_000, rel=0.01)

    def test_half_the_amplitude_is_six_decibels_less(self) -> None:
        loud, soft = (utterance_features(noise(amplitude=a), CONFIG)["level_mean_dbfs"] or 0 for a in (0.1, 0.05))
        assert loud - soft == pytest.approx(6.02, abs=0.01)

    def test_loud_and_silent_halves_spread(self) -> None:
        features = utterance_features(np.concatenate([noise(1), np.zeros(16_000, np.float32)]), CONFIG)
        assert features["level_sd_db"] == pytest.approx((-20 - MIN_LEVEL_DBFS) / 2, abs=2)


@pytest.mark.parametrize("seconds", [0.5, 1.7, 8.0])
def test_the_numbers_are_those_of_plain_librosa_calls(seconds: float) -> None:
    segment = np.concatenate([glide(seconds / 2), noise(seconds / 2, 0.02)])
    waveform = librosa.resample(segment, orig_sr=16_000, target_sr=8_000)
    grid: Any = {"frame_length": 512, "hop_length": 80, "center": False}
    f0 = librosa.yin(waveform, fmin=75, fmax=500, sr=8_000, **grid)
    rms = librosa.feature.rms(y=waveform, **grid)[0].astype(np.float64)
    zero_crossings = librosa.feature.zero_crossing_rate(waveform, **grid)[0]
    level = librosa.amplitude_to_db(rms, ref=1.0, amin=PCM16_STEP, top_db=None)

    frames = frame_features(analysed_waveform(segment), CONFIG)
    np.testing.assert_array_equal(frames.f0_hz, f0)
    np.testing.assert_array_equal(frames.level_dbfs, level)
    np.testing.assert_array_equal(frames.zero_crossing_rate, zero_crossings)
    features = utterance_features(segment, CONFIG)
    voiced = f0[frames.voiced]
    assert len(voiced)
    semitones = 12 * np.log2(voiced)
    assert features == {
        "f0_median_hz": np.median(voiced),
        "f0_iqr_semitones": np.subtract(*np.percentile(semitones, [75, 25])),
        "f0_range_semitones": np.subtract(*np.percentile(semitones, [95, 5])),
        "voiced_share": len(voiced) / len(f0),
        "level_mean_dbfs": level.mean(),
        "level_sd_db": level.std(),
        "zero_crossing_rate_mean": zero_crossings.mean(),
    }


def test_a_frame_is_voiced_by_its_correlation_one_period_later() -> None:
    waveform = analysed_waveform(harmonic(170, 1) + noise(1, 0.2))
    frames = frame_features(waveform, CONFIG)
    length = FRAME_LENGTH - math.ceil(8_000 / 75)
    expected = []
    for frame, f0_hz in enumerate(frames.f0_hz):
        start, period = frame * HOP_LENGTH, round(8_000 / f0_hz)
        now, later = waveform[start : start + length], waveform[start + period : start + period + length]
        correlation = now @ later / np.sqrt((now @ now) * (later @ later))
        expected.append(bool(75 < f0_hz < 500 and correlation >= 0.6))
    assert frames.voiced.tolist() == expected
    assert 0 < sum(expected) < len(expected)


class TestLength:
    def test_half_a_second_is_enough(self) -> None:
        features = utterance_features(harmonic(220, 0.5)[:-1], CONFIG)
        assert features["f0_median_hz"] == pytest.approx(220, rel=0.01)

    def test_one_frame_is_enough_and_less_is_an_error(self) -> None:
        assert utterance_features(harmonic(220, 0.064), CONFIG)["voiced_share"] == 1.0
        for samples in (1023, 1, 0):
            with pytest.raises(AudioError, match=f"{samples} samples; expected at least 1024"):
                utterance_features(harmonic(220)[:samples], CONFIG)

    def test_blocks_give_the_frames_of_the_whole(self) -> None:
        waveform = analysed_waveform(glide(8))
        frames = frame_features(waveform, CONFIG)
        assert len(frames.f0_hz) == 1 + (len(waveform) - FRAME_LENGTH) // HOP_LENGTH > 2 * BLOCK_FRAMES
        for first in (0, BLOCK_FRAMES - 1, BLOCK_FRAMES, 2 * BLOCK_FRAMES):
            start = first * HOP_LENGTH
            alone = frame_features(waveform[start : start + FRAME_LENGTH], CONFIG)
            assert frames.f0_hz[first] == pytest.approx(alone.f0_hz[0], rel=1e-5)
            assert frames.level_dbfs[first] == alone.level_dbfs[0]
            assert frames.voiced[first] == alone.voiced[0]


class TestDamage:
    def test_clipping_keeps_the_f0(self) -> None:
        clipped = np.clip(harmonic(220, amplitude=5.0), -1, 1)
        features = utterance_features(clipped, CONFIG)
        assert features["f0_median_hz"] == pytest.approx(220, rel=0.01)
        level = features["level_mean_dbfs"]
        assert level is not None
        assert -6 < level < 0

    def test_repaired_samples_leave_finite_features(self) -> None:
        repaired = harmonic(220)
        repaired[5_000:9_000] = 0
        repaired[::977] = 0
        features = utterance_features(repaired, CONFIG)
        assert all(value is not None and math.isfinite(value) for value in features.values())
        assert features["f0_median_hz"] == pytest.approx(220, rel=0.01)

    @pytest.mark.parametrize("amplitude", [2.0**30, 1e-20])
    def test_the_largest_and_the_smallest_samples_give_finite_features(self, amplitude: float) -> None:
        features = utterance_features(harmonic(220, amplitude=amplitude), CONFIG)
        assert all(value is None or math.isfinite(value) for value in features.values())


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("", 0),
        ("   ", 0),
        ("?!.,~…·“”#@* \n", 0),
        ("네", 1),
        ("여기 불이 났어요!", 7),
        ("119 구급차, 3층으로요", 11),
        ("ㅋㅋ OK", 4),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", 2),  # 한글 as jamo
    ],
)
def test_syllables_letters_and_digits_count(text: str, characters: int) -> None:
    assert spoken_characters(text) == characters

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from urgency_dagster.calls import audio
from urgency_dagster.calls.table import quality
from urgency_dagster.calls.table.quality import RecordingQuality
from urgency_dagster.errors import AudioError

RATE = 8000
RATES = [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]
GOOD = {"silent": False, "has_nan": False, "clipped": False, "tone_660hz": False}


Read = Callable[..., RecordingQuality]
"""Writes samples as a recording and reads its quality."""

Flags = Callable[..., dict[str, bool]]
"""Returns the flags of samples as a whole."""


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Writes samples as a recording and reads its quality."""

    def write_and_read(
        samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16", suffix: str = "wav"
    ) -> RecordingQuality:
        path = tmp_path / f"a.{suffix}"
        soundfile.write(path, samples, rate, subtype=subtype)
        return RecordingQuality.read(path)

    return write_and_read


@pytest.fixture
def flags(read: Read) -> Flags:
    """The flags of samples as a whole."""

    def of(samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> dict[str, bool]:
        quality: RecordingQuality = read(samples, rate, subtype)
        return quality.flags(0, 2**40)

    return of


def seconds(duration_s: float, rate: int = RATE) -> np.ndarray:
    return np.arange(int(duration_s * rate)) / rate


def tone(frequency_hz: float, duration_s: float = 1.0, rate: int = RATE, rms: float = 0.1) -> np.ndarray:
    samples: np.ndarray = rms * np.sqrt(2) * np.sin(2 * np.pi * frequency_hz * seconds(duration_s, rate) + 0.3)
    return samples


def noise(duration_s: float = 1.0, rate: int = RATE, rms: float = 0.1) -> np.ndarray:
    return np.random.default_rng(0).normal(0, rms, int(duration_s * rate))


def vowel(pitch_hz: np.ndarray, rate: int = RATE) -> np.ndarray:
    """An open vowel: the pulses of a voice through three resonances, the first of them at 660 Hz."""
    waveform = np.diff(np.floor(np.cumsum(pitch_hz) / rate), prepend=0)
    for frequency, width in ((0, 200), (660, 80), (1200, 90), (2500, 120)):
        radius = np.exp(-np.pi * width / rate)
        waveform = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * frequency / rate), radius**2], waveform)
    waveform = np.diff(waveform, prepend=0)
    samples: np.ndarray = 0.5 * waveform / np.abs(waveform).max()
    return samples


class TestRead:
    def test_sound_without_anything_wrong_has_no_flag(self, read: Read) -> None:
        quality = read(noise())
        assert quality.flags(0, 1000) == GOOD
        assert all(type(value) is bool for value in quality.flags(0, 1000).values())

    @pytest.mark.parametrize(("samples", "expected"), [(8007, 1000), (7999, 999), (1, 0)])
    def test_the_duration_is_rounded_down_to_a_millisecond(self, read: Read, samples: int, expected: int) -> None:
        assert read(np.zeros(samples)).duration_ms == expected

    def test_a_recording_is_decoded_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        soundfile.write(tmp_path / "a.wav", noise(), RATE)
        opened: list[int] = []
        original = soundfile.SoundFile.__init__

        def counted(*args: Any, **kwargs: Any) -> None:
            opened.append(1)
            original(*args, **kwargs)

        monkeypatch.setattr(soundfile.SoundFile, "__init__", counted)
        quality = RecordingQuality.read(tmp_path / "a.wav")
        quality.flags(0, 500)
        quality.flags(500, 1000)
        assert len(opened) == 1

    def test_the_bytes_of_a_file_are_read_like_the_file(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", noise(), RATE)
        of_file, of_bytes = (
            RecordingQuality.read(it) for it in (tmp_path / "a.wav", (tmp_path / "a.wav").read_bytes())
        )
        assert of_file.audio_sha256 == of_bytes.audio_sha256

    @pytest.mark.parametrize("content", [b"", b"not sound at all" * 99, b"RIFF\x00\x00\x00\x00WAVE"])
    def test_what_cannot_be_decoded_is_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.wav").write_bytes(content)
        with pytest.raises(AudioError, match="not decodable"):
            RecordingQuality.read(tmp_path / "a.wav")

    def test_a_recording_without_samples_is_refused(self, read: Read) -> None:
        with pytest.raises(AudioError, match="no samples"):
            read(np.zeros(0))

    def test_a_recording_that_is_gone_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(AudioError):
            RecordingQuality.read(tmp_path / "a.wav")

    @pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
    @pytest.mark.parametrize("channels", [1, 2])
    @pytest.mark.parametrize("block", [2, 3, 1000])
    def test_the_pieces_in_which_it_is_read_change_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtype: str, channels: int, block: int
    ) -> None:
        samples = np.repeat(noise(0.5)[:, None], channels, axis=1)
        samples[1500:1503, -1] = 1
        samples[2002:2010, -1] = -1
        if subtype == "FLOAT":
            samples[2500, 0] = np.nan
        soundfile.write(tmp_path / "a.wav", samples, RATE, subtype=subtype)
        whole = RecordingQuality.read(tmp_path / "a.wav")
        monkeypatch.setattr(audio, "BLOCK_SAMPLES", block * channels)
        monkeypatch.setattr(quality, "BLOCK_SAMPLES", block)
        pieces = RecordingQuality.read(tmp_path / "a.wav")
        assert pieces.audio_sha256 == whole.audio_sha256
        spans = [(0, 500), (0, 187), (187, 188), (188, 250), (250, 251), (252, 500), (312, 313)]
        assert [pieces.flags(*span) for span in spans] == [whole.flags(*span) for span in spans]
        assert [pieces.flags(*span)["clipped"] for span in spans] == [True, False, True, False, True, False, False]
        assert [pieces.flags(*span)["has_nan"] for span in spans][-1] == (subtype == "FLOAT")


class TestFlags:
    def test_a_part_without_samples_is_silent(self, read: Read) -> None:
        quality = read(tone(660), RATE)
        for span in [(1000, 2000), (5000, 6000), (300, 300), (700, 200)]:
            assert quality.flags(*span) == GOOD | {"silent": True}

    def test_an_end_past_the_last_sample_is_clipped(self, read: Read) -> None:
        samples = noise()
        samples[-3:] = 1
        for end_ms in (1001, 2**40, 2**63 - 1):
            assert read(samples).flags(500, end_ms) == GOOD | {"clipped": True}

    def test_a_start_before_the_first_sample_is_the_first(self, read: Read) -> None:
        quality = read(np.concatenate([noise(0.5), np.zeros(RATE // 2)]))
        assert not quality.flags(-500, 1000)["silent"]

    @given(start_ms=st.integers(-100, 1500), length_ms=st.integers(-100, 1500))
    def test_any_span_has_every_flag(self, start_ms: int, length_ms: int) -> None:
        found = QUALITY.flags(start_ms, start_ms + length_ms)
        assert list(found) == list(GOOD)

    @given(start_ms=st.integers(0, 999), length_ms=st.integers(1, 999), damaged=st.integers(0, 11_024))
    def test_a_span_is_cut_as_segments_are_at_the_recordings_own_rate(
        self, start_ms: int, length_ms: int, damaged: int
    ) -> None:
        quality = RecordingQuality(np.zeros(11_025, np.float32), 11_025, np.array([damaged]), np.array([], int))
        first, last = int(start_ms / 1000 * 11_025), int((start_ms + length_ms) / 1000 * 11_025)
        assert quality.flags(start_ms, start_ms + length_ms)["has_nan"] == (first <= damaged < last)


QUALITY = RecordingQuality(np.ones(8000, np.float32), RATE, np.array([4]), np.array([5]))


class TestSilence:
    @pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW", "ALAW", "PCM_U8"])
    def test_no_sound_at_all_is_silent(self, flags: Flags, subtype: str) -> None:
        assert flags(np.zeros(RATE), subtype=subtype) == GOOD | {"silent": True}

    def test_dither_and_a_constant_offset_are_silent(self, flags: Flags) -> None:
        dither = np.random.default_rng(0).integers(-2, 3, RATE) / 2**15
        assert flags(dither)["silent"]
        assert flags(dither + 0.25)["silent"]

    @pytest.mark.parametrize(("level_db", "silent"), [(-80, True), (-60.2, True), (-59.8, False), (-50, False)])
    def test_the_limit_is_60_db_below_full_scale(self, flags: Flags, level_db: float, silent: bool) -> None:
        assert flags(tone(440, rms=10 ** (level_db / 20)), subtype="FLOAT")["silent"] == silent

    def test_only_the_span_counts(self, read: Read) -> None:
        quality = read(np.concatenate([noise(1), np.zeros(RATE), noise(1)]))
        spans = [(0, 1000), (1000, 2000), (999, 2000), (1000, 2001), (0, 3000)]
        assert [quality.flags(*span)["silent"] for span in spans] == [False, True, False, False, False]

    def test_damage_alone_is_silent(self, flags: Flags) -> None:
        assert flags(np.full(RATE, np.nan), subtype="FLOAT") == GOOD | {"silent": True, "has_nan": True}


class TestDamage:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -2.2e9])
    @pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
    def test_a_damaged_sample_is_found_where_it_lies(self, read: Read, value: float, subtype: str) -> None:
        samples = noise()
        samples[4000] = value
        quality = read(samples, subtype=subtype)
        spans = [(0, 1000), (500, 501), (499, 501), (0, 500), (501, 1000)]
        assert [quality.flags(*span)["has_nan"] for span in spans] == [True, True, True, False, False]
        assert not quality.flags(0, 1000)["clipped"]

    def test_a_damaged_sample_of_one_channel_counts(self, flags: Flags) -> None:
        samples = np.stack([noise(), noise()], axis=1)
        samples[4000, 1] = np.nan
        assert flags(samples, subtype="FLOAT") == GOOD | {"has_nan": True}

    def test_a_run_of_infinities_is_damage_and_no_clipping(self, flags: Flags) -> None:
        samples = noise()
        samples[4000:4100] = np.inf
        assert flags(samples, subtype="FLOAT") == GOOD | {"has_nan": True}

    def test_the_loudest_sample_that_is_no_damage(self, flags: Flags) -> None:
        samples = noise()
        samples[4000] = 2.0**31
        assert not flags(samples, subtype="FLOAT")["has_nan"]


class TestClipping:
    @pytest.mark.parametrize(("run", "clipped"), [(1, False), (2, False), (3, True), (50, True)])
    @pytest.mark.parametrize("value", [1.0, -1.0])
    @pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_U8", "FLOAT", "ULAW", "ALAW"])
    def test_three_equal_samples_at_full_scale_are_clipping(
        self, flags: Flags, run: int, clipped: bool, value: float, subtype: str
    ) -> None:
        samples = noise()
        samples[4000 : 4000 + run] = value
        samples[3999], samples[4000 + run] = 0, 0
        assert flags(samples, subtype=subtype) == GOOD | {"clipped": clipped}

    @pytest.mark.parametrize("rate", RATES)
    def test_a_voice_that_is_cut_off_is_clipped(self, flags: Flags, rate: int) -> None:
        loud = 3 * vowel(np.full(rate, 120.0), rate)
        assert flags(np.clip(loud, -1, 1), rate)["clipped"]
        assert not flags(loud / np.abs(loud).max(), rate)["clipped"]

    @pytest.mark.parametrize(("value", "clipped"), [(32_124, True), (32_123, False), (-32_124, True), (-32_123, False)])
    def test_full_scale_is_the_last_code_of_mu_law(self, flags: Flags, value: int, clipped: bool) -> None:
        samples = (noise() * 2**15).astype(np.int16)
        samples[4000:4010] = value
        assert flags(samples)["clipped"] == clipped
        assert flags(samples / np.float32(2**15), subtype="FLOAT")["clipped"] == clipped

    def test_a_wave_that_swings_from_one_end_to_the_other_is_not_flat(self, flags: Flags) -> None:
        samples = noise()
        samples[4000:4100] = np.tile([1, -1], 50)
        assert not flags(samples)["clipped"]
        samples[4000:4100] = np.tile([1, 0.99], 50)
        assert not flags(samples)["clipped"]

    @pytest.mark.parametrize("frequency_hz", [100, 440, 1000])
    def test_a_wave_that_just_fits_is_not_clipped(self, flags: Flags, frequency_hz: int) -> None:
        wave = tone(frequency_hz)
        assert not flags(wave / np.abs(wave).max())["clipped"]

    def test_above_full_scale_is_clipped_where_it_is_flat(self, flags: Flags) -> None:
        samples = noise()
        samples[4000:4003] = 1.5, 1.6, 1.5
        assert not flags(samples, subtype="FLOAT")["clipped"]
        samples[4000:4003] = 1.5
        assert flags(samples, subtype="FLOAT")["clipped"]

    def test_one_channel_is_enough(self, flags: Flags) -> None:
        samples = np.stack([noise(), noise()], axis=1)
        samples[4000:4010, 1] = 1
        assert flags(samples)["clipped"]

    def test_two_channels_do_not_make_a_run_together(self, flags: Flags) -> None:
        samples = np.stack([noise(), noise()], axis=1)
        samples[4000:4002] = 1
        samples[4002, 0] = 1
        assert flags(samples)["clipped"]
        samples[4000, 0] = 0
        assert not flags(samples)["clipped"]

    def test_three_samples_of_the_run_must_lie_in_the_span(self, read: Read) -> None:
        samples = noise()
        samples[3998:4003] = 1  # 2 of them before 500 ms, 3 from there on
        quality = read(samples)
        assert [quality.flags(*span)["clipped"] for span in [(0, 500), (500, 1000), (0, 1000)]] == [False, True, True]
        samples[4002] = 0
        quality = read(samples)
        assert [quality.flags(*span)["clipped"] for span in [(0, 500), (500, 1000), (0, 1000)]] == [False, False, True]


class TestTone:
    @pytest.mark.parametrize("rate", RATES)
    @pytest.mark.parametrize("frequency_hz", [650, 659.26, 660, 670])
    def test_a_steady_tone_is_found(self, flags: Flags, rate: int, frequency_hz: float) -> None:
        assert flags(tone(frequency_hz, rate=rate), rate) == GOOD | {"tone_660hz": True}

    @pytest.mark.parametrize("rate", RATES)
    @pytest.mark.parametrize("distance_db", [20, 10])
    def test_a_tone_in_noise_is_found(self, flags: Flags, rate: int, distance_db: int) -> None:
        mixed = tone(660, rate=rate) + noise(rate=rate, rms=0.1 * 10 ** (-distance_db / 20))
        assert flags(mixed, rate)["tone_660hz"]

    @pytest.mark.parametrize("rate", RATES)
    def test_a_tone_as_loud_as_the_noise_is_not_steady(self, flags: Flags, rate: int) -> None:
        assert not flags(tone(660, rate=rate) + noise(rate=rate), rate)["tone_660hz"]

    @pytest.mark.parametrize("rate", RATES)
    @pytest.mark.parametrize("frequency_hz", [330, 425, 440, 480, 560, 620, 640, 680, 697, 760, 1320, 1980])
    def test_other_tones_are_not_it(self, flags: Flags, rate: int, frequency_hz: int) -> None:
        assert flags(tone(frequency_hz, rate=rate), rate) == GOOD

    @pytest.mark.parametrize(
        "frequencies_hz",
        [(350, 440), (440, 480), (480, 620), (697, 1209), (440, 554.37, 659.26), (329.63, 659.26), (650, 670)],
    )
    def test_chords_are_not_it(self, flags: Flags, frequencies_hz: tuple[float, ...] | tuple[int, ...]) -> None:
        assert not flags(sum(tone(f) for f in frequencies_hz))["tone_660hz"]

    @pytest.mark.parametrize("rate", RATES)
    @pytest.mark.parametrize(("length_ms", "found"), [(100, False), (200, False), (300, True), (400, True)])
    @pytest.mark.parametrize("rest", ["silence", "speech"])
    def test_a_beep_must_last_300_ms(self, flags: Flags, rate: int, length_ms: int, found: bool, rest: str) -> None:
        samples = vowel(np.linspace(100, 180, rate), rate) if rest == "speech" else np.zeros(rate)
        start = int(0.3037 * rate)
        covered = slice(start, start + length_ms * rate // 1000)
        samples[covered] = tone(660, rate=rate)[covered]
        assert flags(samples, rate)["tone_660hz"] == found

    @given(start=st.integers(0, 4000))
    def test_a_beep_of_300_ms_is_found_wherever_it_begins(self, start: int) -> None:
        samples = noise(rms=0.03)
        samples[start : start + 2400] = tone(660)[:2400]
        nothing = np.array([], int)
        assert RecordingQuality(samples.astype(np.float32), RATE, nothing, nothing).flags(0, 1000)["tone_660hz"]

    @pytest.mark.parametrize("rate", RATES)
    def test_only_the_span_counts(self, read: Read, rate: int) -> None:
        samples = np.concatenate([noise(1, rate, 0.02), tone(660, 1, rate), noise(1, rate, 0.02)])
        quality = read(samples, rate)
        inside = [(1000, 2000), (900, 1400), (1700, 2400), (0, 1300), (1350, 1650), (0, 3000)]
        outside = [(0, 1000), (0, 1200), (1800, 3000), (2000, 3000), (1400, 1600)]
        assert all(quality.flags(*span)["tone_660hz"] for span in inside)
        assert not any(quality.flags(*span)["tone_660hz"] for span in outside)

    def test_no_block_of_the_tone_may_begin_before_the_span_or_end_after_it(self, read: Read) -> None:
        samples = np.concatenate([noise(1, rms=0.2), tone(660, 0.29, rms=0.02), noise(1, rms=0.2)])
        quality = read(samples)
        spans = [(1000, 1290), (991, 1299), (1001, 1400), (1005, 1400), (900, 1289), (900, 1285)]
        assert [quality.flags(*span)["tone_660hz"] for span in spans] == [True, True, False, False, False, False]

    @pytest.mark.parametrize("rate", RATES)
    @pytest.mark.parametrize("slope_hz_per_s", [50, 200, 1000])
    def test_a_sweep_through_it_is_not_it(self, flags: Flags, rate: int, slope_hz_per_s: int) -> None:
        frequency_hz = 660 + slope_hz_per_s * (seconds(1, rate) - 0.5)
        assert not flags(0.1 * np.sin(2 * np.pi * np.cumsum(frequency_hz) / rate), rate)["tone_660hz"]

    @pytest.mark.parametrize("rate", RATES)
    @pytest.mark.parametrize("pitch_hz", [110, 165, 220])
    @pytest.mark.parametrize("vibrato_hz", [0, 0.5, 2, 6])
    def test_a_vowel_with_a_harmonic_there_is_not_it(
        self, flags: Flags, rate: int, pitch_hz: int, vibrato_hz: float
    ) -> None:
        moving = pitch_hz * (1 + 0.02 * np.sin(2 * np.pi * vibrato_hz * seconds(1, rate)))
        assert flags(vowel(moving, rate), rate) == GOOD

    def test_a_voice_at_that_pitch_is_not_it(self, flags: Flags) -> None:
        trembling = 660 * (1 + 0.01 * np.sin(2 * np.pi * 5 * seconds(1)))
        assert not flags(0.1 * np.sin(2 * np.pi * np.cumsum(trembling) / RATE))["tone_660hz"]

    def test_a_constant_offset_hides_no_tone(self, flags: Flags) -> None:
        assert flags(tone(660, rms=0.05) + 0.5)["tone_660hz"]

    @pytest.mark.parametrize(("level_db", "found"), [(-60.2, False), (-59.8, True)])
    def test_a_silent_tone_is_none(self, flags: Flags, level_db: float, found: bool) -> None:
        assert flags(tone(660, rms=10 ** (level_db / 20)), subtype="FLOAT")["tone_660hz"] == found

    def test_a_loud_click_elsewhere_hides_no_tone(self, flags: Flags) -> None:
        samples = tone(660)
        samples[1] = 2.0**31
        assert flags(samples, subtype="FLOAT")["tone_660hz"]

    @pytest.mark.parametrize("duration_s", [0.001, 0.28, 0.2899])
    def test_a_recording_shorter_than_the_tone_must_last(self, flags: Flags, duration_s: float) -> None:
        assert not flags(tone(660, duration_s))["tone_660hz"]

    def test_a_tone_in_a_telephones_code_is_found(self, flags: Flags) -> None:
        assert flags(tone(660), subtype="ULAW")["tone_660hz"]
        assert flags(tone(660), subtype="ALAW")["tone_660hz"]


class TestSoundHash:
    def sounds(self) -> np.ndarray:
        return np.random.default_rng(0).integers(-(2**15), 2**15, RATE).astype(np.int16)

    def test_it_covers_the_rate_and_the_samples_as_floats(self, read: Read) -> None:
        samples = self.sounds()
        expected = hashlib.sha256(b"\x40\x1f\0\0" + (samples / np.float32(2**15)).astype("<f4").tobytes())
        assert read(samples).audio_sha256 == expected.hexdigest()

    @pytest.mark.parametrize(
        ("suffix", "subtype"),
        [
            ("flac", "PCM_16"),
            ("aiff", "PCM_16"),
            ("wav", "PCM_24"),
            ("wav", "PCM_32"),
            ("wav", "FLOAT"),
            ("wav", "DOUBLE"),
        ],
    )
    def test_another_container_or_encoding_of_the_same_sound_has_the_same(
        self, read: Read, suffix: str, subtype: str
    ) -> None:
        samples = self.sounds()
        assert read(samples / 2**15, RATE, subtype, suffix).audio_sha256 == read(samples).audio_sha256

    def test_equal_channels_sound_like_one(self, read: Read) -> None:
        samples = self.sounds()
        assert read(np.stack([samples, samples], axis=1)).audio_sha256 == read(samples).audio_sha256

    def test_another_header_over_the_same_sound_has_the_same(self, read: Read, tmp_path: Path) -> None:
        expected = read(self.sounds()).audio_sha256
        content = (tmp_path / "a.wav").read_bytes()
        (tmp_path / "b.wav").write_bytes(content + b"LIST\x04\0\0\0INFO")
        (tmp_path / "c.wav").write_bytes(
            content.replace(b"data" + (16_000).to_bytes(4, "little"), b"data" + b"\xff" * 4)
        )
        assert RecordingQuality.read(tmp_path / "b.wav").audio_sha256 == expected
        assert RecordingQuality.read(tmp_path / "c.wav").audio_sha256 == expected

    def test_another_sound_has_another(self, read: Read) -> None:
        samples = self.sounds()
        changed = samples.copy()
        changed[-1] += 1
        others = [read(changed), read(samples[:-1]), read(samples, 8001), read(np.append(samples, 0).astype(np.int16))]
        assert len({read(samples).audio_sha256, *(other.audio_sha256 for other in others)}) == 5

    def test_damage_and_negative_zeros_are_zeros(self, read: Read) -> None:
        samples = noise()
        hashes = set()
        for value in (0.0, -0.0, np.nan, -np.nan, np.inf, 3e38):
            samples[100:200] = value
            hashes.add(read(samples, subtype="FLOAT").audio_sha256)
        assert len(hashes) == 1

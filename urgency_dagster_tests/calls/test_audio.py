from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st

from urgency_dagster.calls.audio import SAMPLE_RATE, cut, decode, duration_ms, load_waveform
from urgency_dagster.errors import AudioError


@pytest.fixture
def wav(tmp_path, build):
    """Writes a recording, or any bytes, and gives its path."""

    def write(content: bytes | None = None, **shape) -> Path:
        path = tmp_path / "a.wav"
        path.write_bytes(build.wav(500, **shape) if content is None else content)
        return path

    return write


@pytest.mark.filterwarnings("ignore:.*slated for removal:DeprecationWarning")  # librosa.load itself
@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize(
    ("channels", "subtype"), [(1, "PCM_16"), (2, "PCM_16"), (1, "ALAW"), (1, "ULAW"), (2, "PCM_24"), (1, "FLOAT")]
)
def test_a_recording_sounds_as_it_does_to_librosa(wav, rate, channels, subtype):
    path = wav(rate=rate, channels=channels, subtype=subtype)
    waveform = load_waveform(path)
    expected, _ = librosa.load(path, sr=SAMPLE_RATE)
    assert waveform.dtype == np.float32
    assert waveform.shape == expected.shape
    np.testing.assert_allclose(waveform, expected, rtol=0, atol=1e-6)


def test_decoding_keeps_the_rate_and_mixes_to_mono(tmp_path):
    samples = np.stack([np.full(800, 0.5), np.full(800, -0.25)], axis=1)
    soundfile.write(tmp_path / "a.wav", samples, 8000)
    waveform, rate = decode(tmp_path / "a.wav")
    assert (waveform.shape, rate) == ((800,), 8000)
    np.testing.assert_allclose(waveform, 0.125)


def test_a_recording_longer_than_a_block_is_whole(tmp_path):
    samples = np.random.default_rng(0).normal(0, 0.1, (1 << 20) + 12_345).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(load_waveform(tmp_path / "a.wav"), samples)


def test_any_format_of_libsndfile_may_be_called_wav(tmp_path):
    samples = np.random.default_rng(0).normal(0, 0.1, 8000)
    soundfile.write(tmp_path / "a.flac", samples, 8000)
    (tmp_path / "a.flac").rename(tmp_path / "a.wav")
    assert duration_ms(tmp_path / "a.wav") == 1000


def test_the_duration_is_rounded_down_to_a_millisecond(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(8000 + 7), 8000)
    assert duration_ms(tmp_path / "a.wav") == 1000
    soundfile.write(tmp_path / "a.wav", np.zeros(8000 - 1), 8000)
    assert duration_ms(tmp_path / "a.wav") == 999


@pytest.mark.parametrize("claimed", [0xFFFFFFFF, 0x7FFFFFF0, 100_000])
def test_a_header_that_promises_too_much_is_read_as_far_as_it_goes(wav, build, claimed):
    content = build.wav(500)
    start = content.index(b"data") + 4
    path = wav(content[:start] + claimed.to_bytes(4, "little") + content[start + 4 :])
    assert duration_ms(path) == 500


def test_a_recording_cut_off_in_copying_is_read_as_far_as_it_goes(wav, build):
    content = build.wav(500)
    header = content.index(b"data") + 8
    assert duration_ms(wav(content[: header + 8000 * 2 // 4])) == 250


def test_a_length_beyond_all_memory_is_refused(tmp_path):
    """The total of a FLAC header is not bounded by the size of its file."""
    soundfile.write(tmp_path / "a.flac", np.zeros(8000), 8000)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError):
        decode(tmp_path / "a.wav")


def test_a_recording_of_more_than_an_hour_is_refused(tmp_path):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 4000, 1) as file:
        for _ in range(61):
            file.write(np.zeros(4000 * 60, dtype=np.float32))
    assert (tmp_path / "a.flac").stat().st_size < 1_000_000, "it is small while it is packed"
    with pytest.raises(AudioError, match="longer than 3600 s"):
        decode(tmp_path / "a.flac")


@pytest.mark.parametrize("rate", [1, 3999, 192_001, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_refused(wav, build, rate):
    content = build.wav(500)
    with pytest.raises(AudioError, match="samples per second"):
        load_waveform(wav(content[:24] + rate.to_bytes(4, "little") + content[28:]))


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf, 3e38])
def test_damaged_float_samples_are_silence(tmp_path, damage):
    samples = np.full((800, 2), 0.5, dtype=np.float32)
    samples[100] = damage
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    waveform, _ = decode(tmp_path / "a.wav")
    assert waveform[100] == 0
    np.testing.assert_array_equal(np.delete(waveform, 100), np.float32(0.5))
    assert np.isfinite(load_waveform(tmp_path / "a.wav")).all()


@pytest.mark.parametrize("content", [b"", b"not sound at all" * 99, b"RIFF\x00\x00\x00\x00WAVE"])
def test_what_is_no_sound_is_refused(wav, content):
    with pytest.raises(AudioError):
        decode(wav(content))


def test_a_recording_without_samples_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 8000)
    with pytest.raises(AudioError, match="no samples"):
        duration_ms(tmp_path / "a.wav")


def test_a_file_that_is_gone_is_refused(tmp_path):
    with pytest.raises(AudioError):
        decode(tmp_path / "a.wav")


@given(start_ms=st.integers(0, 2000), length_ms=st.integers(1, 3000))
@example(start_ms=1001, length_ms=500)  # 1001 / 1000 * 16000 is a little less than 16016
def test_a_cut_begins_and_ends_at_the_rounded_down_sample(start_ms, length_ms):
    waveform = np.arange(4 * SAMPLE_RATE, dtype=np.float32)
    first, last = int(start_ms / 1000 * 16_000), int((start_ms + length_ms) / 1000 * 16_000)
    np.testing.assert_array_equal(cut(waveform, start_ms, start_ms + length_ms), np.arange(first, min(last, 64_000)))


def test_a_cut_past_the_end_is_clipped():
    waveform = np.arange(1600, dtype=np.float32)
    np.testing.assert_array_equal(cut(waveform, 50, 2**62), waveform[800:])

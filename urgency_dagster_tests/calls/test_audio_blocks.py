"""The blocks of a recording are its waveform, in pieces of bounded size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from urgency_dagster.calls import audio_blocks
from urgency_dagster.calls.audio import load_waveform, pcm16_samples
from urgency_dagster.calls.audio_blocks import Resampler, waveform_blocks
from urgency_dagster.errors import AudioError


def samples(count: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (count, channels)).astype(np.float32)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the samples of a block."""

    def set_size(size: int) -> None:
        monkeypatch.setattr(audio_blocks, "STREAM_SAMPLES", size)

    return set_size


@pytest.mark.parametrize("size", [1000, 1777, 1 << 21])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [4000, 8000, 11_025, 16_000, 44_100, 48_000])
def test_the_blocks_are_the_waveform(
    tmp_path: Path, small_blocks: Callable[[int], None], rate: int, channels: int, size: int
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, samples(rate + 123, channels), rate, "PCM_16")
    expected = load_waveform(path).tobytes()
    small_blocks(size)
    for source in (path, str(path), path.read_bytes(), soundfile.read(path, dtype="int16")):
        blocks = list(waveform_blocks(source))
        assert np.concatenate(blocks).tobytes() == expected
        assert all(block.dtype == np.float32 and block.ndim == 1 for block in blocks)
        assert (len(blocks) == 1) == (size == 1 << 21)


@given(
    count=st.integers(1, 5000), rate=st.sampled_from([4000, 8000, 22_050, 44_100, 192_000]), size=st.integers(1, 999)
)
def test_the_length_is_that_of_the_waveform(count: int, rate: int, size: int) -> None:
    recording = (samples(count)[:, 0], rate)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(audio_blocks, "STREAM_SAMPLES", size)
        blocks = list(waveform_blocks(recording))
    assert np.concatenate(blocks).tobytes() == load_waveform(recording).tobytes()


@given(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=8), rate=st.sampled_from([8000, 16_000, 44_100]))
def test_a_recording_that_arrives_in_pieces_is_resampled_as_a_whole(sizes: list[int], rate: int) -> None:
    pcm16 = (samples(sum(sizes))[:, 0] * 32_767).astype(np.int16)
    resampler, ends = Resampler(rate), np.cumsum(sizes)
    pieces = [pcm16[end - size : end].astype("<i2").tobytes() for size, end in zip(sizes, ends, strict=True)]
    resampled = [resampler.add(pcm16_samples(piece)) for piece in pieces]
    resampled.append(resampler.add(np.empty(0, np.float32), is_last=True))
    assert np.concatenate(resampled).tobytes() == load_waveform((pcm16, rate)).tobytes()


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(AudioError, match="3 bytes of 16-bit samples"):
        pcm16_samples(b"abc")


def test_damaged_samples_are_silence(tmp_path: Path, small_blocks: Callable[[int], None]) -> None:
    damaged = samples(16_000)
    damaged[5000:5010] = np.nan
    soundfile.write(tmp_path / "a.wav", damaged, 16_000, "FLOAT")
    small_blocks(1000)
    assert not np.concatenate(list(waveform_blocks(tmp_path / "a.wav")))[5000:5010].any()


def test_a_recording_may_be_longer_than_one_in_memory(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 4000, 1) as file:
        for _ in range(61):
            file.write(np.zeros(4000 * 60, np.float32))
    with pytest.raises(AudioError, match="longer than 3600 s"):
        load_waveform(tmp_path / "a.flac")
    assert sum(map(len, waveform_blocks(tmp_path / "a.flac"))) == 61 * 60 * 16_000
    assert sum(map(len, waveform_blocks((np.zeros(61 * 60 * 4000, np.int16), 4000)))) == 61 * 60 * 16_000


def test_a_recording_has_a_maximum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_blocks, "MAX_BLOCKS_LENGTH_S", 2)
    for count in (16_000, 16_001):
        recording = samples(count)[:, 0]
        soundfile.write(tmp_path / "a.wav", recording, 8000)
        for source in (tmp_path / "a.wav", (recording, 8000)):
            if count == 16_000:
                assert list(waveform_blocks(source))
            else:
                with pytest.raises(AudioError, match="longer than 2 s"):
                    list(waveform_blocks(source))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"no audio", "not decodable"),
        (b"", "not decodable"),
        ((np.zeros(0), 8000), "no samples"),
        ((np.zeros(800), 8000.0), "rate of type float"),
        ((np.zeros((2, 800)), 8000), "shape"),
        (Path("/nowhere/a.wav"), "not decodable"),
    ],
)
def test_what_is_no_recording_is_refused(source: Any, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        list(waveform_blocks(source))


def test_a_file_without_samples_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 8000)
    with pytest.raises(AudioError, match="no samples"):
        list(waveform_blocks(tmp_path / "a.wav"))

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st

from urgency_dagster.calls import audio
from urgency_dagster.calls.audio import BLOCK_SAMPLES, SAMPLE_RATE, cut, decode, load_waveform, opened, sample_blocks
from urgency_dagster.errors import AudioError
from urgency_dagster_tests.conftest import Builder

WriteWav = Callable[..., Path]
"""Writes a recording, or any bytes; returns its path."""


@pytest.fixture
def wav(tmp_path: Path, build: Builder) -> WriteWav:
    """Writes a recording, or any bytes, and gives its path."""

    def write(content: bytes | None = None, **shape: Any) -> Path:
        path = tmp_path / "a.wav"
        path.write_bytes(build.wav(500, **shape) if content is None else content)
        return path

    return write


@pytest.mark.filterwarnings("ignore:.*slated for removal:DeprecationWarning")  # librosa.load itself
@pytest.mark.parametrize("rate", [4000, 8000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 3, 9])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "ALAW", "ULAW", "FLOAT", "DOUBLE"])
def test_a_recording_is_to_the_last_bit_what_librosa_loads(
    wav: WriteWav, rate: int, channels: int, subtype: str
) -> None:
    path = wav(rate=rate, channels=channels, subtype=subtype)
    waveform = load_waveform(path)
    expected, _ = librosa.load(path, sr=SAMPLE_RATE)
    assert (str(waveform.dtype), waveform.shape) == ("float32", expected.shape)
    assert waveform.tobytes() == expected.tobytes()


@pytest.mark.filterwarnings("ignore:.*slated for removal:DeprecationWarning")
@given(rate=st.integers(4000, 192_000), frames=st.integers(1, 300))
@example(rate=11_025, frames=1)
@example(rate=192_000, frames=1)
@example(rate=44_101, frames=88_202 // 300)
def test_the_length_at_16_khz_is_rounded_up_as_librosas_is(
    tmp_path_factory: pytest.TempPathFactory, rate: int, frames: int
) -> None:
    path = tmp_path_factory.mktemp("wav") / "a.wav"
    soundfile.write(path, np.random.default_rng(rate + frames).normal(0, 0.1, frames), rate)
    waveform = load_waveform(path)
    assert len(waveform) == math.ceil(frames * (SAMPLE_RATE / rate))
    assert waveform.tobytes() == librosa.load(path, sr=SAMPLE_RATE)[0].tobytes()


@pytest.mark.slow
def test_a_recording_is_resampled_without_librosa(wav: WriteWav) -> None:
    """Importing it takes longer than decoding a hundred calls, in every worker."""
    code = "import sys; from pathlib import Path; from urgency_dagster.calls.audio import load_waveform"
    code += "; load_waveform(Path(sys.argv[1])); sys.exit('librosa' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, str(wav())], check=True)


def test_decoding_keeps_the_rate_and_mixes_to_mono(tmp_path: Path) -> None:
    samples = np.stack([np.full(800, 0.5), np.full(800, -0.25)], axis=1)
    soundfile.write(tmp_path / "a.wav", samples, 8000)
    waveform, rate = decode(tmp_path / "a.wav")
    assert (waveform.shape, rate) == ((800,), 8000)
    np.testing.assert_allclose(waveform, 0.125)


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
def test_a_recording_longer_than_a_block_is_whole(tmp_path: Path, subtype: str) -> None:
    samples = np.random.default_rng(0).integers(-(2**14), 2**14, BLOCK_SAMPLES + 12_345) / np.float32(2**15)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype=subtype)
    np.testing.assert_array_equal(load_waveform(tmp_path / "a.wav"), samples)


def test_a_block_holds_the_samples_of_all_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header may name a thousand channels: what is read at once must not grow with them."""
    soundfile.write(tmp_path / "a.wav", np.zeros((1000, 200)), 8000)
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 50_000)
    with opened(tmp_path / "a.wav") as file:
        assert [block.shape for block in sample_blocks(file)] == [(250, 200)] * 4
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 100)
    with opened(tmp_path / "a.wav") as file:
        assert [len(block) for block in sample_blocks(file)] == [1] * 1000


def test_any_format_of_libsndfile_may_be_called_wav(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 8000)
    soundfile.write(tmp_path / "a.flac", samples, 8000)
    (tmp_path / "a.flac").rename(tmp_path / "a.wav")
    assert len(decode(tmp_path / "a.wav")[0]) == 8000


@pytest.mark.parametrize("claimed", [0, 0xFFFFFFFF, 0x80000000, 0x7FFFFFF0, 100_000, 8001])
@pytest.mark.parametrize("subtype", ["PCM_16", "ULAW", "PCM_24", "FLOAT"])
def test_a_header_that_lies_about_the_length_is_read_as_far_as_the_samples_go(
    wav: WriteWav, build: Builder, claimed: int, subtype: str
) -> None:
    content = build.wav(500, subtype=subtype)
    honest, _ = decode(wav(content))
    start = content.index(b"data") + 4
    waveform, rate = decode(
        wav(content[:start] + claimed.to_bytes(4, "little") + content[start + 4 : start + 4 + 8001])
    )
    assert rate == 8000
    assert len(waveform) == min(4000, 8001 // {"PCM_16": 2, "ULAW": 1, "PCM_24": 3, "FLOAT": 4}[subtype])
    np.testing.assert_array_equal(waveform, honest[: len(waveform)])


@pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF])
@pytest.mark.parametrize("data", [0, 0xFFFFFFFF])
def test_a_recording_whose_writer_was_stopped_is_whole(wav: WriteWav, build: Builder, riff: int, data: int) -> None:
    """Writers leave these lengths in the header until they close the file."""
    content = build.wav(500)
    honest, _ = decode(wav(content))
    start = content.index(b"data") + 4
    content = content[:4] + riff.to_bytes(4, "little") + content[8:start] + data.to_bytes(4, "little")
    waveform, _ = decode(wav(content + build.wav(500)[start + 4 :]))
    np.testing.assert_array_equal(waveform, honest)


@pytest.mark.parametrize("name", [b"LIST", b"id3 "])
@pytest.mark.parametrize("left", [400, 100])
def test_what_follows_a_recording_without_samples_is_no_sound(
    wav: WriteWav, build: Builder, name: bytes, left: int
) -> None:
    """Also if it is cut off."""
    with pytest.raises(AudioError, match="no samples"):
        decode(wav(build.wav(0) + name + (400).to_bytes(4, "little") + bytes(left)))


@pytest.mark.parametrize("first", [b"abcd", b"AB  ", b"WAVE", b"\x30\x31\x32\x33"])
@pytest.mark.parametrize("size", [b"\x10\0\0\0", b"data"])
def test_samples_that_begin_like_letters_are_samples(wav: WriteWav, build: Builder, first: bytes, size: bytes) -> None:
    """A stopped writer leaves the length 0. The first samples can have any value, also that of letters."""
    content = build.wav(500)
    start = content.index(b"data") + 8
    content = content[: start - 4] + bytes(4) + first + size + content[start + 8 :]
    waveform, _ = decode(wav(content))
    samples = np.frombuffer(content[start:], "<i2") / 2**15
    np.testing.assert_array_equal(waveform, samples.astype(np.float32))


@pytest.mark.parametrize("chunks", [[b"abcd"], [b"AB  ", b"wxyz"], [b"odd1", b"abcd"]])
def test_a_whole_chain_of_unknown_chunks_is_no_sound(wav: WriteWav, build: Builder, chunks: list[bytes]) -> None:
    sizes = [3 if name == b"odd1" else 400 for name in chunks]
    rest = b"".join(
        name + size.to_bytes(4, "little") + bytes(size + size % 2) for name, size in zip(chunks, sizes, strict=True)
    )
    with pytest.raises(AudioError, match="no samples"):
        decode(wav(build.wav(0) + rest))


def test_less_than_one_sample_is_none(wav: WriteWav, build: Builder) -> None:
    with pytest.raises(AudioError, match="no samples"):
        decode(wav(build.wav(0) + b"\x01"))


@pytest.mark.parametrize("left", [4000, 4001])
def test_a_recording_cut_off_in_copying_is_read_as_far_as_it_goes(wav: WriteWav, build: Builder, left: int) -> None:
    content = build.wav(500)
    header = content.index(b"data") + 8
    honest, _ = decode(wav(content))
    waveform, _ = decode(wav(content[: header + left]))
    np.testing.assert_array_equal(waveform, honest[:2000])


@pytest.mark.parametrize("name", [b"DATA", b"\0\0\0\0"])
def test_a_recording_without_its_data_chunk_is_refused(wav: WriteWav, build: Builder, name: bytes) -> None:
    with pytest.raises(AudioError, match="not decodable"):
        decode(wav(build.wav(500).replace(b"data", name, 1)))


def test_a_length_beyond_all_memory_is_refused(tmp_path: Path) -> None:
    """The total of a FLAC header is not bounded by the size of its file."""
    soundfile.write(tmp_path / "a.flac", np.zeros(8000), 8000)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError):
        decode(tmp_path / "a.wav")


def test_a_recording_of_more_than_an_hour_is_refused(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 4000, 1) as file:
        for _ in range(61):
            file.write(np.zeros(4000 * 60, dtype=np.float32))
    assert (tmp_path / "a.flac").stat().st_size < 1_000_000, "it is small while it is packed"
    with pytest.raises(AudioError, match="longer than 3600 s"):
        decode(tmp_path / "a.flac")


def test_a_fast_recording_is_refused_when_it_is_shorter_than_an_hour_but_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "MAX_FRAMES", 96_000)
    soundfile.write(tmp_path / "a.wav", np.zeros(96_000), 48_000)
    assert len(decode(tmp_path / "a.wav")[0]) == 96_000
    soundfile.write(tmp_path / "a.wav", np.zeros(96_001), 48_000)
    with pytest.raises(AudioError, match="longer than 2 s"):
        decode(tmp_path / "a.wav")


@pytest.mark.parametrize("rate", [1, 3999, 192_001, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_refused(wav: WriteWav, build: Builder, rate: int) -> None:
    content = build.wav(500)
    with pytest.raises(AudioError, match="samples per second"):
        load_waveform(wav(content[:24] + rate.to_bytes(4, "little") + content[28:]))


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf, 3e38, -3e38, 2.2e9])
def test_damaged_float_samples_are_silence(tmp_path: Path, damage: float, subtype: str) -> None:
    samples = np.full((800, 2), 0.5)
    samples[100] = damage
    samples[200, 1] = damage
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype=subtype)
    waveform, _ = decode(tmp_path / "a.wav")
    assert (waveform[100], waveform[200]) == (0, 0.25)
    np.testing.assert_array_equal(np.delete(waveform, [100, 200]), np.float32(0.5))
    assert np.isfinite(load_waveform(tmp_path / "a.wav")).all()


def test_the_loudest_samples_that_are_no_damage_stay_finite(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).choice([-(2.0**31), 2.0**31], 8000)
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    np.testing.assert_array_equal(decode(tmp_path / "a.wav")[0], samples)
    assert np.isfinite(load_waveform(tmp_path / "a.wav")).all()


@pytest.mark.parametrize("content", [b"", b"not sound at all" * 99, b"RIFF\x00\x00\x00\x00WAVE"])
def test_what_is_no_sound_is_refused(wav: WriteWav, content: bytes) -> None:
    with pytest.raises(AudioError):
        decode(wav(content))


def test_a_recording_without_samples_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 8000)
    with pytest.raises(AudioError, match="no samples"):
        decode(tmp_path / "a.wav")


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError):
        decode(tmp_path / "a.wav")


@given(start_ms=st.integers(0, 2000), length_ms=st.integers(1, 3000))
@example(start_ms=1001, length_ms=500)  # 1001 / 1000 * 16000 is a little less than 16016
def test_a_cut_begins_and_ends_at_the_rounded_down_sample(start_ms: int, length_ms: int) -> None:
    waveform = np.arange(4 * SAMPLE_RATE, dtype=np.float32)
    first, last = int(start_ms / 1000 * 16_000), int((start_ms + length_ms) / 1000 * 16_000)
    np.testing.assert_array_equal(cut(waveform, start_ms, start_ms + length_ms), np.arange(first, min(last, 64_000)))


def test_a_cut_past_the_end_is_clipped() -> None:
    waveform = np.arange(1600, dtype=np.float32)
    np.testing.assert_array_equal(cut(waveform, 50, 2**62), waveform[800:])


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44_100, 2), (16_000, 1), (16_000, 9)])
@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_bytes_and_samples_give_what_their_file_gives(
    wav: WriteWav, build: Builder, rate: int, channels: int, dtype: str
) -> None:
    path = wav(rate=rate, channels=channels)
    samples, _ = soundfile.read(path, dtype=dtype)
    expected = load_waveform(path).tobytes()
    assert load_waveform(str(path)).tobytes() == expected
    assert load_waveform(path.read_bytes()).tobytes() == expected
    assert load_waveform((samples, rate)).tobytes() == expected


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF", "W64", "RF64"])
def test_bytes_may_be_of_any_format_of_libsndfile(tmp_path: Path, kind: str) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000)
    soundfile.write(tmp_path / "a", samples, 16_000, format=kind)
    waveform = load_waveform((tmp_path / "a").read_bytes())
    assert waveform.tobytes() == load_waveform(tmp_path / "a").tobytes()
    assert len(waveform) >= 16_000


def test_bytes_of_a_stopped_writer_are_whole(build: Builder) -> None:
    content = build.wav(500)
    start = content.index(b"data") + 4
    waveform, _ = decode(content[:start] + bytes(4) + build.wav(500)[start + 4 :])
    np.testing.assert_array_equal(waveform, decode(build.wav(500))[0])


@pytest.mark.parametrize("damage", [np.nan, np.inf, 3e38, 1e300])
def test_damaged_samples_in_memory_are_silence(damage: float) -> None:
    samples = np.full(800, 0.5)
    samples[100] = damage
    waveform, _ = decode((samples, 8000))
    assert (waveform[100], waveform[101]) == (0, 0.5)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros((2, 800)), 8000, "shape"),
        (np.zeros((800, 1, 1)), 8000, "shape"),
        (np.zeros(()), 8000, "shape"),
        (np.zeros(800, np.int32), 8000, "int32"),
        (np.zeros(800, np.complex64), 8000, "complex64"),
        ([0.0] * 800, 8000, "list"),
        (np.zeros(0), 8000, "no samples"),
        (np.zeros((800, 0)), 8000, "no samples"),
        (np.zeros(800), 3999, "3999 samples per second"),
        (np.zeros(800), 8000.0, "rate of type float"),
        (np.zeros(3600 * 4000 + 1, np.float32), 4000, "longer than 3600 s"),
    ],
)
def test_samples_that_are_no_recording_are_refused(samples: Any, rate: Any, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        load_waveform((samples, rate))

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from urgency_dagster.demo.speech import SAMPLE_RATE_HZ, Line, speak
from urgency_dagster.errors import AudioError

GREETING = Line("예, 일일구 상황실입니다.")
ANSWER = Line("불이 났어요, 안에 사람이 있어요.", rate_wpm=200, pitch=70, pitch_range=75)


@pytest.mark.slow
def test_the_same_lines_give_the_same_samples_whatever_was_spoken_before() -> None:
    first = speak([GREETING, ANSWER])
    speak([ANSWER, ANSWER])
    again = speak([GREETING, ANSWER])
    assert [samples.tobytes() for samples in first] == [samples.tobytes() for samples in again]


@pytest.mark.slow
def test_a_line_is_a_few_seconds_of_sound() -> None:
    (samples,) = speak([GREETING])
    assert samples.dtype == np.int16
    assert 1.0 < samples.size / SAMPLE_RATE_HZ < 4.0
    assert np.abs(samples.astype(int)).max() > 5_000


@pytest.mark.slow
def test_silence_at_the_ends_is_cut_off() -> None:
    (samples,) = speak([GREETING])
    assert abs(int(samples[0])) > 100
    assert abs(int(samples[-1])) > 100


@pytest.mark.slow
def test_a_higher_rate_is_shorter_and_a_higher_pitch_crosses_zero_more_often() -> None:
    slow, fast, high = speak([Line(GREETING.text, 120), Line(GREETING.text, 260), Line(GREETING.text, 120, pitch=99)])
    assert fast.size < 0.7 * slow.size
    low_tone, high_tone = (np.abs(np.fft.rfft(samples, 2**17)) for samples in (slow, high))
    hz = np.fft.rfftfreq(2**17, 1 / SAMPLE_RATE_HZ)
    voice = (hz > 60) & (hz < 400)
    assert hz[voice][high_tone[voice].argmax()] > hz[voice][low_tone[voice].argmax()]


@pytest.mark.slow
def test_a_short_answer_is_under_half_a_second() -> None:
    (samples,) = speak([Line("네.")])
    assert 0.1 < samples.size / SAMPLE_RATE_HZ < 0.5


@pytest.mark.slow
def test_a_line_without_letters_is_refused() -> None:
    with pytest.raises(AudioError, match="makes no sound"):
        speak([GREETING, Line("...")])


@pytest.mark.slow
def test_no_lines_give_no_waveforms() -> None:
    assert speak([]) == []


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_to_have_one(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from urgency_dagster.demo.speech import own_process\nwith own_process() as process:\n"
        "    process.submit(int).result()\n"
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert 'guard the script with `if __name__ == "__main__":`' in ended.stderr.splitlines()[-1]

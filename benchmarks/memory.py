"""The peak memory of steps of the calls pipeline, for a small and for a large archive of similar calls.

Each step runs in its own process. The memory of its worker processes counts too.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from urgency_dagster.calls.embedding.archive import embed_archive, embed_rows, utterance_rows
from urgency_dagster.calls.embedding.configuration import EmbeddingConfig
from urgency_dagster.calls.embedding.encoder import Observer, Piece, unobserved
from urgency_dagster.calls.embedding.preparation import PreparedEncoder
from urgency_dagster.calls.embedding.speech_model import SpeechModel, load_speech_model
from urgency_dagster.calls.prosody.archive import write_prosody
from urgency_dagster.calls.prosody.configuration import ProsodyConfig
from urgency_dagster.calls.segments import Recording
from urgency_dagster.calls.table.utterances import build_utterance_table
from urgency_dagster.calls.tables import MEMBERS
from urgency_dagster.demo.models import speech_model
from urgency_dagster.errors import BenchmarkError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel, find_pretrained
from urgency_dagster.writing import write_table

if TYPE_CHECKING:
    import numpy as np

ARCHIVE = "T_bench_memory"

WORKERS = os.cpu_count() or 1
"""Worker processes of every measured step. By default a small archive has none, which could not be compared."""

SAMPLING_INTERVAL_S = 0.02
"""Seconds between two measurements of the processes. Decoding one call takes longer."""

STEPS = {
    "table": "from benchmarks.memory import make_table; make_table(sys.argv[1])",
    "segments": "from benchmarks.memory import cut_segments; cut_segments(sys.argv[1])",
    "embed": "from benchmarks.memory import embed; embed(sys.argv[1])",
    "prosody": "from benchmarks.memory import analyse; analyse(sys.argv[1])",
}
"""The measured steps: the utterance table, the segments of its rows, and the complete embedding by a tiny model.

The last two need the table.
"""


def growth_of_memory(
    steps: Sequence[str], recordings: Sequence[Recording], few: int, many: int, folder: Path
) -> dict[str, float]:
    """The peak memory in MB of each step for `few` and for `many` calls, and the ratio of both.

    Args:
        steps: names of STEPS, in their order, `table` among them.
        recordings: the recordings of the calls; each is used for many calls.
        few: calls of the smaller archive.
        many: calls of the larger one.
        folder: folder for the files, on the file system of the recordings.

    Raises:
        BenchmarkError: a step fails or skips utterances.
    """
    small, large = (peaks(steps, StoragePaths(folder / f"{calls}_calls"), recordings, calls) for calls in (few, many))
    figures: dict[str, float] = {}
    for step in steps:
        figures[f"{step}_{few}_calls_mb"] = round(small[step] / 1e6, 1)
        figures[f"{step}_{many}_calls_mb"] = round(large[step] / 1e6, 1)
        figures[f"{step}_ratio"] = round(large[step] / small[step], 3)
    return figures


def peaks(steps: Sequence[str], paths: StoragePaths, recordings: Sequence[Recording], calls: int) -> dict[str, int]:
    """Writes an archive, and returns the peak memory of each step on it in bytes.

    Raises:
        BenchmarkError: a step fails or skips utterances.
    """
    utterances = write_extracted(paths, recordings, calls)
    peaks_by_step = {
        step: peak_bytes([sys.executable, "-c", f"import sys; {STEPS[step]}", paths.root]) for step in steps
    }
    check_complete(paths, utterances, embedded=len(steps) > 1)
    return peaks_by_step


def write_extracted(paths: StoragePaths, recordings: Sequence[Recording], calls: int) -> int:
    """Writes an extracted archive and a tiny speech model; returns the number of utterances.

    Recordings are hard links.
    """
    files = paths.archive(ARCHIVE)
    folder = model_folder(paths)
    folder.mkdir(parents=True)
    for name, content in speech_model(["가"], seed=0).items():
        (folder / name).write_bytes(content)
    files.audio.mkdir(parents=True)
    files.labels.mkdir()
    members, utterances = [], 0
    for call in range(calls):
        recording = recordings[call % len(recordings)]
        stem = f"{call:024x}_20230101"
        os.link(recording.path, files.audio / f"{stem}.wav")
        (files.labels / f"{stem}.json").write_text(json.dumps(label_of(call, recording), ensure_ascii=False), "utf-8")
        members += [_member("audio", f"{stem}.wav"), _member("label", f"{stem}.json")]
        utterances += len(recording.times_ms)
    write_table(files.members, pa.Table.from_pylist(members, schema=MEMBERS))
    return utterances


def label_of(call: int, recording: Recording) -> dict[str, Any]:
    """The label of a call whose utterances have the times of a recording."""
    times = enumerate(recording.times_ms)
    return {
        "_id": f"{call:024x}",
        "utterances": [
            {
                "id": f"{number:08x}",
                "startAt": start,
                "endAt": end,
                "text": "가상 문장 예시입니다. ",
                "speaker": number % 2,
            }
            for number, (start, end) in times
        ],
        "gender": "F",
        "disasterLarge": "구급",
        "disasterMedium": "질병(중증 외)",
        "urgencyLevel": "중",
        "sentiment": "불안/걱정",
    }


def _member(kind: str, name: str) -> dict[str, Any]:
    return {"archive": ARCHIVE, "kind": kind, "member": name, "path": name, "size_bytes": 0, "crc32": 0}


def make_table(root: str) -> None:
    """Builds the utterance table."""
    build_utterance_table(StoragePaths(Path(root)), ARCHIVE, workers=WORKERS)


def model_folder(paths: StoragePaths) -> Path:
    """The folder of the tiny speech model."""
    return paths.root / "model"


def _model(paths: StoragePaths) -> PretrainedModel:
    return find_pretrained(str(model_folder(paths)), "URGENCY_SPEECH_MODEL")


def embed(root: str) -> None:
    """Runs the complete embedding step."""
    paths = StoragePaths(Path(root))
    embed_archive(paths, ARCHIVE, _model(paths), EmbeddingConfig(workers=WORKERS))


def analyse(root: str) -> None:
    """The prosodic features, in as many processes as a run uses."""
    write_prosody(StoragePaths(Path(root)), ARCHIVE, ProsodyConfig())


def cut_segments(root: str) -> None:
    """Decodes every segment of the table as the embedding step does, with an encoder that computes nothing."""
    import numpy as np

    paths = StoragePaths(Path(root))
    speech = load_speech_model(_model(paths))
    prepared = PreparedEncoder(NoEncoder(speech), [], np.empty((0, speech.width), dtype=np.float32))
    embed_rows(paths, ARCHIVE, utterance_rows(paths, ARCHIVE), prepared, EmbeddingConfig(workers=WORKERS))


class NoEncoder:
    """An encoder that returns zeros, to measure only the decoding."""

    engine, precision, device, batch_audio_s = "none", "float32", "cpu", 8.0

    def __init__(self, speech: SpeechModel) -> None:
        self.speech = speech

    def vectors(
        self,
        batches: Iterable[Sequence[Piece]],
        observe: Observer = unobserved,  # noqa: ARG002 - there are no frames
    ) -> "Iterator[np.ndarray]":
        """Zeros of shape (B, T, D)."""
        import numpy as np

        for batch in batches:
            yield np.zeros((len(batch), len(batch[0].weights), self.speech.width), dtype=np.float32)


def peak_bytes(command: Sequence[str | Path], *, with_files: bool = True) -> int:
    """The peak of the summed resident memory of a process and all its descendants.

    Shared pages count once for each process.

    Args:
        command: the command of the process.
        with_files: whether pages of mapped files count, which the operating system can reclaim at any time.

    Raises:
        BenchmarkError: the process fails.
    """
    with tempfile.TemporaryFile() as errors:
        process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        peak = max(_measurements(process, with_files), default=0)
        if process.returncode:
            errors.seek(0)
            last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
            raise BenchmarkError(f"a process ended with {process.returncode} ({' '.join(last)})", "0", "run it by hand")
    return peak


def _measurements(process: psutil.Popen, with_files: bool) -> Iterator[int]:
    """Yields the memory in bytes at each measurement, until the process ends."""
    while process.poll() is None:
        yield _resident(process, with_files)
        try:
            process.wait(SAMPLING_INTERVAL_S)
        except psutil.TimeoutExpired:
            continue


def _resident(process: psutil.Process, with_files: bool) -> int:
    total = 0
    with suppress(psutil.NoSuchProcess):
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # the process just ended
                memory = one.memory_info()
                total += memory.rss - (0 if with_files else getattr(memory, "shared", 0))  # Linux only
    return total


def check_complete(paths: StoragePaths, utterances: int, *, embedded: bool = True) -> None:
    """Checks the number of rows that the steps wrote.

    Raises:
        BenchmarkError: an utterance is missing.
    """
    files = paths.archive(ARCHIVE)
    for path in (files.utterances, files.embeddings) if embedded else (files.utterances,):
        rows = pq.read_metadata(path).num_rows
        if rows != utterances:
            raise BenchmarkError(f"{rows} utterances in {path.name}", f"all {utterances}", "correct `calls`")

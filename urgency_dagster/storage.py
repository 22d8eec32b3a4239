"""Every path below the storage root, and writing that is complete or absent.

No table is transformed here. A file is written under a temporary name beside its target and renamed over it.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


@dataclass(frozen=True)
class ArchivePaths:
    """The files of one archive pair, below `calls/<archive>/`."""

    folder: Path

    @property
    def audio(self) -> Path:
        """The extracted WAV files."""
        return self.folder / "Wave"

    @property
    def labels(self) -> Path:
        """The extracted label JSON files."""
        return self.folder / "Label"

    @property
    def members(self) -> Path:
        """The account of every ZIP member, written last by the extraction."""
        return self.folder / "members.parquet"

    @property
    def unpacking(self) -> Path:
        """Where members are unpacked before they take their place; gone when an extraction has ended well."""
        return self.folder / ".unpacking"

    @property
    def lock(self) -> Path:
        """What an extraction holds while it is at work: an empty file that stays, away from the artefacts."""
        return self.folder.parent.parent / "manifests" / "locks" / self.folder.name

    @property
    def utterances(self) -> Path:
        """The kept utterances."""
        return self.folder / "utterances.parquet"

    @property
    def rejects(self) -> Path:
        """Everything that is not in the utterance table, with its reason."""
        return self.folder / "rejects.parquet"

    @property
    def shards(self) -> Path:
        """Where finished vectors wait for the others; gone when all are in `embeddings`."""
        return self.folder / ".embedding"

    @property
    def embeddings(self) -> Path:
        """One vector per kept utterance, by key."""
        return self.folder / "embeddings.parquet"

    @property
    def processed_csv(self) -> Path:
        """The utterance table as the original's CSV."""
        return self.folder / "processed_data.csv"

    @property
    def vectors(self) -> Path:
        """The vectors as one float32 matrix; row i belongs to row i of the CSV."""
        return self.folder / "wav2vec2_embeddings.npy"


@dataclass(frozen=True)
class UrgencyPaths:
    """The files of the urgency model, below `urgency/`."""

    folder: Path

    @property
    def training_set(self) -> Path:
        """The folder of the training set."""
        return self.folder / "training_set"

    @property
    def rows(self) -> Path:
        """Every row of the training set with its side of the split."""
        return self.training_set / "rows.parquet"

    @property
    def split(self) -> Path:
        """The call ids of each side, the mode and the hash of the split, and both label orders."""
        return self.training_set / "split.json"

    @property
    def checkpoint(self) -> Path:
        """The best epoch, in the original's format."""
        return self.folder / "best_model.pt"

    @property
    def interrupted(self) -> Path:
        """Where a training stands between two epochs; gone when it has ended well."""
        return self.folder / ".training"

    @property
    def model(self) -> Path:
        """The self-contained folder for inference."""
        return self.folder / "model"

    @property
    def leak_gap(self) -> Path:
        """How much a split by utterance inflates the scores, when it was asked for."""
        return self.folder / "leak_gap.json"

    @property
    def evaluation(self) -> Path:
        """Metrics, predictions, report and pictures."""
        return self.folder / "evaluation"


@dataclass(frozen=True)
class AttentionPaths:
    """The files of the attention pipeline, below `attention/`, `eval/attention/` and `models/attention/`."""

    features_folder: Path
    results_folder: Path
    models_folder: Path

    @property
    def features(self) -> Path:
        """X as Parquet: bool and float32 columns."""
        return self.features_folder / "features.parquet"

    @property
    def samples(self) -> Path:
        """Label, participant and time of each row of X."""
        return self.features_folder / "samples.parquet"

    @property
    def summary(self) -> Path:
        """What was loaded: counts, hash of the pickle, features by stream, statistic and window."""
        return self.features_folder / "features.json"

    def results(self, model: str) -> Path:
        """The cross-validation folder of one model."""
        return self.results_folder / model

    @property
    def finished_fits(self) -> Path:
        """The fits of a cross-validation that has not ended well; without them when it has."""
        return self.results_folder / ".folds"

    @property
    def leaderboard(self) -> Path:
        """All models in one table, best first."""
        return self.results_folder / "leaderboard.csv"

    @property
    def differences(self) -> Path:
        """How far apart any two models are."""
        return self.results_folder / "differences.csv"

    @property
    def report(self) -> Path:
        """The cross-validation report."""
        return self.results_folder / "report.md"

    @property
    def audit(self) -> Path:
        """What speaks against the scores, and what does not."""
        return self.results_folder / "audit.json"

    @property
    def audit_report(self) -> Path:
        """The same for people."""
        return self.results_folder / "audit.md"

    def model(self, model: str, suffix: str = ".pkl") -> Path:
        """The exported pipeline of one model, as `.pkl` or `.skops`."""
        return self.models_folder / f"{model}{suffix}"

    def card(self, model: str) -> Path:
        """The card that says what the exported pipeline is and vouches for both its files."""
        return self.models_folder / f"{model}.json"


@dataclass(frozen=True)
class StoragePaths:
    """Every path below one storage root."""

    root: Path

    @property
    def landing_calls(self) -> Path:
        """Where AI Hub's tree is dropped. Never written to."""
        return self.root / "landing" / "calls"

    @property
    def attention_pickle(self) -> Path:
        """Where the K-EmoPhone pickle is dropped. Never written to."""
        return self.root / "landing" / "attention" / "attention.pkl"

    def archive(self, archive: str) -> ArchivePaths:
        """The files of one archive pair, e.g. `T_광주_구급`."""
        return ArchivePaths(self.root / "calls" / archive)

    @property
    def urgency(self) -> UrgencyPaths:
        """The files of the urgency model."""
        return UrgencyPaths(self.root / "urgency")

    @property
    def attention(self) -> AttentionPaths:
        """The files of the attention pipeline."""
        return AttentionPaths(
            features_folder=self.root / "attention",
            results_folder=self.root / "eval" / "attention",
            models_folder=self.root / "models" / "attention",
        )

    def manifest(self, asset: str, partition: str | None = None) -> Path:
        """The record of what an artefact was made from; `asset` is the key joined by slashes."""
        name = f"{asset}/{partition}" if partition else asset
        return self.root / "manifests" / f"{name}.json"

    @property
    def landing_hashes(self) -> Path:
        """Content hashes of landed files, by path, size, mtime and inode."""
        return self.root / "manifests" / "landing.json"

    def benchmark(self, name: str) -> Path:
        """What a benchmark found when it was last run here."""
        return self.root / "bench" / f"{name}.json"

    @property
    def dagster_home(self) -> Path:
        """Dagster's run history, unless DAGSTER_HOME says otherwise."""
        return self.root / "dagster_home"

    @property
    def settings_env(self) -> Path:
        """Settings that belong to this storage root."""
        return self.root / "settings.env"

    @property
    def run_config(self) -> Path:
        """Run configuration that unattended runs on this storage root use."""
        return self.root / "run_config.yaml"

    def relative(self, path: Path) -> str:
        """`path` as POSIX text relative to the root."""
        return path.relative_to(self.root).as_posix()


NAME_SHOWN = 40
"""Letters of the target's name in a temporary name: of 4 bytes each, they still fit a file name of 255 bytes."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a temporary path beside `target`; renames it over `target` when the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    handle, name = tempfile.mkstemp(prefix=_temporary_prefix(target, os.getpid()), suffix=".tmp", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `target`; puts it in the place of `target` when the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    prefix = _temporary_prefix(target, os.getpid())
    with tempfile.TemporaryDirectory(
        prefix=prefix, suffix=".tmp", dir=target.parent, ignore_cleanup_errors=True
    ) as scratch:
        temporary = Path(scratch, "new")
        temporary.mkdir()
        yield temporary
        if target.exists():
            # Moved aside whole: deleting it in place could leave half of it there.
            os.replace(target, Path(scratch, "old"))
        os.replace(temporary, target)


def _temporary_prefix(target: Path, process: int | str) -> str:
    """How the temporary names of a target begin that a process of this machine makes."""
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    return f".{target.name[:NAME_SHOWN]}.{host}-{process}-"


def _remove_abandoned(target: Path) -> None:
    """Removes what processes of this machine that were killed left behind while they replaced `target`."""
    pattern = re.compile(re.escape(_temporary_prefix(target, "")[:-1]) + r"(\d+)-.*\.tmp")
    for path in target.parent.iterdir():
        found = pattern.fullmatch(path.name)
        if found and not psutil.pid_exists(int(found[1])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Writes `text` as UTF-8."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Writes `value` as readable JSON with sorted keys; NaN is refused, because JSON has none."""
    write_text(target, json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(source: Path) -> Any:
    """The value stored by `write_json`."""
    return json.loads(source.read_text(encoding="utf-8"))


def write_table(target: Path, table: "pa.Table") -> None:
    """Writes `table` as Parquet; the same table gives the same bytes."""
    import pyarrow.parquet as pq

    with replacing(target) as temporary:
        pq.write_table(table, temporary, compression="zstd")


class TableSink:
    """Collects rows and writes them as row groups of fixed length, so that memory stays flat."""

    ROWS_PER_BATCH = 1_024
    ROWS_PER_GROUP = 8 * ROWS_PER_BATCH

    def __init__(self, writer: "pq.ParquetWriter") -> None:
        self._writer = writer
        self._rows: list[dict[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Appends rows; missing keys are nulls."""
        self._rows += rows
        while len(self._rows) >= self.ROWS_PER_BATCH:
            self._pack(self.ROWS_PER_BATCH)
            if len(self._batches) * self.ROWS_PER_BATCH == self.ROWS_PER_GROUP:
                self._flush()

    def _pack(self, count: int) -> None:
        """Turns rows into columns, which take a tenth of the memory."""
        import pyarrow as pa

        self._batches.append(pa.RecordBatch.from_pylist(self._rows[:count], schema=self._writer.schema))
        del self._rows[:count]

    def _flush(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_batches(self._batches))
        self._batches.clear()

    def close(self) -> None:
        """Writes what is left."""
        if self._rows:
            self._pack(len(self._rows))
        if self._batches:
            self._flush()


@contextmanager
def table_sink(target: Path, schema: "pa.Schema") -> Iterator[TableSink]:
    """Yields a sink for the rows of a Parquet file, which is there when the block succeeds."""
    import pyarrow.parquet as pq

    with replacing(target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        sink = TableSink(writer)
        yield sink
        sink.close()


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_hash(*parts: str) -> str:
    """The SHA-256 of some texts, in hex; ("ab", "c") and ("a", "bc") differ."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

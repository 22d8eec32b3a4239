"""The paths of every file below the storage root."""

from dataclasses import dataclass
from pathlib import Path


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
    def unpacked(self) -> tuple[Path, ...]:
        """The folders that may be deleted after use. They are unpacked again when a step needs them."""
        return self.audio, self.labels

    @property
    def members(self) -> Path:
        """One row per ZIP member. The extraction writes it last."""
        return self.folder / "members.parquet"

    @property
    def unpacking(self) -> Path:
        """Members that are unpacked and not yet in their final folder. Removed after a successful extraction."""
        return self.folder / ".unpacking"

    @property
    def lock(self) -> Path:
        """The lock file of the extraction. It is empty, it stays, and it lies outside the artefacts."""
        return self.folder.parent.parent / "manifests" / "locks" / self.folder.name

    @property
    def utterances(self) -> Path:
        """The kept utterances."""
        return self.folder / "utterances.parquet"

    @property
    def rejects(self) -> Path:
        """Every member, call and utterance that is not in the utterance table, with a reason."""
        return self.folder / "rejects.parquet"

    @property
    def shards(self) -> Path:
        """Vectors of an unfinished embedding. Removed when all are in `embeddings`."""
        return self.folder / ".embedding"

    @property
    def embeddings(self) -> Path:
        """One vector per kept utterance, by key."""
        return self.folder / "embeddings.parquet"

    @property
    def encoder(self) -> Path:
        """The library and precision of the vectors, which a later embedding keeps."""
        return self.folder / "encoder.json"

    @property
    def prosody(self) -> Path:
        """The prosodic features of each kept utterance, by key."""
        return self.folder / "prosody.parquet"

    @property
    def processed_csv(self) -> Path:
        """The utterance table as a CSV in the format of the original pipeline."""
        return self.folder / "processed_data.csv"

    @property
    def processed_parquet(self) -> Path:
        """The table of the original pipeline with the vectors as a column. It is optional."""
        return self.folder / "processed_data.parquet"

    @property
    def vectors(self) -> Path:
        """The vectors as a float32 matrix. Row i belongs to row i of the CSV."""
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
        """Every row of the training set, with its side of the split."""
        return self.training_set / "rows.parquet"

    @property
    def split(self) -> Path:
        """The call ids of each side, the mode, the hash of the split, and the order of both label sets."""
        return self.training_set / "split.json"

    @property
    def checkpoint(self) -> Path:
        """The best epoch, in the format of the original pipeline."""
        return self.folder / "best_model.pt"

    @property
    def unfinished_training(self) -> Path:
        """The state of an unfinished training after its last epoch. Removed after a successful training."""
        return self.folder / ".training"

    @property
    def model(self) -> Path:
        """The self-contained folder for inference."""
        return self.folder / "model"

    @property
    def export(self) -> Path:
        """The model folder with its network in OpenVINO. Made on demand."""
        return self.folder / "export"

    @property
    def full_table(self) -> Path:
        """The folder of the table of all archives, made on demand: CSV, Parquet and NPY."""
        return self.folder / "full_table"

    @property
    def leak_gap(self) -> Path:
        """How much a split by utterance inflates the scores. Made on demand."""
        return self.folder / "leak_gap.json"

    @property
    def label_free_gap(self) -> Path:
        """What missing labels cost, and the thresholds for that way of listening. Made on demand."""
        return self.folder / "label_free_gap"

    @property
    def evaluation(self) -> Path:
        """Metrics, predictions, report and pictures."""
        return self.folder / "evaluation"


@dataclass(frozen=True)
class ScoringPaths:
    """The files of one archive of recordings, below `scoring/<archive>/`."""

    folder: Path

    @property
    def recordings(self) -> Path:
        """One row per recording, and one per rejected file, label or turn of a label."""
        return self.folder / "recordings.parquet"

    @property
    def utterances(self) -> Path:
        """The scored utterances, with their text."""
        return self.folder / "scored_utterances.parquet"

    @property
    def calls(self) -> Path:
        """The scored calls."""
        return self.folder / "scored_calls.parquet"

    @property
    def monitored(self) -> Path:
        """What monitoring compares of each scored call."""
        return self.folder / "monitored_calls.parquet"

    @property
    def rejects(self) -> Path:
        """Every file, label, recording and turn that is not scored, with a reason."""
        return self.folder / "rejects.parquet"

    def csv(self, table: Path) -> Path:
        """The CSV with the rows of a table."""
        return table.with_suffix(".csv")


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
        """Summary of the pickle: counts, hash, features by stream, statistic and window."""
        return self.features_folder / "features.json"

    def results(self, model: str) -> Path:
        """The cross-validation folder of one model."""
        return self.results_folder / model

    @property
    def fit_cache(self) -> Path:
        """Fits of an unfinished cross-validation; empty after success."""
        return self.results_folder / ".folds"

    @property
    def leaderboard(self) -> Path:
        """All models in one table, best first."""
        return self.results_folder / "leaderboard.csv"

    @property
    def differences(self) -> Path:
        """The score difference of each pair of models."""
        return self.results_folder / "differences.csv"

    @property
    def report(self) -> Path:
        """The cross-validation report."""
        return self.results_folder / "report.md"

    @property
    def audit(self) -> Path:
        """The findings of the audit."""
        return self.results_folder / "audit.json"

    @property
    def audit_report(self) -> Path:
        """The findings of the audit as a report."""
        return self.results_folder / "audit.md"

    def model(self, model: str, suffix: str = ".pkl") -> Path:
        """The exported pipeline of one model, as `.pkl` or `.skops`."""
        return self.models_folder / f"{model}{suffix}"

    def card(self, model: str) -> Path:
        """The model card of an exported pipeline, with the SHA-256 of both its files."""
        return self.models_folder / f"{model}.json"


def labels_beside(pickle: Path) -> Path:
    """The place of the labels of a landed file with X alone."""
    return pickle.with_name("attention_labels.parquet")


@dataclass(frozen=True)
class StoragePaths:
    """Every path below one storage root."""

    root: Path

    @property
    def landing_calls(self) -> Path:
        """The landing folder of AI Hub's ZIPs. The project never writes to it."""
        return self.root / "landing" / "calls"

    @property
    def landing_scoring(self) -> Path:
        """The landing folder of recordings that are scored. The project never writes to it."""
        return self.root / "landing" / "scoring"

    @property
    def attention_pickle(self) -> Path:
        """The landing place of the K-EmoPhone pickle. The project never writes to it."""
        return self.root / "landing" / "attention" / "attention.pkl"

    @property
    def attention_labels(self) -> Path:
        """The landing place of y, group and t, if the other file holds X alone."""
        return labels_beside(self.attention_pickle)

    def archive(self, archive: str) -> ArchivePaths:
        """The files of one archive pair, e.g. `T_광주_구급`."""
        return ArchivePaths(self.root / "calls" / archive)

    def scoring(self, archive: str) -> ScoringPaths:
        """The files of one archive of recordings that are scored."""
        return ScoringPaths(self.root / "scoring" / archive)

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
        """The manifest of an artefact. `asset` is the asset key joined by slashes."""
        name = f"{asset}/{partition}" if partition else asset
        return self.root / "manifests" / f"{name}.json"

    def events(self, asset: str, partition: str | None = None) -> Path:
        """What Dagster shows of an artefact, for a new run history."""
        name = f"{asset}/{partition}" if partition else asset
        return self.root / "events" / f"{name}.json"

    @property
    def landing_hashes(self) -> Path:
        """The cache of content hashes of landed files, by path, size, modification time and inode."""
        return self.root / "manifests" / "landing.json"

    def gpu_lock(self, host: str, gpu: str) -> Path:
        """The lock file of a GPU of a machine. It is empty, and it stays."""
        return self.root / "manifests" / "locks" / f"gpu {host} {gpu.replace('/', ' ')}"

    @property
    def converted_models(self) -> Path:
        """Pretrained models in the format of an inference library. Each can be deleted and is converted again."""
        return self.root / "converted_models"

    def checked_model(self, identity: str) -> Path:
        """An empty file: a pretrained model of this identity was loaded and is fit for its task."""
        return self.root / "manifests" / "checked_models" / identity

    def benchmark(self, name: str) -> Path:
        """The last result of a benchmark."""
        return self.root / "bench" / f"{name}.json"

    @property
    def dagster_home(self) -> Path:
        """Dagster's run history, unless DAGSTER_HOME names another folder."""
        return self.root / "dagster_home"

    @property
    def settings_env(self) -> Path:
        """The settings of this storage root."""
        return self.root / "settings.env"

    @property
    def run_config(self) -> Path:
        """The options of the `run` command and of the runs that the sensor requests."""
        return self.root / "run_config.yaml"

    @property
    def made_folders(self) -> list[Path]:
        """The folders with everything that the project makes. `landing/` and the files of the user are not in them."""
        names = (
            "calls",
            "urgency",
            "scoring",
            "attention",
            "eval",
            "models/attention",
            "manifests",
            "bench",
            "dagster_home",
        )
        return [self.root / name for name in names]

    def relative(self, path: Path) -> str:
        """A path relative to the root, as POSIX text."""
        return path.relative_to(self.root).as_posix()


def shown(path: Path) -> Path:
    """The path as it is printed: relative to the working folder if it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

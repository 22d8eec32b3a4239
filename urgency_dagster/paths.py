"""Every path below the storage root. Nothing is read or written here."""

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
    def prosody(self) -> Path:
        """The prosodic features of each kept utterance, by key."""
        return self.folder / "prosody.parquet"

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

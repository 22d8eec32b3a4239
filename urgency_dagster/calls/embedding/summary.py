"""What one run of the embedding step did."""

from collections.abc import Mapping
from dataclasses import dataclass

from urgency_dagster.calls.embedding.shards import AUDIO_TOKENS
from urgency_dagster.calls.embedding.verification import Verification

PADDING = "padding"
"""In the identity of vectors: `never` if only segments of equal length shared a batch."""

UNPADDED = (
    "Padding changes the vectors of this speech model, or was switched off. Only segments of equal length shared a "
    "batch, which takes longer."
)


@dataclass(frozen=True)
class EmbeddingCounts:
    """The number of utterances by the origin of their vectors.

    Attributes:
        utterances: rows of the utterance table.
        calls: calls of the utterance table.
        computed: utterances embedded in this run.
        reused: utterances whose vectors were copied from the former `embeddings.parquet`.
        resumed: utterances in shards that an interrupted run had finished.
        shards: shards of the archive.
        resumed_shards: shards that an interrupted run had finished.
    """

    utterances: int
    calls: int
    computed: int
    reused: int
    resumed: int
    shards: int
    resumed_shards: int


@dataclass(frozen=True)
class EmbeddingSummary:
    """Counts, speed and verification of one run.

    Attributes:
        counts: utterances and shards.
        audio_s: seconds of audio of all utterances.
        width: dimension D of a vector.
        made_with: the identity of the vectors: model, revision, hash of the weights, precision and options.
        engine: the inference library.
        device: the device of the model.
        seconds: duration of decoding, embedding and writing, without loading the model and the verification.
        figures: see `Throughput.figures`; only utterances embedded in this run count.
        points: see `Throughput.points`.
        verification: of a sample of the vectors.
    """

    counts: EmbeddingCounts
    audio_s: float
    width: int
    made_with: Mapping[str, str]
    engine: str
    device: str
    seconds: float
    figures: Mapping[str, float]
    points: list[tuple[float, float]]
    verification: Verification

    @property
    def warning(self) -> str:
        """What the asset's page should warn of; empty for nothing."""
        return UNPADDED if PADDING in self.made_with else ""

    @property
    def row_width(self) -> int:
        """The number of values in a row of the file, T * D: the T vectors of an utterance, one after another."""
        return self.width * int(self.made_with[AUDIO_TOKENS])

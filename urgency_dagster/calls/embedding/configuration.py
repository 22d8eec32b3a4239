"""The options of `utterance_embeddings`."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from urgency_dagster.configuration import Configuration
from urgency_dagster.errors import SettingsError

Engine = Literal["auto", "torch", "openvino"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
NEVER = "never"
Padding = Literal["auto", "never"]


class EncoderConfig(Configuration):
    """The device, library and precision that the speech model runs with."""

    device: str = "auto"
    """`auto` (CUDA if present, else MPS, else CPU) or the name of a torch device, such as `cuda:1`."""

    engine: Engine = "auto"
    """The inference library. `auto` is OpenVINO on a CPU where it is installed, otherwise torch."""

    precision: Precision = "auto"
    """`auto` is the fastest precision that passes the verification on this archive. An archive of fewer than 8
    utterances is always embedded in `float32`: a reduced precision cannot be verified on it."""

    compile: bool = False
    """Compile the model with torch. The first batches then take a minute; `engine: auto` is torch."""

    @model_validator(mode="after")
    def _check_compile(self) -> Self:
        if self.compile and self.engine == "openvino":
            raise SettingsError("compile with the engine 'openvino'", "engine torch", "correct `engine` or `compile`")
        return self


class EmbeddingConfig(EncoderConfig):
    """The encoder, and how segments are batched, pooled and verified."""

    machine: ClassVar[frozenset[str]] = frozenset({"batch_audio_s", "device", "shard_utterances", "workers"})

    audio_tokens: int = Field(1, ge=1)
    """Vectors per utterance: the means over this many equal spans of its frames. At most the number of frames that the
    speech model makes of 500 ms of audio; the step refuses more. The original pipeline has 1; with 1, cross-modal
    attention over the audio has only one token to attend to."""

    padding: Padding = "auto"
    """`auto` pads segments to the length of their batch, unless that changes the vectors of this model: then, and with
    `never`, only segments of equal length share a batch, which takes longer."""

    batch_audio_s: float | None = Field(None, gt=0)
    """Seconds of audio in one batch, padding included. Empty chooses a value for the device."""

    segment_max_s: float = Field(30.0, ge=1)
    """Maximum seconds of a segment in one forward pass. A longer segment is split into equal parts."""

    shard_utterances: int = Field(1024, ge=1)
    """Utterances per shard. A shard is sorted by length, and a finished shard survives a killed run."""

    proof_utterances: int = Field(32, ge=8)
    """Utterances that are embedded again, one at a time, to verify the vectors."""

    workers: int = Field(-1, ge=-1)
    """Worker processes that decode and resample recordings. -1 is one per core; few calls need none."""

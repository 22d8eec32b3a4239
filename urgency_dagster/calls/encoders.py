"""What a speech model runs on: the device, the library and the precision, and which of them is the fastest here.

Torch in float32 is the reference that every other way is compared with.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from urgency_dagster.calls.batching import Piece, padded_weights
from urgency_dagster.calls.speech_model import SpeechModel, pooled
from urgency_dagster.devices import AUTO, full_float32, product_gflops, resolve_device
from urgency_dagster.errors import ModelError, SettingsError

if TYPE_CHECKING:
    import numpy as np
    import torch

TORCH, OPENVINO = "torch", "openvino"
FLOAT32, BFLOAT16, FLOAT16 = "float32", "bfloat16", "float16"

ENGINES = (AUTO, TORCH, OPENVINO)
PRECISIONS = (AUTO, FLOAT32, BFLOAT16, FLOAT16)

CPU_BATCH_S = 8.0
"""Seconds of audio in one batch on a CPU. Measured: less leaves the matrix products small, more leaves the caches."""

GPU_BATCH_S = 320.0
"""Seconds of audio in one batch elsewhere. Measured on an H200: up to 320 s more is faster, 640 s gains nothing."""

LEAST_GAIN = 1.25
"""Times as fast as in float32 that products must be in bfloat16 on a CPU for it to be taken.

Far from both of what was measured, 0.4 to 0.6 on one processor and 4 on another, so that a busy machine does not make a
run choose otherwise than the one before.
"""

AUTO_OR_REDUCED = (AUTO, BFLOAT16, FLOAT16)
"""Precisions that are not float32 for sure."""


class Encoder(Protocol):
    """A speech model ready to embed batches.

    Attributes:
        speech: the model.
        engine: the library, one of ENGINES.
        precision: of the arithmetic, one of PRECISIONS.
        device: where it runs.
        batch_audio_s: seconds of audio in one batch that suit the device.
    """

    speech: SpeechModel
    engine: str
    precision: str
    device: str
    batch_audio_s: float

    def vectors(self, batches: Iterable[Sequence[Piece]]) -> "Iterator[np.ndarray]":
        """The weighted sums of the frames of each batch in order, while later batches are at work.

        Args:
            batches: pieces of what `SpeechModel.normalised` gives; of one length if the model cannot be padded.

        Returns:
            What each piece adds to the vectors of its segment, float32 of shape (B, T, D).
        """


@dataclass(frozen=True)
class EncoderConfig:
    """What a speech model is to run on.

    Attributes:
        device: `auto` (cuda, else mps, else cpu) or a torch device.
        engine: `auto` (OpenVINO on a CPU if it is installed, else torch), `torch` or `openvino`.
        precision: `auto` (the fastest that passes the proof), `float32`, `bfloat16` or `float16`.
        compile: whether torch compiles the model; the first batches then take a minute. `auto` then means torch.
    """

    device: str = AUTO
    engine: str = AUTO
    precision: str = AUTO
    compile: bool = False


class TorchEncoder:
    """The model in torch; on CUDA, one batch is copied while the one before is computed.

    Args:
        speech: the model. In float32 its own network moves to the device.
        device: a torch device.
        precision: of weights and arithmetic.
        compiled: whether torch compiles the network.
    """

    engine = TORCH

    def __init__(
        self, speech: SpeechModel, device: str = "cpu", precision: str = FLOAT32, *, compiled: bool = False
    ) -> None:
        import torch

        self.speech, self.device, self.precision = speech, device, precision
        self.batch_audio_s = CPU_BATCH_S if device == "cpu" else GPU_BATCH_S
        self._dtype: torch.dtype = getattr(torch, precision)
        network = speech.network if precision == FLOAT32 else deepcopy(speech.network)
        network.to(device, self._dtype)
        self._network = torch.compile(network, dynamic=True) if compiled else network
        self._asynchronous = device.startswith("cuda")

    def vectors(self, batches: Iterable[Sequence[Piece]]) -> "Iterator[np.ndarray]":
        """See `Encoder.vectors`."""
        under_way: deque[tuple[torch.Tensor, torch.cuda.Event | None]] = deque()
        for batch in batches:
            under_way.append(self._started(batch))
            if len(under_way) > self._asynchronous:
                yield _finished(*under_way.popleft())
        while under_way:
            yield _finished(*under_way.popleft())

    def _started(self, batch: Sequence[Piece]) -> "tuple[torch.Tensor, torch.cuda.Event | None]":
        """The vectors on the host, which are there when the event has happened."""
        import torch

        inputs = {name: self._in_precision(self._sent(tensor)) for name, tensor in self._inputs(batch).items()}
        weights = self._sent(torch.from_numpy(padded_weights(batch)))
        with torch.inference_mode(), full_float32():
            found = pooled(self._network(**inputs).last_hidden_state, weights)
        if not self._asynchronous:
            return found.cpu(), None
        vectors = torch.empty(found.shape, dtype=found.dtype, pin_memory=True).copy_(found, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        return vectors, event

    def _inputs(self, batch: Sequence[Piece]) -> "dict[str, torch.Tensor]":
        return self.speech.padded([piece.waveform for piece in batch])

    def _sent(self, tensor: "torch.Tensor") -> "torch.Tensor":
        """A tensor on the device."""
        host = tensor.pin_memory() if self._asynchronous else tensor
        return host.to(self.device, non_blocking=True)

    def _in_precision(self, tensor: "torch.Tensor") -> "torch.Tensor":
        """A waveform in the model's precision, a mask as it is."""
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor


class ReferenceEncoder(TorchEncoder):
    """The model in torch and float32, for batches of one piece, to which nothing is added and nothing masked."""

    def _inputs(self, batch: Sequence[Piece]) -> "dict[str, torch.Tensor]":
        import torch

        (piece,) = batch
        return {"input_values": torch.from_numpy(piece.waveform)[None]}


def _finished(vectors: "torch.Tensor", event: "torch.cuda.Event | None") -> "np.ndarray":
    if event is not None:
        event.synchronize()
    found: np.ndarray = vectors.numpy()
    return found


def encoders(speech: SpeechModel, config: EncoderConfig) -> "Iterator[Encoder]":
    """The ways to run a model that a configuration allows, each made when it is asked for, fastest first.

    The last is always torch in float32 when the precision is free.

    Raises:
        SettingsError: the configuration names what does not exist, or not here.
    """
    device = resolve_device(config.device)
    _check(config, device)
    for engine in _engines(config, device):
        for precision in _precisions(config, device):
            made = _made(speech, config, device, engine, precision)
            if made:
                yield made


def _made(speech: SpeechModel, config: EncoderConfig, device: str, engine: str, precision: str) -> Encoder | None:
    """The encoder, or None when the model cannot be converted and torch may take its place."""
    if engine == TORCH:
        return TorchEncoder(speech, device, precision, compiled=config.compile)
    from urgency_dagster.calls.openvino_encoder import OpenVinoEncoder

    try:
        return OpenVinoEncoder(speech, precision)
    except ModelError:
        if config.engine == OPENVINO:
            raise
        return None


def _engines(config: EncoderConfig, device: str) -> tuple[str, ...]:
    if config.engine != AUTO:
        return (config.engine,)
    openvino = device == "cpu" and openvino_is_installed() and not config.compile
    return (OPENVINO, TORCH) if openvino else (TORCH,)


def _precisions(config: EncoderConfig, device: str) -> tuple[str, ...]:
    if config.precision != AUTO:
        return (config.precision,)
    fast = native_reduced_precision(device)
    return (fast, FLOAT32) if fast else (FLOAT32,)


def native_reduced_precision(device: str) -> str | None:
    """The precision that a device computes faster than float32 in hardware, or None.

    That a processor has bfloat16 does not make it fast: without AMX an Intel Xeon multiplies in it at half the speed
    of float32, an AMD EPYC at four times. So products are timed, with LEAST_GAIN between yes and no.
    """
    import torch

    if device.startswith("cuda"):
        return BFLOAT16 if torch.cuda.is_bf16_supported(including_emulation=False) else FLOAT16
    capabilities: Any = torch.cpu.get_capabilities()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return BFLOAT16 if device == "cpu" and native and _bfloat16_gains() else None


def _bfloat16_gains() -> bool:
    return product_gflops("cpu", BFLOAT16) > LEAST_GAIN * product_gflops("cpu", FLOAT32)


def openvino_is_installed() -> bool:
    """Whether the extra `openvino` is there."""
    from importlib.util import find_spec

    return find_spec("openvino") is not None


def _check(config: EncoderConfig, device: str) -> None:
    for name, value, known in (
        ("engine", config.engine, ENGINES),
        ("precision", config.precision, PRECISIONS),
    ):
        if value not in known:
            raise SettingsError(f"{name} is {value!r}", f"one of {', '.join(known)}", f"correct `{name}`")
    if config.engine == OPENVINO and not openvino_is_installed():
        raise SettingsError(
            "engine is 'openvino', which is not installed", "the extra `openvino`", "pip install '.[openvino]'"
        )
    if config.engine == OPENVINO and config.compile:
        raise SettingsError("compile with the engine 'openvino'", "the engine torch", "correct `engine` or `compile`")
    if config.engine == OPENVINO and device != "cpu":
        raise SettingsError(f"engine is 'openvino' on the device {device}", "the device cpu", "correct `device`")
    if config.precision == FLOAT16 and device == "cpu":
        raise SettingsError("precision is 'float16' on a CPU", "bfloat16 or float32", "correct `precision`")

"""The candidate encoders of a configuration on this machine: device, library and precision, the fastest first.

Torch in float32 is the reference that every other encoder is compared with.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from urgency_dagster.calls.embedding.configuration import EncoderConfig
from urgency_dagster.calls.embedding.encoder import BFLOAT16, FLOAT16, FLOAT32, OPENVINO, TORCH, Encoder
from urgency_dagster.calls.embedding.speech_model import SpeechModel
from urgency_dagster.calls.embedding.torch_encoder import TorchEncoder
from urgency_dagster.devices import AUTO, core_gflops, resolve_device
from urgency_dagster.errors import ModelError, SettingsError
from urgency_dagster.writing import read_json, write_json

MIN_BFLOAT16_SPEEDUP = 1.25
"""Minimum speed-up of a bfloat16 matmul over float32 at which bfloat16 is chosen on a CPU.

Measured speed-ups are 0.4 to 0.6 on one processor and 2.3 to 4 on others. The threshold is far from both. The processor
time of one core is compared, so that the choice is the same on a busy machine.
"""


@dataclass(frozen=True)
class EncoderChoice:
    """The library and precision of an archive's vectors, and the model that they were measured with.

    Attributes:
        engine: `torch` or `openvino`.
        precision: `float32`, `bfloat16` or `float16`.
        weights_sha256: the hash of the speech model's weights.
        padded: whether segments of different lengths shared a batch.
    """

    engine: str
    precision: str
    weights_sha256: str
    padded: bool = True


def read_choice(file: Path, speech: SpeechModel) -> EncoderChoice | None:
    """The choice of a former embedding with this speech model, or None."""
    try:
        choice = EncoderChoice(**read_json(file))
    except (FileNotFoundError, ValueError, TypeError):  # absent, no JSON, or of another version
        return None
    return choice if choice.weights_sha256 == speech.weights_sha256 else None


def write_choice(file: Path, encoder: Encoder) -> None:
    """Stores the choice for later embeddings of the archive."""
    speech = encoder.speech
    write_json(file, asdict(EncoderChoice(encoder.engine, encoder.precision, speech.weights_sha256, speech.may_pad)))


def encoders(
    speech: SpeechModel, config: EncoderConfig, former: EncoderChoice | None = None, converted: Path | None = None
) -> "Iterator[Encoder]":
    """Yields the candidate encoders from the fastest to the slowest; each is created when it is requested.

    The choice of a former embedding comes first, so that a busy or another machine does not change vectors. With
    `precision: auto` torch in float32 is among them, which always passes.

    Args:
        speech: the speech model.
        config: the options. One that is not `auto` counts more than the former choice.
        former: the choice of the former embedding.
        converted: the folder in which the model converted by OpenVINO is kept.

    Raises:
        SettingsError: the device, engine or precision is not available on this machine.
        ModelError: `engine: openvino`, and OpenVINO cannot convert the model.
    """
    device = resolve_device(config.device)
    _check_available(config, device)
    seen = set()
    for engine, precision in _candidates(config, device, former):
        is_new = (engine, precision) not in seen
        seen.add((engine, precision))
        if is_new and (encoder := _encoder(speech, config, device, engine, precision, converted)):
            yield encoder


def _candidates(config: EncoderConfig, device: str, former: EncoderChoice | None) -> Iterator[tuple[str, str]]:
    """Libraries and precisions in the order in which they are tried. The hardware is measured only if needed."""
    if former and config.precision in (AUTO, former.precision) and (former.precision, device) != (FLOAT16, "cpu"):
        for engine in (former.engine, TORCH):  # its library may not be installed here
            if engine in _engines(config, device):
                yield engine, former.precision
    for engine in _engines(config, device):
        for precision in _precisions(config, device):
            yield engine, precision


def _encoder(
    speech: SpeechModel, config: EncoderConfig, device: str, engine: str, precision: str, converted: Path | None
) -> Encoder | None:
    """The encoder, or None with `engine: auto` when OpenVINO cannot convert the model."""
    if engine == TORCH:
        return TorchEncoder(speech, device, precision, compiled=config.compile)
    from urgency_dagster.calls.embedding.openvino_encoder import OpenVinoEncoder

    try:
        return OpenVinoEncoder(speech, precision, converted)
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
    reduced = native_reduced_precision(device)
    return (reduced, FLOAT32) if reduced else (FLOAT32,)


def native_reduced_precision(device: str) -> str | None:
    """The reduced precision that the hardware of a device computes faster than float32, or None.

    A CPU with bfloat16 instructions can still be slower in bfloat16: an Intel Xeon without AMX reaches half the speed
    of float32, an AMD EPYC four times. For that reason a matrix product is timed in both.
    """
    import torch

    if device.startswith("cuda"):
        return BFLOAT16 if torch.cuda.is_bf16_supported(including_emulation=False) else FLOAT16
    capabilities: Any = torch.cpu.get_capabilities()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return BFLOAT16 if device == "cpu" and native and _bfloat16_is_faster() else None


def _bfloat16_is_faster() -> bool:
    return core_gflops(BFLOAT16) > MIN_BFLOAT16_SPEEDUP * core_gflops(FLOAT32)


def openvino_is_installed() -> bool:
    """Whether the extra `openvino` is installed."""
    from importlib.util import find_spec

    return find_spec("openvino") is not None


def _check_available(config: EncoderConfig, device: str) -> None:
    if config.engine == OPENVINO and not openvino_is_installed():
        raise SettingsError(
            "engine is 'openvino', which is not installed", "the extra `openvino`", "pip install '.[openvino]'"
        )
    if config.engine == OPENVINO and device != "cpu":
        raise SettingsError(f"engine is 'openvino' on the device {device}", "the device cpu", "correct `device`")
    if config.precision == FLOAT16 and device == "cpu":
        raise SettingsError("precision is 'float16' on a CPU", "bfloat16 or float32", "correct `precision`")

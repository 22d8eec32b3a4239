"""What a speech model runs on: the device, the library and the precision, and which of them is the fastest here.

Torch in float32 is the reference that every other way is compared with.
"""

from collections.abc import Iterator
from typing import Any

from urgency_dagster.calls.embedding.configuration import EncoderConfig
from urgency_dagster.calls.embedding.encoder import BFLOAT16, FLOAT16, FLOAT32, OPENVINO, TORCH, Encoder
from urgency_dagster.calls.embedding.speech_model import SpeechModel
from urgency_dagster.calls.embedding.torch_encoder import TorchEncoder
from urgency_dagster.devices import AUTO, matmul_gflops, resolve_device
from urgency_dagster.errors import ModelError, SettingsError

MIN_BFLOAT16_SPEEDUP = 1.25
"""Times as fast as in float32 that products must be in bfloat16 on a CPU for it to be taken.

Far from both of what was measured, 0.4 to 0.6 on one processor and 4 on another, so that a busy machine does not make a
run choose otherwise than the one before.
"""


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
    from urgency_dagster.calls.embedding.openvino_encoder import OpenVinoEncoder

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
    of float32, an AMD EPYC at four times. So products are timed, with MIN_BFLOAT16_SPEEDUP between yes and no.
    """
    import torch

    if device.startswith("cuda"):
        return BFLOAT16 if torch.cuda.is_bf16_supported(including_emulation=False) else FLOAT16
    capabilities: Any = torch.cpu.get_capabilities()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return BFLOAT16 if device == "cpu" and native and _bfloat16_gains() else None


def _bfloat16_gains() -> bool:
    return matmul_gflops("cpu", BFLOAT16) > MIN_BFLOAT16_SPEEDUP * matmul_gflops("cpu", FLOAT32)


def openvino_is_installed() -> bool:
    """Whether the extra `openvino` is there."""
    from importlib.util import find_spec

    return find_spec("openvino") is not None


def _check(config: EncoderConfig, device: str) -> None:
    if config.engine == OPENVINO and not openvino_is_installed():
        raise SettingsError(
            "engine is 'openvino', which is not installed", "the extra `openvino`", "pip install '.[openvino]'"
        )
    if config.engine == OPENVINO and device != "cpu":
        raise SettingsError(f"engine is 'openvino' on the device {device}", "the device cpu", "correct `device`")
    if config.precision == FLOAT16 and device == "cpu":
        raise SettingsError("precision is 'float16' on a CPU", "bfloat16 or float32", "correct `precision`")

"""The libraries that compute the network of a trained model."""

from typing import Literal, get_args

from urgency_dagster.devices import AUTO, resolve_device
from urgency_dagster.errors import SettingsError

Engine = Literal["torch", "openvino"]
"""The library that computes the network."""

TORCH: Engine = "torch"
OPENVINO: Engine = "openvino"

ENGINES: tuple[Engine, ...] = get_args(Engine)

CPU = "cpu"


def engine_device(engine: Engine, device: str) -> str:
    """The torch device of an engine; OpenVINO computes on the CPU only.

    Raises:
        SettingsError: there is no such engine, or this machine or the engine has no such device.
    """
    if engine not in ENGINES:
        raise SettingsError(f"the engine {engine!r}", " or ".join(ENGINES), "correct `engine`")
    if engine == TORCH:
        return resolve_device(device)
    if device not in (AUTO, CPU):
        raise SettingsError(f"the engine {engine!r} on the device {device!r}", f"the device {CPU}", "correct `device`")
    return CPU

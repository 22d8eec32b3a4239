"""OpenVINO, imported without its telemetry, and the conversion of torch networks."""

import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from urgency_dagster.pretrained import without_notices

if TYPE_CHECKING:
    from torch import Tensor, nn


def import_openvino() -> Any:
    """Imports OpenVINO without its telemetry, which would report usage over the network."""
    # OpenVINO works without its telemetry package; None makes the import of that package fail.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def convert_network(network: "nn.Module", example: "Sequence[Tensor]") -> Any:
    """The network as a model of OpenVINO, traced with example arguments; every dimension stays free.

    Raises:
        RuntimeError: OpenVINO cannot convert the network.
    """
    openvino = import_openvino()
    # A traced network may fail for other input shapes: what it computes is verified.
    with without_notices(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return openvino.convert_model(network, example_input=tuple(example))

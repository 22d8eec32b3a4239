"""The network as a model of OpenVINO: written once, read without torch's weights, called as the network of torch is.

Importing this module imports torch, so it is imported when a network is exported or loaded.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from urgency_dagster.errors import ArtefactError
from urgency_dagster.openvino_runtime import convert_network, import_openvino
from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal, Logits

if TYPE_CHECKING:
    from urgency_dagster.urgency.network.cross_modal import ModelConfig

FILE = Path("openvino", "openvino_model.xml")
"""The description of the model in its folder; the weights are `openvino_model.bin` beside it.

Source: the file names of Hugging Face's `optimum-intel`.
"""

EXAMPLE_TOKENS = 8

PROPERTIES = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
"""All cores work on one batch. Some processors would compute in bfloat16 otherwise."""


class OpenVinoNetwork(nn.Module):
    """The network compiled for this CPU. It can only be called: it has no parameters and cannot be trained.

    Args:
        folder: a model folder with an exported network.

    Raises:
        ArtefactError: the folder has no such network, or it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        try:
            self._compiled = import_openvino().Core().compile_model(folder / FILE, "CPU", PROPERTIES)
        except RuntimeError as error:
            raise ArtefactError(
                f"{folder.name}/{FILE} cannot be read",
                "a network that was exported to OpenVINO",
                "materialize urgency_export, and load the folder urgency/export",
            ) from error

    def forward(self, input_ids: Tensor, attention_mask: Tensor, audio: Tensor) -> Logits:
        """The logits of both tasks, see `KoElectraCrossModal.forward`."""
        request = self._compiled.create_infer_request()  # one for each call, so that threads can share the network
        outputs = request.infer([tensor.numpy() for tensor in (input_ids, attention_mask, audio)])
        return Logits(*(torch.from_numpy(outputs[task]) for task in Logits._fields))


def write_openvino(folder: Path, network: KoElectraCrossModal, config: "ModelConfig") -> None:
    """Writes a network into a model folder; the same network gives the same bytes.

    The numbers of utterances and tokens are free. Inputs are `input_ids`, `attention_mask` and `audio`; outputs are
    `urgency` and `sentiment`.

    Raises:
        ArtefactError: OpenVINO cannot convert the network.
    """
    ids = torch.ones(2, EXAMPLE_TOKENS, dtype=torch.int64)
    example = ids, torch.ones_like(ids), torch.zeros(2, config.audio_tokens, config.audio_width)
    try:
        model = convert_network(_PlainOutputs(network.eval()), example)
        model.reshape({"audio": [-1, config.audio_tokens, config.audio_width]})
    except RuntimeError as error:
        raise ArtefactError(
            "OpenVINO cannot convert the network", "a text encoder that it knows", "train on another text model"
        ) from error
    _set_names(model)
    target = folder / FILE
    target.parent.mkdir()
    import_openvino().save_model(model, target, compress_to_fp16=False)


def _set_names(model: Any) -> None:
    """Names outputs by their task, and operations by their place: the converter numbers them anew in each process."""
    for output, task in zip(model.outputs, Logits._fields, strict=True):
        output.get_tensor().set_names({task})
    model.set_friendly_name(KoElectraCrossModal.__name__)
    for place, operation in enumerate(model.get_ordered_ops()):
        if operation.get_type_name() != "Parameter":
            operation.set_friendly_name(f"{operation.get_type_name()}_{place}")


class _PlainOutputs(nn.Module):
    """The network with a plain tuple as result, as tracing requires."""

    def __init__(self, network: KoElectraCrossModal) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of both tasks."""
        logits = self.network(input_ids, attention_mask, audio)
        return logits.urgency, logits.sentiment

"""An encoder for CPUs in OpenVINO: converted from torch in memory, with several batches in parallel.

Importing this module imports torch, so it is imported when an encoder is created.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from importlib.metadata import version
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from urgency_dagster.calls.audio import SAMPLE_RATE
from urgency_dagster.calls.embedding.encoder import (
    BFLOAT16,
    CPU_BATCH_S,
    FLOAT32,
    OPENVINO,
    Observer,
    Piece,
    unobserved,
)
from urgency_dagster.calls.embedding.speech_model import SpeechModel
from urgency_dagster.errors import ModelError
from urgency_dagster.openvino_runtime import convert_network, import_openvino
from urgency_dagster.writing import replacing_folder, text_hash

if TYPE_CHECKING:
    import numpy as np

HINTS = {FLOAT32: "f32", BFLOAT16: "bf16"}
"""OpenVINO's names of precisions."""

LAYER_NORM = "layer"
"""`feat_extract_norm` of models that normalise each frame over its channels (layer norm)."""


class OpenVinoEncoder:
    """The model compiled for this CPU.

    Args:
        speech: the model.
        precision: `float32` or `bfloat16`, of the arithmetic.
        converted: the folder in which the converted model is kept, or None.

    Raises:
        ModelError: OpenVINO cannot convert the model.
    """

    engine = OPENVINO
    device = "cpu"
    batch_audio_s = CPU_BATCH_S

    def __init__(self, speech: SpeechModel, precision: str, converted: Path | None = None) -> None:
        openvino = import_openvino()
        self.speech, self.precision = speech, precision
        # THROUGHPUT: OpenVINO chooses the number of parallel batches, each of which uses few cores.
        properties = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": HINTS[precision]}
        try:
            model = _kept(openvino, speech, converted) if converted else _converted(speech)
            compiled = openvino.Core().compile_model(model, "CPU", properties)
        except RuntimeError as error:
            raise ModelError(
                f"{speech.source.name} cannot be converted by OpenVINO",
                "a wav2vec2-family model",
                "use `engine: torch`",
            ) from error
        self._requests, self._lock = openvino.AsyncInferQueue(compiled), RLock()

    def vectors(self, batches: Iterable[Sequence[Piece]], observe: Observer = unobserved) -> "Iterator[np.ndarray]":
        """See `Encoder.vectors`. Threads take turns: they share the requests and their callback."""
        with self._lock:
            yield from self._vectors(batches, observe)

    def _vectors(self, batches: Iterable[Sequence[Piece]], observe: Observer) -> "Iterator[np.ndarray]":
        finished: dict[int, np.ndarray] = {}

        def store(request: Any, job: tuple[int, Sequence[Piece]]) -> None:
            number, pieces = job
            hidden = request.get_output_tensor(0).data
            observe(pieces, hidden)
            finished[number] = _pooled(hidden, pieces)

        self._requests.set_callback(store)
        number = next_number = 0
        try:
            for batch in batches:
                inputs = [tensor.numpy() for tensor in self.speech.padded([p.waveform for p in batch]).values()]
                self._requests.start_async(inputs, (number, batch))
                number += 1
                while next_number in finished:
                    yield finished.pop(next_number)
                    next_number += 1
        finally:
            self._requests.wait_all()
        yield from (finished[done] for done in range(next_number, number))


def _pooled(hidden: "np.ndarray", pieces: Sequence[Piece]) -> "np.ndarray":
    """`speech_model.pooled` in NumPy. einsum and not matmul, because BLAS threads would compete with OpenVINO's."""
    import numpy as np

    return np.stack(
        [
            np.einsum("tf,fd->td", piece.weights, states[: piece.weights.shape[1]])
            for states, piece in zip(hidden, pieces, strict=True)
        ]
    )


class _HiddenStates(nn.Module):
    """The network with tensors as arguments and one tensor as result, as tracing requires."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """The last hidden state, (B, T, D)."""
        hidden: torch.Tensor = self.network(input_values, attention_mask=attention_mask, return_dict=False)[0]
        return hidden


def _kept(openvino: Any, speech: SpeechModel, folder: Path) -> Any:
    """The converted model from a folder. It is converted and stored there once for these weights and libraries."""
    libraries = (openvino.__version__, torch.__version__, version("transformers"))
    padding = () if speech.may_pad else ("unpadded",)  # without an attention mask
    config = speech.network.config.to_json_string(use_diff=False)
    name = text_hash(speech.weights_sha256, config, *libraries, *padding)[:32]
    file = folder / name / "model.xml"
    try:
        return openvino.Core().read_model(file)
    except RuntimeError:  # absent, or damaged
        with replacing_folder(file.parent) as temporary:
            openvino.save_model(_converted(speech), temporary / file.name, compress_to_fp16=False)
    return openvino.Core().read_model(file)


def _converted(speech: SpeechModel) -> Any:
    example = [torch.zeros(2, SAMPLE_RATE)]
    if speech.can_pad:
        mask = torch.ones(2, SAMPLE_RATE, dtype=torch.int64)
        mask[1, SAMPLE_RATE // 2 :] = 0
        example.append(mask)
    return convert_network(_HiddenStates(_channels_last(speech.network)), example)


def _channels_last(network: nn.Module) -> nn.Module:
    """A layer-norm model with its feature extractor as matrix products; other models as they are.

    Layer norm needs channels last, convolutions need channels first: OpenVINO would transpose the largest tensors of
    the model twice per layer. Matrix products over frames compute the same sums without the copies. Measured at full
    size on two cores: 11 % faster in bfloat16, 7 % in float32.
    """
    layers = getattr(network.feature_extractor, "conv_layers", None)
    if getattr(network.config, "feat_extract_norm", None) != LAYER_NORM or layers is None:
        return network
    changed = copy(network)
    changed._modules = {**network._modules, "feature_extractor": _FrameConvolutions(layers)}
    return changed


class _FrameConvolutions(nn.Module):
    """The feature extractor of a layer-norm model: (B, samples) becomes (B, channels, T)."""

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(_FrameConvolution(layer) for layer in layers))

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        """See the class."""
        hidden: torch.Tensor = self.layers(input_values[:, :, None])
        return hidden.transpose(1, 2)


class _FrameConvolution(nn.Module):
    """A convolution, its layer norm and its activation on (B, T, channels)."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        convolution = layer.conv
        self.kernel, self.stride = convolution.kernel_size[0], convolution.stride[0]
        channels = convolution.out_channels
        self.product = nn.Linear(convolution.in_channels * self.kernel, channels, bias=convolution.bias is not None)
        self.product.weight = nn.Parameter(convolution.weight.detach().permute(0, 2, 1).reshape(channels, -1))
        self.product.bias = convolution.bias
        self.layer_norm, self.activation = layer.layer_norm, layer.activation

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """The next layer's input, (B, (T - kernel) // stride + 1, channels)."""
        frames = (hidden.shape[1] - self.kernel) // self.stride + 1
        # The first `stride` inputs of each frame are a view; only the overlap of kernels is copied.
        head = hidden[:, : frames * self.stride].reshape(hidden.shape[0], frames, -1)
        reach = (frames - 1) * self.stride + 1
        tail = [hidden[:, offset : offset + reach : self.stride] for offset in range(self.stride, self.kernel)]
        activated: torch.Tensor = self.activation(self.layer_norm(self.product(torch.cat([head, *tail], dim=-1))))
        return activated

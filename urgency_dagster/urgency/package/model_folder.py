"""The model folder: weights, configuration, tokenizer and card of a trained model, without pickles.

model.safetensors  config.json  card.json  README.md  speaker.json  text_encoder/{config.json, tokenizer files}
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urgency_dagster.errors import ArtefactError
from urgency_dagster.extras import require_extra
from urgency_dagster.listening import SpeakerModel, load_speaker_model
from urgency_dagster.urgency.data.labels import Labels
from urgency_dagster.urgency.package.cards import card_text
from urgency_dagster.urgency.package.engines import OPENVINO, TORCH, Engine
from urgency_dagster.urgency.package.stored_config import CONFIG, LEVELS, read_config
from urgency_dagster.writing import read_json, replacing_folder, write_json, write_text

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal, ModelConfig

WEIGHTS, CARD, README, SPEAKER, TEXT_ENCODER = (
    "model.safetensors",
    "card.json",
    "README.md",
    "speaker.json",
    "text_encoder",
)

NO_TEMPERATURES = {"urgency": 1.0, "sentiment": 1.0}

Temperatures = Mapping[str, Mapping[str, float]]
"""The temperature by level and task."""


@dataclass(frozen=True)
class UrgencyModel:
    """A trained network with everything that inference needs.

    Attributes:
        network: the network, in evaluation mode; in OpenVINO if it was loaded so.
        tokenizer: the tokenizer of its text encoder.
        labels: class names in the order of the logits.
        config: the shape of the network.
        max_length: maximum number of tokens of a text.
        temperatures: by level (`utterance` or `call`) and task, what divides its logits before the softmax.
        thresholds: thresholds for the urgency of a call whose text is that of labels, see `thresholds.fit_thresholds`;
            empty without a development side.
        speaker: tells who speaks; None if the training calls did not name two speakers.
    """

    network: "KoElectraCrossModal"
    tokenizer: "PreTrainedTokenizerBase"
    labels: Labels
    config: "ModelConfig"
    max_length: int
    temperatures: Temperatures = field(default_factory=lambda: _same_for_all_levels(NO_TEMPERATURES))
    thresholds: dict[str, float] = field(default_factory=dict)
    speaker: SpeakerModel | None = None


@dataclass(frozen=True)
class AnswerRules:
    """What turns logits into answers: a model without its network. The attributes are those of `UrgencyModel`."""

    tokenizer: "PreTrainedTokenizerBase"
    labels: Labels
    max_length: int
    temperatures: Temperatures
    thresholds: Mapping[str, float]


def save_urgency_model(folder: Path, model: UrgencyModel, card: dict[str, Any]) -> None:
    """Writes the folder; the same model and card give the same bytes.

    Args:
        folder: the model folder; an existing one is replaced.
        model: the trained model.
        card: the model card, see `cards.model_card`.
    """
    with replacing_folder(folder) as temporary:
        write_model_files(temporary, model)
        write_card(temporary, card)


def write_model_files(folder: Path, model: UrgencyModel) -> None:
    """Writes the files of a model folder except its card."""
    from safetensors.torch import save_file

    weights = {name: tensor.cpu().contiguous() for name, tensor in model.network.state_dict().items()}
    config = {
        "architecture": type(model.network).__name__,
        "network": asdict(model.config),
        "labels": asdict(model.labels),
        "max_length": model.max_length,
        "temperatures": model.temperatures,
        "thresholds": model.thresholds,
    }
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    model.network.text_encoder.config.save_pretrained(folder / TEXT_ENCODER)
    model.tokenizer.save_pretrained(folder / TEXT_ENCODER)
    write_json(folder / CONFIG, config)
    shutil.copymode(folder / CONFIG, folder / WEIGHTS)  # safetensors does not follow the umask
    if model.speaker:
        write_json(folder / SPEAKER, model.speaker.to_json())


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Writes the card of a model folder as JSON and as README."""
    write_json(folder / CARD, card)
    write_text(folder / README, card_text(card))


def load_urgency_model(folder: Path, engine: Engine = TORCH) -> UrgencyModel:
    """The model of a folder written by `save_urgency_model`, on the CPU. No other file is read.

    Args:
        folder: the model folder.
        engine: `torch`, or `openvino` for a folder with an exported network, which can only be called.

    Raises:
        ArtefactError: a file is missing or damaged, or the weights do not fit the configuration.
        MissingExtraError: `openvino` is not installed.
    """
    from safetensors import SafetensorError
    from transformers import AutoTokenizer

    from urgency_dagster.urgency.network.cross_modal import ModelConfig

    try:
        stored = read_config(folder)
        config = ModelConfig.from_stored(stored.network)
        tokenizer = AutoTokenizer.from_pretrained(folder / TEXT_ENCODER, local_files_only=True)
        network = _openvino_network(folder) if engine == OPENVINO else _torch_network(folder, config)
        model = UrgencyModel(
            network=network.eval(),
            tokenizer=tokenizer,
            labels=stored.class_names,
            config=config,
            max_length=stored.max_length,
            temperatures=stored.by_level,
            thresholds=stored.thresholds,
            speaker=_speaker_model(folder, config.audio_width),
        )
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ArtefactError(
            f"the model folder {folder} cannot be loaded ({type(error).__name__})",
            f"{WEIGHTS}, {CONFIG} and {TEXT_ENCODER}/ as training wrote them",
            "train the model again",
        ) from error
    return model


def load_answer_rules(folder: Path) -> AnswerRules:
    """The rules of a model folder, without loading its network.

    Raises:
        ArtefactError: a file is missing or damaged.
    """
    from transformers import AutoTokenizer

    try:
        stored = read_config(folder)
        return AnswerRules(
            tokenizer=AutoTokenizer.from_pretrained(folder / TEXT_ENCODER, local_files_only=True),
            labels=stored.class_names,
            max_length=stored.max_length,
            temperatures=stored.by_level,
            thresholds=stored.thresholds,
        )
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ArtefactError(
            f"the model folder {folder} cannot be loaded ({type(error).__name__})",
            f"{CONFIG} and {TEXT_ENCODER}/ as training wrote them",
            "train the model again",
        ) from error


def _torch_network(folder: Path, config: "ModelConfig") -> "KoElectraCrossModal":
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    from urgency_dagster.urgency.network.cross_modal import KoElectraCrossModal

    weights = load_file(folder / WEIGHTS)
    _check_shape(weights, config)
    encoder_config = AutoConfig.from_pretrained(folder / TEXT_ENCODER, local_files_only=True)
    with torch.random.fork_rng(devices=[]):  # random initial weights are replaced by the stored ones
        network = KoElectraCrossModal(AutoModel.from_config(encoder_config), config)
    network.load_state_dict(weights)
    return network


def _check_shape(weights: "Mapping[str, Tensor]", config: "ModelConfig") -> None:
    """Compares the weights with the configuration, before memory is taken for what a damaged one asks for.

    Raises:
        ValueError: they have other widths or numbers of classes.
    """
    stored = [tuple(weights[f"{layer}.weight"].shape) for layer in ("wav_fc", "urg_head", "sent_head")]
    width, classes = config.text_width, (config.urgency_classes, config.sentiment_classes)
    if stored != [(width, config.audio_width), *((count, width) for count in classes)]:
        raise ValueError(f"the weights have the shapes {stored}")


def _speaker_model(folder: Path, audio_width: int) -> SpeakerModel | None:
    """The speaker model of the folder.

    Raises:
        ArtefactError: the file is damaged.
        ValueError: it is of vectors of another width.
    """
    speaker = load_speaker_model(folder / SPEAKER)
    if speaker and len(speaker.weights) != audio_width:
        raise ValueError(f"the speaker model reads {len(speaker.weights)} values")
    return speaker


def _openvino_network(folder: Path) -> Any:
    require_extra("openvino")
    from urgency_dagster.urgency.package.openvino_network import OpenVinoNetwork

    return OpenVinoNetwork(folder)


def _same_for_all_levels(temperatures: Mapping[str, float]) -> dict[str, dict[str, float]]:
    return {level: dict(temperatures) for level in LEVELS}


def read_card(folder: Path) -> dict[str, Any]:
    """The model card of a model folder.

    Raises:
        ArtefactError: there is no card, or it is no JSON object.
    """
    try:
        card = read_json(folder / CARD)
    except (OSError, ValueError, RecursionError) as error:
        raise ArtefactError(f"no card in {folder}", CARD, "train the model again") from error
    if not isinstance(card, dict):
        raise ArtefactError(f"the card in {folder} is no JSON object", CARD, "train the model again")
    return card

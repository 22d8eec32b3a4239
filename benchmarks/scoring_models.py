"""The models of the scoring benchmarks: speech model, text encoder and checkpoint, with random weights."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.embed import SpeechShape, write_speech_model
from benchmarks.train import TextShape, TrainSize, draw_utterances, untrained_model
from urgency_dagster.demo.models import speech_model
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.urgency import Predictor, load_original_checkpoint
from urgency_dagster.urgency.configuration import TrainingConfig
from urgency_dagster.urgency.package.checkpoints import write_checkpoint

MODEL_UTTERANCES = 200
"""Utterances whose words are the vocabulary of the models."""

SEED = 7

TINY_TEXT = TextShape(vocab_size=800, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128)
"""The shape of the demo's text model."""


@dataclass(frozen=True)
class ModelFiles:
    """The models in a folder: both pretrained ones, and a checkpoint as the original's training writes it."""

    folder: Path

    @property
    def speech(self) -> Path:
        """The folder of the speech model."""
        return self.folder / "speech"

    @property
    def text(self) -> Path:
        """The folder of the text encoder that the checkpoint was trained from."""
        return self.folder / "text"

    @property
    def checkpoint(self) -> Path:
        """The file of the weights, alone in its folder."""
        return self.folder / "urgency" / "best_model.pt"

    def predictor(self, device: str) -> Predictor:
        """The predictor of the checkpoint, with its speech model loaded."""
        text = PretrainedModel(self.text.name, self.text, "local")
        predictor = load_original_checkpoint(self.checkpoint, text, device, speech_model=self.speech, recogniser="none")
        predictor.listener  # noqa: B018 - loads the speech model
        return predictor


def write_models(folder: Path, speech: SpeechShape | None = None, text: TextShape = TINY_TEXT) -> ModelFiles:
    """Writes models with random weights.

    Args:
        folder: their folder.
        speech: shape of the speech model; None for the tiny one of the demo.
        text: shape of the text encoder.
    """
    from transformers import AutoConfig

    files = ModelFiles(folder)
    for each in (files.speech, files.text, files.checkpoint.parent):
        each.mkdir(parents=True)
    utterances = draw_utterances(MODEL_UTTERANCES, audio_width=1)
    if speech:
        write_speech_model(files.speech, speech)
    else:
        for name, content in speech_model(utterances.texts, SEED).items():
            (files.speech / name).write_bytes(content)
    width = AutoConfig.from_pretrained(files.speech, local_files_only=True).hidden_size
    model = untrained_model(utterances, TrainSize(shape=text, audio_width=width), files.text, TrainingConfig())
    model.network.text_encoder.save_pretrained(files.text)
    write_checkpoint(files.checkpoint, {"model_state_dict": model.network.state_dict()})
    return files

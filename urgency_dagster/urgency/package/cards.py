"""The model card: classes, data, configuration, scores, intended use, limits.

A card holds counts, hashes and class names. It never holds a text, id, address or audio of a call.
"""

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from urgency_dagster.errors import ArtefactError
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.tables import ENGLISH
from urgency_dagster.urgency.data.dataset import TrainingSetSummary
from urgency_dagster.urgency.data.labels import Labels
from urgency_dagster.urgency.data.tables import DEVELOPMENT, TRAIN, VALIDATION
from urgency_dagster.urgency.package.thresholds import ALARM_THRESHOLD, CONFIDENCE_THRESHOLD, threshold_text
from urgency_dagster.urgency.prediction import PREDICTED_IN

ARCHITECTURE = "KoElectraCrossModal"
"""The name of the network's class, stored with a model."""

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "safetensors")
"""The libraries whose versions are stored with a model, because they interpret its files."""

LIBRARY = "urgency-dagster"
"""The library that loads a model folder, as the Hub names it."""

TAGS = ("emergency-calls", "urgency", "sentiment")

HUB_SEPARATOR = "/"
"""What the id of a model on the Hub has, and the name of a local folder has not."""

INTENDED_USE = """\
Research on the triage of Korean emergency calls: a second opinion on the urgency (low, mid, high) and the caller's
sentiment of one utterance, or of a call as the mean of its utterances' logits."""

LIMITS = """\
- It is no medical device and was not tested in operation. It must not decide alone whether or when help is sent.
- Trained only on Korean calls in telephone quality, and on the regions and categories of its archives.
- The labels follow a call-taking protocol. The words of a call do not determine them completely.
- The two sides of a call differ by their line. What tells who speaks can be the line instead of the voice.
- The data hold no id of a person or an incident. The same caller may be on both sides of the split."""


def training_facts(
    summary: TrainingSetSummary, text_model: PretrainedModel, max_length: int, config: dict[str, Any]
) -> dict[str, Any]:
    """The facts of a training known before its first step, as plain JSON values.

    The checkpoint and the card hold them.

    Args:
        summary: the training set.
        text_model: the pretrained text encoder.
        max_length: maximum number of tokens of a text.
        config: the hyper-parameters, as plain values.
    """
    return {
        "architecture": ARCHITECTURE,
        "labels": {name: list(values) for name, values in asdict(summary.labels).items() if values},
        "left_out": summary.left_out,
        "text_model": {"name": text_model.name, "revision": text_model.revision},
        "speech_model": summary.speech_model,
        "arithmetic": list(summary.arithmetic),
        "audio_width": summary.audio_width,
        "audio_tokens": summary.audio_tokens,
        "max_length": max_length,
        "config": config,
        "split": {
            "mode_asked": summary.mode_asked,
            "mode_used": summary.mode_used,
            "selection": summary.selection,
            "sha256": summary.sha256,
        },
        "protocol": summary.protocol,
        "data_sha256": summary.data_sha256,
        "versions": {library: version(library) for library in LIBRARIES},
    }


def model_card(
    facts: dict[str, Any], summary: TrainingSetSummary, best: dict[str, Any], history: list[dict[str, Any]]
) -> dict[str, Any]:
    """The card: the facts, the training set, and the scores of the best epoch and of every epoch."""
    return facts | {
        "archives": list(summary.archives),
        "calls": summary.calls,
        "utterances": summary.utterances,
        "class_counts": summary.class_counts,
        "epoch": best["epoch"],
        "metrics": best,
        "history": history,
    }


def check_same_data(card: Mapping[str, Any], summary: TrainingSetSummary) -> None:
    """Checks that a model was trained on a training set.

    Raises:
        ArtefactError: it was trained on another one.
    """
    if card["data_sha256"] != summary.data_sha256:
        raise ArtefactError(
            "the model was trained on another training set than the stored one",
            "one training set for both",
            "train the model again",
        )


def selection_of(card: Mapping[str, Any]) -> str:
    """The side on which the best epoch was chosen. A card of a version without a development side does not say it."""
    side: str = card["split"].get("selection", VALIDATION)
    return side


def card_text(card: dict[str, Any]) -> str:
    """The card as Markdown, with the metadata of a model card of the Hugging Face Hub in front."""
    labels = Labels.from_json(card["labels"])
    metrics, selection = card["metrics"], selection_of(card)
    return f"""\
---
{_hub_metadata(card)}
---

# {card["architecture"]}

Urgency and sentiment of a Korean emergency-call utterance from its transcript and its audio.

| | |
| --- | --- |
| urgency ids | {_ids(labels.urgency)} |
| sentiment ids | {_ids(labels.sentiment)} |
| text model | {card["text_model"]["name"]} ({card["text_model"]["revision"]}) |
| speech model | {card["speech_model"]["name"]} ({card["speech_model"]["revision"]}) |
| arithmetic of the training vectors | {_arithmetic(card)} |
| maximum tokens of a text | {card["max_length"]} |
| unknown tokens of the training texts | {card["unknown_tokens"]:.2%} |
| audio vectors | {_audio(card["audio_tokens"], card["audio_width"])} |
| training side, for the weights | {_side_size(card, TRAIN)} |
| development side, for what is chosen | {_side_size(card, DEVELOPMENT)} |
| validation side, for the evaluation | {_side_size(card, VALIDATION)} |
| best epoch | {card["epoch"]} of {card["config"]["epochs"]}, chosen on {_side_size(card, selection)} ({selection}) |
| temperatures for an utterance | {_temperatures(card["temperatures"]["utterance"], labels)} |
| temperatures for a call | {_temperatures(card["temperatures"]["call"], labels)}{_why_not_fitted(card)} |
| confidence threshold for a call | {_threshold(CONFIDENCE_THRESHOLD, card)} |
| alarm threshold for a call | {_threshold(ALARM_THRESHOLD, card)} |
| who speaks | {speaker_text(card["speaker"])} |
| protocol | {card["protocol"]} |
| split | {card["split"]["mode_used"]}, sha256 `{card["split"]["sha256"]}` |
| training data | sha256 `{card["data_sha256"]}` |{_openvino(card)}

| {selection} side, by utterance | accuracy | macro-F1 |
| --- | --- | --- |
| urgency | {_score(metrics["urg_acc"])} | {_score(metrics["urg_f1"])} |
| sentiment | {_score(metrics["sent_acc"])} | {_score(metrics["sent_f1"])} |

{card["left_out"]}
The epoch was chosen on the same rows, so these scores are slightly too high.{_where_scores_are(selection)}

## Intended use

{INTENDED_USE}

## Limits

{LIMITS}
"""


def _arithmetic(card: Mapping[str, Any]) -> str:
    """The libraries and precisions, and what a reduced precision means. Cards of former versions do not name them."""
    pairs = card.get("arithmetic", [])
    named = [f"{pair['engine'] or 'unknown library'} in {pair['precision'] or 'unknown precision'}" for pair in pairs]
    reduced = any(pair["precision"] not in (PREDICTED_IN, "") for pair in pairs)
    return (", ".join(named) or "not known") + (f"; recordings are answered in {PREDICTED_IN}" if reduced else "")


def _hub_metadata(card: Mapping[str, Any]) -> str:
    """The metadata as YAML. It names no licence: whoever publishes a model knows the terms of its data.

    Source: the documentation of the Hugging Face Hub, "Model Cards".
    """
    from huggingface_hub import ModelCardData

    text_model = card["text_model"]["name"]
    data = ModelCardData(
        language="ko",
        library_name=LIBRARY,
        pipeline_tag="audio-classification",
        tags=[*TAGS, *(["openvino"] if "openvino" in card else [])],
        base_model=text_model if HUB_SEPARATOR in text_model else None,
    )
    metadata: str = data.to_yaml()
    return metadata


def _side_size(card: Mapping[str, Any], side: str) -> str:
    return f"{card['utterances'][side]} utterances of {card['calls'][side]} calls"


def _where_scores_are(selection: str) -> str:
    if selection == VALIDATION:
        return ""
    return " The evaluation report has those of the validation side, which chose nothing."


def _score(value: float | None) -> str:
    return "left out" if value is None else f"{value:.3f}"


def _temperatures(by_task: Mapping[str, float], labels: Labels) -> str:
    return ", ".join(f"{task} {by_task[task]:.3f}" for task in labels.tasks)


def speaker_text(scores: Mapping[str, Any] | None) -> str:
    """What is known of the speaker model, in one sentence.

    Args:
        scores: the scores of the model; None without a model.
    """
    if scores is None:
        return "not told: the training side does not have both values of `speaker`"
    if "accuracy" not in scores:
        return "caller or call-taker, not measured: the other calls do not name a speaker"
    rows, interval = scores["measured"], scores["accuracy_interval"]
    between = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    return (
        f"caller or call-taker, accuracy {scores['accuracy']:.3f}{between} on {rows['utterances']} utterances of "
        f"{rows['calls']} other calls; always the more frequent one: {scores['majority']:.3f}"
    )


def _why_not_fitted(card: Mapping[str, Any]) -> str:
    calls, needed = card["calls"][DEVELOPMENT], card["config"]["min_development_calls"]
    return f", not fitted: the development side has {calls} calls, {needed} are needed" if calls < needed else ""


def _threshold(name: str, card: Mapping[str, Any]) -> str:
    if "urgency" in Labels.from_json(card["labels"]).left_out:
        return "not offered: urgency is left out"
    return threshold_text(name, card["threshold_fits"], card["config"]["min_development_calls"])


def _audio(tokens: int, width: int) -> str:
    pooling = "the mean over time" if tokens == 1 else f"the means over {tokens} equal spans of time"
    return f"{tokens} of {width} values: {pooling} of the speech model's last hidden state"


def _openvino(card: Mapping[str, Any]) -> str:
    """The row of an exported network; empty for a model folder without one."""
    if "openvino" not in card:
        return ""
    made = card["openvino"]
    return (
        f"\n| network in OpenVINO {made['openvino']} | its logits differ by at most {made['max_difference']:.1e} from "
        f"those of torch, on {made['utterances']} utterances of the validation side |"
    )


def _ids(names: tuple[str, ...]) -> str:
    return ", ".join(f"{i} {name} ({ENGLISH.get(name, name)})" for i, name in enumerate(names))

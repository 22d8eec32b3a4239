"""What the asset pages show of a result: figures, tables and pictures, never call text, addresses or audio."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg

from urgency_dagster.calls import (
    FUNNEL_LEVELS,
    EmbeddingSummary,
    Funnel,
    ProsodySummary,
    draw_funnel,
    draw_throughput,
)
from urgency_dagster.defs.columns import column_metadata
from urgency_dagster.defs.figures import duration, figure, figure_table, option_table, rounded, share, size, timing
from urgency_dagster.defs.reports import history_picture, pictures
from urgency_dagster.tables import embeddings_schema
from urgency_dagster.urgency import TASKS, TrainingConfig, TrainingSetSummary, TrainingSummary, speaker_text

EPOCH_SCORES = {
    "urgency_f1_macro": "urg_f1",
    "urgency_accuracy": "urg_acc",
    "sentiment_f1_macro": "sent_f1",
    "sentiment_accuracy": "sent_acc",
    "training_loss": "loss",
}
"""The scores of an epoch: their names on the page, and in the summary of the training."""


def extraction_metadata(counts: Mapping[str, int]) -> dict[str, Any]:
    """The unpacked and the rejected members of an archive."""
    rejected = counts["rejected_members"]
    members = counts["audio_files"] + counts["label_files"] + rejected
    shown = {name: count for name, count in counts.items() if name not in ("bytes", "rejected_members")}
    return {**shown, "rejected_members": share(rejected, members, "members"), "unpacked": size(counts["bytes"])}


def funnel_metadata(funnel: Funnel) -> dict[str, dg.MarkdownMetadataValue]:
    """The counts by level, the rejects by reason, the audio flags, and a picture."""
    rejects = {f"{level}: {reason}": n for level in FUNNEL_LEVELS for reason, n in funnel.rejected[level].items()}
    with TemporaryDirectory() as folder:
        drawing = Path(folder, "funnel.png")
        draw_funnel(funnel, drawing)
        return {
            "funnel": figure_table(funnel.counts),
            "rejects": figure_table(rejects),
            "flagged_audio": figure_table(funnel.flagged),
            "picture": pictures(drawing),
        }


def reject_metadata(funnel: Funnel) -> dict[str, Any]:
    """The rejected calls and utterances, in words for people and as shares for the plot over all runs."""
    levels = {"calls": funnel.calls, "utterances": funnel.utterances}
    words = {f"rejected_{level}": share(funnel.rejects(level), count, level) for level, count in levels.items()}
    return words | rounded({f"rejected_{level}_share": funnel.share_rejected(level) for level in levels})


def embedding_metadata(summary: EmbeddingSummary) -> dict[str, Any]:
    """The counts, device, speed and provenance of an embedding, and a picture of its throughput."""
    with TemporaryDirectory() as folder:
        drawing = Path(folder, "throughput.png")
        draw_throughput(summary.points, drawing)
        picture = pictures(drawing)
    counts = asdict(summary.counts)
    return {
        "dagster/row_count": counts.pop("utterances"),
        **counts,
        "audio": duration(summary.audio_s),
        **{name: getattr(summary, name) for name in ("width", "engine", "device")},
        **timing(summary.seconds),
        "utterances_per_s": round(summary.figures["utterances_per_s"], 2),
        "x_real_time": round(summary.figures["x_real_time"], 2),
        **summary.made_with,
        **({"warning": summary.warning} if summary.warning else {}),
        "throughput": picture,
        **column_metadata("utterance_embeddings", embeddings_schema(summary.row_width)),
    }


def prosody_metadata(summary: ProsodySummary) -> dict[str, Any]:
    """The analysed recordings, and the utterances without a voiced frame."""
    return {
        "dagster/row_count": summary.utterances,
        "calls": summary.calls,
        "audio": duration(summary.audio_s),
        "without_f0": share(summary.without_f0, summary.utterances, "utterances"),
    }


def training_set_metadata(summary: TrainingSetSummary) -> dict[str, Any]:
    """The rows of a training set by side and class, and its split."""
    sides = {
        f"{side} {noun}": counts[side]
        for side in summary.calls
        for noun, counts in (("calls", summary.calls), ("utterances", summary.utterances))
    }
    classes = {
        task: figure_table(
            {f"{side} {name}": n for side, of_side in summary.class_counts.items() for name, n in of_side[task].items()}
        )
        for task in TASKS
    }
    return {
        "dagster/row_count": sum(summary.utterances.values()),
        "archives": len(summary.archives),
        "audio_tokens": summary.audio_tokens,
        "split": figure_table(sides),
        **classes,
        "protocol": summary.protocol,
        **({"left_out": summary.left_out} if summary.left_out else {}),
        **({"warning": summary.warning} if summary.warning else {}),
        "mode": f"{summary.mode_used} {summary.note}".strip(),
        "split_sha256": summary.sha256,
    }


def training_metadata(summary: TrainingSummary, config: TrainingConfig, seconds: float) -> dict[str, Any]:
    """The best epoch, the hyper-parameters and the time of a training.

    Args:
        summary: the training.
        config: its hyper-parameters.
        seconds: its duration. An interrupted training counts from its continuation.
    """
    best = asdict(summary.best)
    scores = {f"best_{name}": best[key] for name, key in EPOCH_SCORES.items() if best[key] is not None}
    speaker = summary.speaker or {}
    return {
        "best_epoch": f"{summary.best.epoch} of {len(summary.history)}",
        "chosen_on": f"{summary.selection} side",
        **rounded(scores),
        **rounded({"speaker_accuracy": speaker["accuracy"]} if "accuracy" in speaker else {}),
        "who_speaks": speaker_text(summary.speaker),
        "history": history_picture([asdict(epoch) for epoch in summary.history], summary.selection),
        "hyper_parameters": option_table(config.model_dump(exclude={"device"})),
        **timing(seconds),
        "parameters": summary.parameters,
        "device": summary.device,
        "data_sha256": summary.data_sha256,
    }


LEVELS = ("utterance", "text_only", "audio_only", "majority", "call", "text_only_call", "audio_only_call")
"""The rows of the score tables: the model and its baselines, by utterance and by call."""


def evaluation_metadata(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The macro-F1 of the model and of its baselines."""
    trained = [task for task in TASKS if metrics["utterance"][task] is not None]
    by_level = {task: {level: metrics[level][task]["f1_macro"] for level in LEVELS} for task in trained}
    tables = {f"{task} macro-F1": figure_table(scores) for task, scores in by_level.items()}
    scores = {f"{task}_f1_macro": metrics["utterance"][task]["f1_macro"] for task in trained}
    return {**tables, **rounded({**scores, "average_f1": metrics["utterance"]["average_f1"]})}


def gap_metadata(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The macro-F1 by call of each way of hearing, the calls that were heard, and the thresholds."""
    calls, errors = metrics["calls"], metrics["character_error_rate"] or {}
    tables = {
        f"{task} macro-F1 by call": figure_table(
            {way: of_way["call"][task]["f1_macro"] for way, of_way in ways.items()}
        )
        for ways in [metrics["ways"]]
        for task in TASKS
        if ways["label"]["call"][task]
    }
    return {
        **tables,
        "heard": share(calls["validation"]["measured"], calls["validation"]["asked"], "validation calls"),
        "development": share(calls["development"]["measured"], calls["development"]["asked"], "calls"),
        "listening": metrics["listening"],
        "character_error_rate": figure_table({way: rate["rate"] for way, rate in errors.items()}),
        "missed_speech": figure(metrics["speech"]["missed"]),
        "thresholds": figure_table(metrics["thresholds"]),
        **({"not_measured": metrics["not_measured"]} if metrics["not_measured"] else {}),
    }


MAX_STREAMS = 60
"""Maximum rows in a table of streams. K-EmoPhone has 52 streams and two other blocks of columns."""


def feature_metadata(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The loaded features by stream, statistic and window, and the missing or constant ones.

    It holds the number of participants and no codes of participants.
    """
    features, people, rows = summary["features"], summary["participants"], summary["rows"]
    missing = {stream: f"{len(codes)} of {people}" for stream, codes in summary["missing_streams"].items()}
    constant = {stream: len(names) for stream, names in summary["constant_within_participant"].items()}
    windows = dict(sorted(features["by_window_s"].items(), key=lambda window: float(window[0])))
    return {
        "dagster/row_count": rows,
        "participants": people,
        "attentive": share(round(summary["positive_rate"] * rows), rows, "samples"),
        "features": features["total"],
        "categorical": share(features["categorical"], features["total"], "features"),
        "outside_grammar": features["outside_grammar"],
        "features_by_stream": _stream_table(dict(sorted(features["by_stream"].items()))),
        "features_by_statistic": _stream_table(dict(sorted(features["by_statistic"].items()))),
        "features_by_window_s": _stream_table(windows),
        "participants_without_stream": _stream_table(missing),
        "features_constant_within_participant": _stream_table(constant),
        "warnings": "; ".join(summary["warnings"]) or "none",
    }


def _stream_table(figures: Mapping[str, object]) -> dg.MarkdownMetadataValue:
    """A table whose names come from an untrusted file: without markup, and with at most MAX_STREAMS rows."""
    rows = [(re.sub(r"[^\w .+-]", "?", name) or "other names", value) for name, value in figures.items()]
    more = {"more": len(rows) - MAX_STREAMS} if len(rows) > MAX_STREAMS else {}
    return figure_table({**dict(rows[:MAX_STREAMS]), **more})


def validation_metadata(metrics: Mapping[str, Any], reused: int) -> dict[str, Any]:
    """The mean scores of a cross-validation, macro-F1 first, and its folds.

    Args:
        metrics: the stored metrics of the model.
        reused: folds whose fits an interrupted step had finished.
    """
    folds = len(metrics["folds"])
    one_class = folds - metrics["folds_with_score"]["roc_auc"]
    mean = metrics["mean"]
    first = {name: mean[name] for name in ("f1_macro", "roc_auc", "accuracy")}
    return {
        **rounded({**first, **mean}),
        "folds_of_one_class": share(one_class, folds, "folds"),
        "reused_folds": reused,
    }

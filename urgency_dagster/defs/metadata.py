"""Metadata for the Dagster UI: figures, schemas and pictures, never call text, addresses or audio."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg

from urgency_dagster.calls import FUNNEL_LEVELS, EmbeddingSummary, Funnel, draw_funnel, draw_throughput
from urgency_dagster.defs.columns import column_metadata
from urgency_dagster.tables import embeddings_schema
from urgency_dagster.urgency import draw_history


def figure_table(figures: Mapping[str, object]) -> dg.MarkdownMetadataValue:
    """A Markdown table of names and figures."""
    formatted = {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in figures.items()}
    lines = [f"| {name} | {value} |" for name, value in formatted.items()] or ["| none | 0 |"]
    return dg.MetadataValue.md("\n".join(["| name | value |", "| --- | ---: |", *lines]))


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


def figure(value: float | None) -> dg.MetadataValue:
    """A figure, or the text `none`."""
    return dg.MetadataValue.text("none") if value is None else dg.MetadataValue.float(value)


def embedding_metadata(summary: EmbeddingSummary) -> dict[str, Any]:
    """The counts, device, speed and provenance of an embedding, and a picture of its throughput."""
    with TemporaryDirectory() as folder:
        drawing = Path(folder, "throughput.png")
        draw_throughput(summary.points, drawing)
        picture = pictures(drawing)
    counts = asdict(summary.counts)
    return {
        "dagster/row_count": counts.pop("utterances"),
        **column_metadata("utterance_embeddings", embeddings_schema(summary.row_width)),
        **counts,
        **{name: getattr(summary, name) for name in ("audio_s", "width", "engine", "device")},
        "seconds": round(summary.seconds, 1),
        "utterances_per_s": round(summary.figures["utterances_per_s"], 2),
        "x_real_time": round(summary.figures["x_real_time"], 2),
        **summary.made_with,
        "throughput": picture,
    }


MAX_STREAMS = 60
"""Maximum rows in a table of streams. K-EmoPhone has 52 streams and two other blocks of columns."""


def feature_metadata(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The loaded features by stream, statistic and window, and the missing or constant ones.

    It holds the number of participants and no codes of participants.
    """
    features, people = summary["features"], summary["participants"]
    missing = {stream: f"{len(codes)} of {people}" for stream, codes in summary["missing_streams"].items()}
    constant = {stream: len(names) for stream, names in summary["constant_within_participant"].items()}
    return {
        "dagster/row_count": summary["rows"],
        "participants": people,
        "positive_rate": summary["positive_rate"],
        "features": features["total"],
        "categorical": features["categorical"],
        "outside_grammar": features["outside_grammar"],
        "features_by_stream": _stream_table(features["by_stream"]),
        "features_by_statistic": _stream_table(features["by_statistic"]),
        "features_by_window_s": _stream_table(features["by_window_s"]),
        "participants_without_stream": _stream_table(missing),
        "features_constant_within_participant": _stream_table(constant),
        "warnings": "; ".join(summary["warnings"]) or "none",
    }


def _stream_table(figures: Mapping[str, object]) -> dg.MarkdownMetadataValue:
    """A table whose names come from an untrusted file: without markup, and with at most MAX_STREAMS rows."""
    rows = [(re.sub(r"[^\w .+-]", "?", name) or "other names", value) for name, value in figures.items()]
    more = {"more": len(rows) - MAX_STREAMS} if len(rows) > MAX_STREAMS else {}
    return figure_table({**dict(rows[:MAX_STREAMS]), **more})


def history_picture(history: Sequence[Mapping[str, float]]) -> dg.MarkdownMetadataValue:
    """The scores of the epochs of a training as a picture."""
    with TemporaryDirectory() as folder:
        drawing = Path(folder, "history.png")
        draw_history(drawing, history)
        return pictures(drawing)


def pictures(*files: Path) -> dg.MarkdownMetadataValue:
    """PNG files as data URLs inside the page, so that the UI needs no other server."""
    parts = [f"![{file.stem}](data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()})" for file in files]
    return dg.MetadataValue.md("\n\n".join(parts))

"""How figures, schemas and pictures are shown in the Dagster UI. Never call text, addresses or audio."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import dagster as dg

from urgency_dagster.calls import FUNNEL_LEVELS, EmbeddingSummary, Funnel, draw_funnel, draw_throughput
from urgency_dagster.tables import embeddings_schema
from urgency_dagster.urgency.evaluation.report import draw_history

if TYPE_CHECKING:
    import pyarrow as pa


def figure_table(figures: Mapping[str, object]) -> dg.MarkdownMetadataValue:
    """A two-column table of names and figures."""
    shown = {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in figures.items()}
    lines = [f"| {name} | {value} |" for name, value in shown.items()] or ["| none | 0 |"]
    return dg.MetadataValue.md("\n".join(["| what | figure |", "| --- | ---: |", *lines]))


def funnel_metadata(funnel: Funnel) -> dict[str, dg.MarkdownMetadataValue]:
    """Counts by level, what was left out by reason, audio flags, and the picture of it."""
    left_out = {f"{level}: {reason}": n for level in FUNNEL_LEVELS for reason, n in funnel.rejected[level].items()}
    with TemporaryDirectory() as folder:
        drawing = Path(folder, "funnel.png")
        draw_funnel(funnel, drawing)
        return {
            "funnel": figure_table(funnel.counts),
            "left_out": figure_table(left_out),
            "flagged_audio": figure_table(funnel.flagged),
            "picture": pictures(drawing),
        }


def figure(value: float | None) -> dg.MetadataValue:
    """A figure, or that there is none."""
    return dg.MetadataValue.text("none") if value is None else dg.MetadataValue.float(value)


def embedding_metadata(summary: EmbeddingSummary) -> dict[str, Any]:
    """What was embedded, on what and how fast, with the picture of it."""
    with TemporaryDirectory() as folder:
        drawing = Path(folder, "throughput.png")
        draw_throughput(summary.points, drawing)
        picture = pictures(drawing)
    counts = asdict(summary.counts)
    return {
        "dagster/row_count": counts.pop("utterances"),
        "dagster/column_schema": table_schema(embeddings_schema(summary.row_width)),
        **counts,
        **{name: getattr(summary, name) for name in ("audio_s", "width", "engine", "device")},
        "seconds": round(summary.seconds, 1),
        "utterances_per_s": round(summary.figures["utterances_per_s"], 2),
        "x_real_time": round(summary.figures["x_real_time"], 2),
        **summary.made_with,
        "throughput": picture,
    }


STREAMS_SHOWN = 60
"""Rows of a table of streams. K-EmoPhone has 52, and two blocks that are no streams."""


def feature_metadata(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What features were loaded, by stream, statistic and window, and what is missing or constant in them.

    Participants are counted, not named.
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
    """A table whose names come from a file that nobody vouches for: no markup, and no more rows than fit a page."""
    rows = [(re.sub(r"[^\w .+-]", "?", name) or "other names", value) for name, value in figures.items()]
    more = {"more": len(rows) - STREAMS_SHOWN} if len(rows) > STREAMS_SHOWN else {}
    return figure_table({**dict(rows[:STREAMS_SHOWN]), **more})


def history_picture(history: Sequence[Mapping[str, float]]) -> dg.MarkdownMetadataValue:
    """The epochs of a training as a picture."""
    with TemporaryDirectory() as folder:
        drawing = Path(folder, "history.png")
        draw_history(drawing, history)
        return pictures(drawing)


def table_schema(schema: "pa.Schema") -> dg.TableSchemaMetadataValue:
    """The columns of a Parquet table, with the descriptions that the schema holds."""
    columns = [
        dg.TableColumn(
            item.name,
            str(item.type),
            description=(item.metadata or {}).get(b"description", b"").decode() or None,
            constraints=dg.TableColumnConstraints(nullable=item.nullable),
        )
        for item in schema
    ]
    return dg.MetadataValue.table_schema(dg.TableSchema(columns))


def pictures(*files: Path) -> dg.MarkdownMetadataValue:
    """PNG files inside the page itself, so that the UI needs no other server."""
    parts = [f"![{file.stem}](data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()})" for file in files]
    return dg.MetadataValue.md("\n\n".join(parts))

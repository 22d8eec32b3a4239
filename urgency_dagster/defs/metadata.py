"""How figures, schemas and pictures are shown in the Dagster UI. Never call text, addresses or audio."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import dagster as dg

from urgency_dagster.calls.embeddings import EmbeddingSummary
from urgency_dagster.calls.funnel import LEVELS, Funnel, draw_funnel
from urgency_dagster.calls.throughput import draw_throughput
from urgency_dagster.tables import embeddings_schema
from urgency_dagster.urgency.report import draw_history

if TYPE_CHECKING:
    import pyarrow as pa


def figure_table(figures: Mapping[str, object]) -> dg.MarkdownMetadataValue:
    """A two-column table of names and figures."""
    shown = {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in figures.items()}
    lines = [f"| {name} | {value} |" for name, value in shown.items()] or ["| none | 0 |"]
    return dg.MetadataValue.md("\n".join(["| what | figure |", "| --- | ---: |", *lines]))


def funnel_metadata(funnel: Funnel) -> dict[str, dg.MarkdownMetadataValue]:
    """Counts by level, what was left out by reason, audio flags, and the picture of it."""
    left_out = {f"{level}: {reason}": n for level in LEVELS for reason, n in funnel.rejected[level].items()}
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


def history_picture(history: Sequence[Mapping[str, float]]) -> dg.MarkdownMetadataValue:
    """The epochs of a training as a picture."""
    with TemporaryDirectory() as folder:
        drawing = Path(folder, "history.png")
        draw_history(drawing, history)
        return pictures(drawing)


def table_schema(schema: "pa.Schema") -> dg.TableSchemaMetadataValue:
    """The columns of a Parquet table."""
    columns = [
        dg.TableColumn(item.name, str(item.type), constraints=dg.TableColumnConstraints(nullable=item.nullable))
        for item in schema
    ]
    return dg.MetadataValue.table_schema(dg.TableSchema(columns))


def pictures(*files: Path) -> dg.MarkdownMetadataValue:
    """PNG files inside the page itself, so that the UI needs no other server."""
    parts = [f"![{file.stem}](data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()})" for file in files]
    return dg.MetadataValue.md("\n\n".join(parts))

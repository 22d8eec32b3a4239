"""The order of the report: what it says in words, then tables, then pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from urgency_dagster.urgency.evaluation.report.calibration import calibration_section, deferral_text
from urgency_dagster.urgency.evaluation.report.data import data_section, limit_section
from urgency_dagster.urgency.evaluation.report.scores import (
    danger_section,
    score_section,
    slice_section,
    speaker_section,
    time_section,
)
from urgency_dagster.urgency.evaluation.report.summary import five_sentences

TITLE = "Urgency model: evaluation"


def report_text(metrics: Mapping[str, Any], card: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The report as Markdown. What is about urgency is absent if it is left out; a sentence says so.

    Args:
        metrics: the scores.
        card: the model card.
        pictures: the file name of each picture with its description, in the order of the report.
    """
    about_urgency = metrics["utterance"]["urgency"] is not None
    sections = (
        f"# {TITLE}",
        _summary_section(metrics, card),
        data_section(card),
        score_section(metrics),
        *((danger_section(metrics), time_section(metrics)) if about_urgency else ()),
        calibration_section(metrics["calibration"]),
        *((deferral_text(metrics["calibration"], card), speaker_section(metrics)) if about_urgency else ()),
        *((slice_section(metrics),) if about_urgency else ()),
        limit_section(card),
        _picture_section(pictures),
    )
    return "\n\n".join(sections) + "\n"


def _summary_section(metrics: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    sentences: Sequence[str] = five_sentences(metrics, card)
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _picture_section(pictures: Mapping[str, str]) -> str:
    return "\n\n".join(["## Pictures", *(f"![{text}]({name})" for name, text in pictures.items())])

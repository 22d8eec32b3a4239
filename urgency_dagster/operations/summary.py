"""The summary that the `run` command prints: kept and rejected rows, scores beside their baselines, and paths."""

import csv
from collections import Counter
from collections.abc import Iterator

import pyarrow.parquet as pq

from urgency_dagster.paths import StoragePaths, shown
from urgency_dagster.provenance.manifests import partitions_with_manifest, read_manifest
from urgency_dagster.scoring import count_scored
from urgency_dagster.tables import URGENCY_LEVELS
from urgency_dagster.writing import read_json


def summary_lines(paths: StoragePaths) -> Iterator[str]:
    """The summary by line. A pipeline without results has no line."""
    yield from _call_lines(paths)
    yield from _scoring_lines(paths)
    if read_manifest(paths, "urgency_evaluation") and (paths.urgency.evaluation / "metrics.json").is_file():
        yield from _urgency_lines(paths)
    if read_manifest(paths, "attention_leaderboard") and paths.attention.leaderboard.is_file():
        yield from _attention_lines(paths)
    exported = sorted(paths.attention.models_folder.glob("*.pkl"))
    if exported:
        yield f"models        {shown(paths.attention.models_folder)} ({', '.join(file.stem for file in exported)})"


def _call_lines(paths: StoragePaths) -> Iterator[str]:
    made = {name for asset in ("utterances", "processed_data") for name in partitions_with_manifest(paths, asset)}
    for archive in sorted({*made, *_unpacked(paths)}):
        files = paths.archive(archive)
        if not (files.utterances.is_file() and files.rejects.is_file()):
            if archive not in made:
                yield f"calls         {archive}: FAILED before its table was complete"
            continue
        kept = pq.read_metadata(files.utterances).num_rows
        rejects = pq.read_table(files.rejects, columns=["utterance_id", "reason"]).to_pylist()
        utterances = Counter(row["reason"] for row in rejects if row["utterance_id"] is not None)
        calls_and_files = Counter(row["reason"] for row in rejects if row["utterance_id"] is None)
        state = "" if archive in made else "BLOCKED by a check, not used: "
        see = "" if archive in made else f"; see {shown(files.rejects)}"
        yield (
            f"calls         {archive}: {state}{kept} utterances kept, {_counted(utterances)} rejected; "
            f"calls and files rejected: {_counted(calls_and_files)}{see}"
        )


def _unpacked(paths: StoragePaths) -> list[str]:
    """The archives whose ZIPs were unpacked, or are unpacked in part."""
    names = [folder.name for folder in paths.archive("any").folder.parent.glob("*/")]
    left = {name: (files.unpacking, files.members) for name in names if (files := paths.archive(name))}
    return [name for name, of_archive in left.items() if any(path.exists() for path in of_archive)]


def _counted(reasons: Counter[str]) -> str:
    """The total, and the count of each reason."""
    counts = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    return f"{reasons.total()} ({counts})" if counts else "0"


def _scoring_lines(paths: StoragePaths) -> Iterator[str]:
    for archive in partitions_with_manifest(paths, "scored_calls"):
        files = paths.scoring(archive)
        if not (files.calls.is_file() and files.utterances.is_file() and files.rejects.is_file()):
            continue
        counts = count_scored(paths, archive)
        classes = ", ".join(f"{level} {counts.urgency[level]}" for level in URGENCY_LEVELS)
        unsure = f", {counts.without_threshold} without a threshold" if counts.without_threshold else ""
        yield (
            f"scoring       {archive}: {counts.calls} calls scored ({classes}), {counts.abstained} abstained, "
            f"{counts.alarmed} alarmed{unsure}; recordings rejected: {_counted(counts.rejected['recordings'])}; "
            f"see {shown(files.calls)}"
        )


def _urgency_lines(paths: StoragePaths) -> Iterator[str]:
    metrics = read_json(paths.urgency.evaluation / "metrics.json")
    if metrics.get("left_out"):
        yield f"left out      {metrics['left_out']}"
    for task in (task for task in ("urgency", "sentiment") if metrics["utterance"][task]):
        scores = {level: metrics[level][task]["f1_macro"] for level in ("utterance", "call", "majority")}
        yield (
            f"{task:13} macro-F1 {scores['utterance']:.3f} by utterance, {scores['call']:.3f} by call "
            f"(majority class {scores['majority']:.3f})"
        )
    yield f"report        {shown(paths.urgency.evaluation / 'report.md')}"


def _attention_lines(paths: StoragePaths) -> Iterator[str]:
    with paths.attention.leaderboard.open(encoding="utf-8", newline="") as stream:
        scores = {row["model"]: float(row["f1_macro_mean"]) for row in csv.DictReader(stream)}
    baseline = scores.pop("dummy")
    by_model = ", ".join(f"{model} {score:.3f}" for model, score in scores.items())
    yield f"attention     macro-F1 {by_model} (majority class {baseline:.3f})"
    yield f"report        {shown(paths.attention.report)}"

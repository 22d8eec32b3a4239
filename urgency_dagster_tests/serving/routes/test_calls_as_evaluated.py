"""What the server answers for the validation calls is what the evaluation stored."""

import json
from collections import defaultdict
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import load_predictor
from urgency_dagster.statistics.calibration import probabilities
from urgency_dagster_tests.serving.conftest import ServedRoot

TOLERANCE = 1e-5


def largest_difference(client: TestClient, paths: StoragePaths, rows: list[dict[str, Any]]) -> tuple[int, float]:
    """The number of utterances that are answered, and the largest difference of a probability by HTTP and as stored.

    Args:
        client: asks the server.
        paths: the storage root that is served.
        rows: rows of the utterance tables with their stored logits.
    """
    temperatures = load_predictor(paths.root).model.temperatures["utterance"]
    calls: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        calls[row["wav_file_path"]].append(row)
    count, largest = 0, 0.0
    for file, utterances in calls.items():
        utterances.sort(key=lambda row: row["startAt"])
        turns = [{"start_ms": row["startAt"], "end_ms": row["endAt"], "text": row["text"]} for row in utterances]
        form = {"audio": ("call.wav", (paths.root / file).read_bytes()), "turns": (None, json.dumps(turns))}
        answers = client.post("/v1/calls", files=form).json()["utterances"]  # type: ignore[arg-type]
        for row, answer in zip(utterances, answers, strict=True):
            count += 1
            for task in ("urgency", "sentiment"):
                stored = probabilities(np.array([row[f"{task}_logits"]], np.float32), temperatures[task])[0]
                answered = list(answer[task]["probabilities"].values())
                largest = max(largest, float(np.abs(stored - answered).max()))
    return count, largest


def test_every_validation_utterance_is_answered_as_it_was_evaluated(
    client: TestClient, served_root: ServedRoot
) -> None:
    rows = served_root.spoken.rows()
    count, largest = largest_difference(client, served_root.paths, rows)
    assert count == len(rows) > 0
    assert largest < TOLERANCE

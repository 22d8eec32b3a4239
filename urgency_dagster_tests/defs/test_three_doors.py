"""Recordings without a label through all three doors: Python, the command, and files that land.

Nothing is lost: each file has an answer or a reason, and the doors agree about it.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from urgency_dagster.cli import main
from urgency_dagster.errors import UrgencyError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.scoring import call_object
from urgency_dagster.scoring.prediction import PredictedRecording, reason_of
from urgency_dagster.scoring.tables import SENTIMENT_COLUMNS, URGENCY_COLUMNS
from urgency_dagster.urgency import load_model
from urgency_dagster_tests.defs.recording_kinds import ANSWER, Kinds, forty_minutes, short_recordings
from urgency_dagster_tests.defs.test_scoring_assets import Scoring
from urgency_dagster_tests.scoring.conftest import Landed
from urgency_dagster_tests.scoring.gap.conftest import speaking
from urgency_dagster_tests.urgency.conftest import text_model
from urgency_dagster_tests.urgency.spoken import SpokenRoot

__all__ = ["speaking", "text_model"]

SAME = 1e-6

Outcome = dict[str, Any]
"""The call object of an answer, or the reason and the detail of a rejection."""


@pytest.fixture
def scoring(speaking: SpokenRoot, tmp_path: Path) -> Iterator[Scoring]:
    """A root with a model that recognises by CTC, and nothing that landed yet."""
    paths = StoragePaths(tmp_path / "root")
    shutil.copytree(speaking.model, paths.urgency.model)
    settings = f"URGENCY_SPEECH_MODEL={speaking.speech_model.folder}\nURGENCY_RECOGNISER=ctc\n"
    paths.settings_env.write_text(settings, encoding="utf-8")
    folder = paths.landing_scoring / "calls"
    folder.mkdir(parents=True)
    with dg.DagsterInstance.ephemeral() as instance:
        root = Scoring(Landed(paths, folder), speaking.speech_model.folder, instance, recogniser="ctc")
        root.trained()
        yield root


def asked_in_python(root: StoragePaths, folder: Path) -> dict[str, Outcome]:
    model = load_model(root.urgency.model)
    outcomes: dict[str, Outcome] = {}
    for path in sorted(folder.iterdir()):
        try:
            answer = PredictedRecording(path.name, path.stem, model.predict(path))
            outcomes[path.name] = call_object(answer, text=True)
        except UrgencyError as error:
            outcomes[path.name] = {"reason": str(reason_of(error)), "detail": str(error)}
    return outcomes


def asked_by_command(root: StoragePaths, folder: Path) -> dict[str, Outcome]:
    words = ["predict", str(folder), "--storage", str(root.root), "--format", "json", "--text"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code in (0, 1), done.output
    document = json.loads(done.stdout)
    listed = [*document["calls"], *document["rejected"]]
    outcomes = {Path(item["file"]).name: item for item in listed}
    assert len(outcomes) == len(listed), "no file has two outcomes"
    return outcomes


def asked_by_landing(scoring: Scoring) -> dict[str, Outcome]:
    assert scoring.materialise().success
    files = scoring.paths.scoring("calls")
    outcomes: dict[str, Outcome] = {}
    for row in pq.read_table(files.utterances).to_pylist():
        call = outcomes.setdefault(Path(row["file"]).name, {**_answer(row, "call_"), "_id": row["_id"]})
        call |= {"listening": row["listening"], "abstain": row["call_abstain"], "alarm": row["call_alarm"]}
        turn = {name: row[name] for name in ("start_ms", "end_ms", "speaker", "text")}
        call.setdefault("utterances", []).append(turn | _answer(row))
    rejected = pq.read_table(files.rejects).to_pylist()
    assert not outcomes.keys() & {Path(row["member"]).name for row in rejected}
    outcomes |= {Path(row["member"]).name: {"reason": row["reason"], "detail": row["detail"]} for row in rejected}
    assert {row["file"] for row in pq.read_table(files.calls).to_pylist()} == {
        f"calls/{name}" for name, outcome in outcomes.items() if "reason" not in outcome
    }
    return outcomes


def _answer(row: Mapping[str, Any], prefix: str = "") -> Outcome:
    columns = {"urgency": URGENCY_COLUMNS, "sentiment": SENTIMENT_COLUMNS}
    return {
        task: {
            "label": row[prefix + task],
            "probabilities": {
                name: row[prefix + column] for name, column in names.items() if row[prefix + column] is not None
            },
        }
        for task, names in columns.items()
    }


def assert_same(one: Outcome, other: Outcome, name: str) -> None:
    """Two outcomes of a file are equal, numbers within SAME."""
    assert flat(one) == pytest.approx(flat(other), abs=SAME), name


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Every value by its place, without the file's name, which depends on where it lies."""
    if isinstance(value, dict):
        parts = [flat(item, f"{path}/{key}") for key, item in value.items() if key != "file"]
    elif isinstance(value, list):
        parts = [flat(item, f"{path}/{place}") for place, item in enumerate(value)]
    else:
        return {path: value}
    return {key: item for part in parts for key, item in part.items()}


@pytest.mark.parametrize("kinds", [short_recordings, pytest.param(forty_minutes, marks=pytest.mark.slow)])
def test_every_recording_has_one_answer_or_one_reason_at_every_door(scoring: Scoring, kinds: Kinds) -> None:
    expected = kinds()
    for name, (content, _) in expected.items():
        scoring.landed.land(name, content)
    folder = scoring.landed.folder
    in_python = asked_in_python(scoring.paths, folder)
    by_command = asked_by_command(scoring.paths, folder)
    by_landing = asked_by_landing(scoring)
    assert in_python.keys() == by_command.keys() == by_landing.keys() == expected.keys()
    for name, (_, outcome) in expected.items():
        assert in_python[name].get("reason", ANSWER) == outcome, (name, in_python[name])
        assert_same(by_command[name], in_python[name], name)
        assert_same(by_landing[name], in_python[name], name)
    answers = [outcome for outcome in in_python.values() if "reason" not in outcome]
    assert {answer["listening"] for answer in answers} == {"ctc"}
    assert all(answer["utterances"] for answer in answers)

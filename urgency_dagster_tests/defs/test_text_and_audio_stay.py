"""What is said in a call, its address and its audio stay in the files that are made for them.

Sentences that occur nowhere else are planted in labels and in the answers of a real recogniser. Then every byte that a
run leaves is searched: tables, reports, models, manifests, Dagster's databases and logs, and what the command prints.
"""

import csv
import io
import json
import logging
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
import soundfile
from click.testing import CliRunner

from urgency_dagster.cli import main
from urgency_dagster.defs.partitions import scoring_archives
from urgency_dagster.defs.resources import resources
from urgency_dagster.defs.scoring_assets import SCORING_ASSETS
from urgency_dagster.defs.urgency_assets import ON_DEMAND_ASSETS, URGENCY_ASSETS
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.provenance.manifests import Manifest, completed, write_manifest
from urgency_dagster.settings import Settings
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.listening.recognition.transcription_server import Answer, TranscriptionServer, running, says
from urgency_dagster_tests.scoring.gap.conftest import speech
from urgency_dagster_tests.urgency import spoken as spoken_module
from urgency_dagster_tests.urgency.conftest import text_model
from urgency_dagster_tests.urgency.spoken import CONFIG, SPOKEN_ARCHIVES, write_spoken_root

__all__ = ["text_model"]

pytestmark = pytest.mark.slow  # Dagster copies the output of a step by processes

LABELLED, HEARD, BROKEN, ADDRESS = "숨겨진qzlabel목소리", "엿들은qzheard속삭임", "부서진qzbroken문장", "비밀동"
"""In the text of labels, in the answers of the recogniser, in labels that cannot be used, and in the address."""

SECRETS = (LABELLED, HEARD, BROKEN, ADDRESS)

TEXT_TABLES = {"utterances.parquet", "processed_data.csv", "rows.parquet", "scored_utterances.parquet"} | {
    "scored_utterances.csv"
}
"""The tables with a column `text`. Source: `docs/results.md` and `docs/scoring.md`."""

SOURCES = {"landing", "Wave", "Label"}
"""Folders with what a user landed, and with what was unpacked of it."""


class Always(list[Answer]):
    """The first answer, again and again."""

    def pop(self, index: Any = 0) -> Answer:
        answer: Answer = self[0]
        return answer


@dataclass(frozen=True)
class Planted:
    """A storage root in which everything was made, and all that was said meanwhile.

    Attributes:
        paths: the storage root.
        folder: the recordings that were landed.
        said: what was printed and logged, and Dagster's events.
        audio: a piece of each recording.
    """

    paths: StoragePaths
    folder: Path
    said: dict[str, str]
    audio: tuple[bytes, ...]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, build: Builder, text_model: PretrainedModel) -> Iterator[Planted]:
    words = {level: f"{word} {LABELLED}" for level, word in spoken_module.WORDS.items()}
    training = CONFIG.changed(unknown_tokens_max=1.0)
    with pytest.MonkeyPatch.context() as patch, running() as server:
        patch.setattr(spoken_module, "WORDS", words)
        server.answers = Always([says({"text": HEARD})])
        root = write_spoken_root(
            tmp_path_factory.mktemp("planted"),
            build,
            text_model,
            record=speech,
            recogniser=f"http:{server.url}",
            training=training,
        )
        folder, audio = land(root.paths, build)
        yield Planted(root.paths, folder, said_by_everything(root.paths, folder, server), audio)


def land(paths: StoragePaths, build: Builder) -> tuple[Path, tuple[bytes, ...]]:
    """Lands the validation calls: some with their label, some without, some with a label that cannot be used."""
    folder, archive = paths.landing_scoring / "calls", paths.archive("V_광주_구급")
    folder.mkdir(parents=True)
    recordings = sorted(archive.audio.iterdir())
    for number, recording in enumerate(recordings):
        shutil.copy(recording, folder)
        label = folder / recording.with_suffix(".json").name
        if number < 3:
            shutil.copy(archive.labels / label.name, folder)
        elif number == 3:
            label.write_text(f'{{"text": "{BROKEN}"', encoding="utf-8")
        elif number == 4:
            label.write_bytes(build.json(build.label(BROKEN)))
        elif number == 5:
            bad = [build.utterance(0, text=BROKEN, startAt=-1), build.utterance(1, text=[BROKEN])]
            other = build.utterance(2, text=BROKEN, speaker=BROKEN)
            label.write_bytes(build.json(build.label(label.stem.partition("_")[0], utterances=[*bad, other])))
    samples = [soundfile.read(io.BytesIO(path.read_bytes()), dtype="int16")[0] for path in recordings]
    return folder, tuple(of_call[24_000:24_032].tobytes() for of_call in samples)


def said_by_everything(paths: StoragePaths, folder: Path, server: TranscriptionServer) -> dict[str, str]:
    """Makes every asset with text on a Dagster instance in the root, then asks by command; returns what was said."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    level = logging.root.level
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.DEBUG)
    try:
        said = {"events": "\n".join(materialise(paths)), **commands(paths, folder)}
    finally:
        logging.root.removeHandler(handler)
        logging.root.setLevel(level)
    assert server.requests
    return {**said, "log": log.getvalue()}


def materialise(paths: StoragePaths) -> Iterator[str]:
    """Yields the events of all runs."""
    outputs = sorted(file for file in paths.urgency.model.rglob("*") if file.is_file())
    write_manifest(paths, completed(paths, Manifest("urgency_model", None, "1", {}), outputs))
    paths.dagster_home.mkdir()
    with dg.DagsterInstance.local_temp(str(paths.dagster_home)) as instance:
        instance.add_dynamic_partitions(str(scoring_archives.name), ["calls"])
        scoring = [name for asset in SCORING_ASSETS for name in (key.path[0] for key in asset.keys)]
        runs: list[tuple[list[str], str | None, dict[str, Any]]] = [
            (["label_free_gap"], None, {"label_free_gap": {"config": {"device": "cpu", "bootstrap_resamples": 20}}}),
            (["urgency_export"], None, {}),
            (scoring, "calls", {"scored_utterances": {"config": {"device": "cpu"}}}),
        ]
        for names, partition, config in runs:
            result = dg.materialize(
                [*URGENCY_ASSETS, *ON_DEMAND_ASSETS, *SCORING_ASSETS],
                selection=[dg.AssetKey(name) for name in names],
                partition_key=partition,
                resources=resources(Settings.load(paths.root, environment={})),
                run_config={"ops": config},
                instance=instance,
            )
            assert result.success
            yield from map(repr, instance.all_logs(result.run_id))


def commands(paths: StoragePaths, folder: Path) -> dict[str, str]:
    """What the command prints without `--text`, by format."""
    words = ["predict", str(folder), "--storage", str(paths.root), "--format"]
    return {form: CliRunner().invoke(main, [*words, form]).output for form in ("table", "json", "csv")}


def forms(secret: str) -> list[bytes]:
    """The bytes that a text can be stored as."""
    escaped = json.dumps(secret)[1:-1]
    return [secret.encode("utf-8"), secret.encode("utf-16-le"), secret.encode("cp949"), escaped.encode()]


def found(content: bytes, planted: Planted) -> list[str]:
    """The secrets in some bytes."""
    texts = [secret for secret in SECRETS if any(form in content for form in forms(secret))]
    return texts + ["audio" for piece in planted.audio if piece in content]


def columns_of(path: Path) -> dict[str, str]:
    """The content of each column of a table, and `metadata`. Parquet is compressed, so its bytes say nothing."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        columns = {name: json.dumps(table[name].to_pylist(), default=repr) for name in table.column_names}
        return {**columns, "metadata": repr(table.schema.metadata) + repr(table.schema)}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: json.dumps([row[name] for row in rows]) for name in (rows[0] if rows else ())}


def test_every_file_of_a_run_but_the_documented_columns_is_without_them(planted: Planted) -> None:
    searched, with_text = [], set()
    for path in sorted(file for file in planted.paths.root.rglob("*") if file.is_file()):
        if SOURCES & set(path.relative_to(planted.paths.root).parts):
            continue
        searched.append(path)
        if path.suffix not in (".parquet", ".csv"):
            assert found(path.read_bytes(), planted) == [], path
            continue
        for name, content in columns_of(path).items():
            secrets = found(content.encode(), planted)
            if name == "text" and path.name in TEXT_TABLES:
                with_text |= {(path.name, secret) for secret in secrets}
            else:
                assert secrets == [], (path, name)
    names = {path.name for path in searched}
    assert {"metrics.json", "report.md", "monitored_calls.parquet", "rejects.parquet", "card.json"} <= names
    assert {path.suffix for path in searched} >= {".db", ".npy", ".pt", ".safetensors", ".bin"}
    # The search finds what is there: the columns that are made for text have it.
    assert {name for name, secret in with_text if secret == LABELLED} == TEXT_TABLES
    assert {name for name, secret in with_text if secret == HEARD} == {
        "scored_utterances.parquet",
        "scored_utterances.csv",
    }


def test_the_databases_of_dagster_are_without_them(planted: Planted) -> None:
    """Row by row: a database can store a value in pieces."""
    files = [file for file in planted.paths.dagster_home.rglob("*.db") if file.is_file()]
    assert len(files) >= 2
    for file in files:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
            assert found("\n".join(database.iterdump()).encode(), planted) == [], file


@pytest.mark.parametrize("kind", ["events", "log", "table", "json", "csv"])
def test_nothing_that_is_said_holds_them(planted: Planted, kind: str) -> None:
    assert found(planted.said[kind].encode(), planted) == []
    assert len(planted.said[kind]) > 100


def test_text_is_printed_only_if_it_is_asked_for(planted: Planted) -> None:
    words = ["predict", str(planted.folder), "--storage", str(planted.paths.root), "--format", "json", "--text"]
    done = CliRunner().invoke(main, words)
    assert {LABELLED, HEARD} <= set(found(done.stdout.encode(), planted))
    assert found(done.stderr.encode(), planted) == []
    assert len(list(planted.folder.glob("*.wav"))) == SPOKEN_ARCHIVES["V_광주_구급"]

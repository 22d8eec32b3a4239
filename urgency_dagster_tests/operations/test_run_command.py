"""The `run` command in its own process, with real Ray and the smallest demo, from ZIP to report."""

import json
import os
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import dagster as dg
import pytest

from urgency_dagster.attention import load_model
from urgency_dagster.attention.reading.features import read_features
from urgency_dagster.paths import StoragePaths
from urgency_dagster.urgency.package.model_folder import load_urgency_model
from urgency_dagster_tests.child_process import PATIENCE_S
from urgency_dagster_tests.defs.command_server import CommandServer
from urgency_dagster_tests.defs.conftest import COMMAND, FirstRun, executed_steps, instance_of, run_command
from urgency_dagster_tests.defs.killing import running, wait

pytestmark = pytest.mark.slow

ARCHIVES = ("T_광주_구급", "T_서울_화재", "V_광주_구급")
CALLS = ("call_archive", "call_recordings", "utterances", "utterance_embeddings", "processed_data", "prosody")
URGENCY = ["training_set", "urgency_model", "urgency_evaluation"]
MODELS = ("logreg", "rf", "lgbm", "voting", "xgb")


def forget(paths: StoragePaths, archive: str) -> None:
    """Deletes every artefact of an archive, as if it had just landed."""
    shutil.rmtree(paths.archive(archive).folder)
    for manifest in (paths.root / "manifests").glob(f"*/{archive}.json"):
        manifest.unlink()


class TestFirstRun:
    def test_it_succeeds_and_prints_a_line_for_each_asset(self, first_run: FirstRun) -> None:
        _, done = first_run
        assert done.returncode == 0, done.stdout + done.stderr
        assets = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("  done")]
        assert assets.count("utterance_embeddings") == 3
        assert {"urgency_evaluation", "attention_leaderboard", "attention_models/xgb"} <= set(assets)

    def test_it_ends_with_scores_beside_their_baselines(self, first_run: FirstRun) -> None:
        root, done = first_run
        metrics = json.loads((StoragePaths(root).urgency.evaluation / "metrics.json").read_text())
        score = metrics["utterance"]["urgency"]["f1_macro"]
        majority = metrics["majority"]["urgency"]["f1_macro"]
        assert score > majority
        assert f"macro-F1 {score:.3f} by utterance" in done.stdout
        assert f"(majority class {majority:.3f})" in done.stdout
        assert str(StoragePaths(root).attention.report) in done.stdout
        assert "urgency-dagster dev --storage" in done.stdout

    def test_every_asset_of_every_archive_ran_once(self, first_run: FirstRun) -> None:
        steps = executed_steps(first_run[0])
        assert sorted(steps) == sorted(
            [f"{step}[{archive}]" for archive in ARCHIVES for step in CALLS]
            + URGENCY
            + ["attention_source", "attention_features", "attention_cv", "attention_audit", "attention_leaderboard"]
            + ["attention_models"]
        )

    def test_the_runs_and_the_landed_archives_are_in_dagster(self, first_run: FirstRun) -> None:
        with instance_of(first_run[0]) as instance:
            assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
            assert instance.get_dynamic_partitions("call_archives") == list(ARCHIVES)
            for archive in ARCHIVES:
                key = dg.AssetRecordsFilter(asset_key=dg.AssetKey("call_archive"), asset_partitions=[archive])
                assert len(instance.fetch_materializations(key, limit=5).records) == 1

    def test_the_exported_models_load_and_predict(self, first_run: FirstRun) -> None:
        paths = StoragePaths(first_run[0])
        data = read_features(paths.attention)
        for model in MODELS:
            predicted = load_model(paths.attention.model(model)).predict(data.X).rows
            assert len(predicted) == len(data.y)
            assert load_model(paths.attention.model(model, ".skops")).predict(data.X).rows == predicted
        assert load_urgency_model(paths.urgency.model).labels.urgency == ("하", "중", "상")

    def test_no_check_of_attention_fails(self, first_run: FirstRun) -> None:
        root, done = first_run
        assert not [line for line in done.stdout.splitlines() if " check " in line and "attention" in line]
        counts = json.loads(StoragePaths(root).attention.audit.read_text())["counts"]
        assert (counts["certain"], counts["suspicion"]) == (0, 0)

    def test_no_process_connects_to_another_machine(self, first_run: FirstRun, audit: dict[str, str]) -> None:
        connections = Path(audit["AUDIT_FILE"])
        assert not connections.exists(), connections.read_text()

    def test_no_call_text_is_in_the_run_history(self, first_run: FirstRun) -> None:
        import pyarrow.parquet as pq

        paths = StoragePaths(first_run[0])
        texts = [
            text
            for archive in ARCHIVES
            for text in pq.read_table(paths.archive(archive).utterances)["text"].to_pylist()
        ]
        long_ones = {text.strip().encode() for text in texts if len(text.strip()) > 8}
        history = [file for file in paths.dagster_home.rglob("*") if file.is_file()]
        leaks = [file for file in history if any(text in file.read_bytes() for text in long_ones)]
        assert len(long_ones) > 20
        assert len(history) > 20
        assert leaks == []


def test_the_audit_records_a_connection(audit: dict[str, str], tmp_path: Path) -> None:
    # Without this, the test above cannot fail.
    note = tmp_path / "note.txt"
    code = "import socket; socket.socket().connect_ex(('192.0.2.77', 9))"
    command = [str(COMMAND.parent / "python"), "-c", f"import socket; socket.setdefaulttimeout(0.2); {code}"]
    subprocess.run(command, env={**os.environ, **audit, "AUDIT_FILE": str(note)}, check=False)
    assert "connect 192.0.2.77" in note.read_text()


class TestSecondRun:
    def test_no_step_executes(self, finished_root: Path) -> None:
        before = executed_steps(finished_root)
        done = run_command(finished_root)
        assert done.returncode == 0, done.stderr
        assert "nothing to do: everything is up to date" in done.stdout
        assert executed_steps(finished_root) == before

    def test_a_deleted_file_is_made_again_and_equal_bytes_train_no_model(
        self, finished_root: Path, forked: CommandServer
    ) -> None:
        before = executed_steps(finished_root)
        paths = StoragePaths(finished_root)
        embeddings = paths.archive("T_서울_화재").embeddings
        content = embeddings.read_bytes()
        embeddings.unlink()
        done = forked.run(finished_root)
        assert done.returncode == 0, done.stdout + done.stderr
        assert executed_steps(finished_root)[len(before) :] == [
            "utterance_embeddings[T_서울_화재]",
            "processed_data[T_서울_화재]",
        ]
        assert embeddings.read_bytes() == content

    def test_a_deleted_run_history_needs_no_run(self, finished_root: Path, forked: CommandServer) -> None:
        shutil.rmtree(StoragePaths(finished_root).dagster_home)
        done = forked.run(finished_root)
        assert "nothing to do: everything is up to date" in done.stdout


class TestPartsAndFailures:
    def test_one_group_alone(self, finished_root: Path, forked: CommandServer) -> None:
        paths = StoragePaths(finished_root)
        before = executed_steps(finished_root)
        shutil.rmtree(finished_root / "calls")
        paths.attention.leaderboard.unlink()
        done = forked.run(finished_root, "--only", "attention")
        assert done.returncode == 0, done.stdout + done.stderr
        assert executed_steps(finished_root)[len(before) :] == ["attention_leaderboard"]
        assert paths.attention.leaderboard.is_file()
        assert not (finished_root / "calls").exists()

    def test_an_unreachable_hub_is_one_sentence_and_exit_1(self, storage_root: Path, forked: CommandServer) -> None:
        (storage_root / "settings.env").unlink()
        for zip_file in StoragePaths(storage_root).landing_calls.rglob("T?_서울_화재.zip"):
            zip_file.unlink()
        started = time.monotonic()
        done = forked.run(storage_root, "--only", "calls")
        assert done.returncode == 1
        failures = [line for line in done.stdout.splitlines() if "FAILED" in line]
        assert len(failures) == 2
        assert all("kresnik/wav2vec2-large-xlsr-korean" in line and "URGENCY_SPEECH_MODEL" in line for line in failures)
        assert "Traceback" not in done.stdout
        assert time.monotonic() - started < 120

    def test_the_other_archives_continue_after_a_failed_one(self, finished_root: Path, forked: CommandServer) -> None:
        paths = StoragePaths(finished_root)
        before = executed_steps(finished_root)
        forget(paths, "T_서울_화재")
        with zipfile.ZipFile(next(paths.landing_calls.rglob("TL_서울_화재.zip")), "w"):
            pass  # no label at all, so that every call is rejected
        paths.archive("V_광주_구급").processed_csv.unlink()
        done = forked.run(finished_root)
        assert done.returncode == 1
        assert "ERROR   check few_rejects of utterances" in done.stdout
        assert not paths.archive("T_서울_화재").embeddings.exists()
        assert executed_steps(finished_root)[len(before) :] == [
            "call_archive[T_서울_화재]",
            "call_recordings[T_서울_화재]",
            "utterances[T_서울_화재]",
            "processed_data[V_광주_구급]",
            *URGENCY,
        ]

    def test_a_killed_run_is_continued(self, storage_root: Path, first_run: FirstRun, forked: CommandServer) -> None:
        paths = StoragePaths(storage_root)
        for zip_file in (*paths.landing_calls.rglob("*_서울_화재.zip"), *paths.landing_calls.rglob("V*.zip")):
            zip_file.unlink()
        with forked.running(storage_root) as command:
            wait(command, paths.manifest("utterances", ARCHIVES[0]).exists)
        done = forked.run(storage_root, "--only", "calls")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 interrupted runs were marked as failed" in done.stdout
        assert executed_steps(storage_root).count(f"utterances[{ARCHIVES[0]}]") == 1
        tables = ("utterances.parquet", "rejects.parquet", "embeddings.parquet", "prosody.parquet")
        for name in (*tables, "processed_data.csv"):
            uninterrupted = StoragePaths(first_run[0]).archive(ARCHIVES[0]).folder / name
            assert (paths.archive(ARCHIVES[0]).folder / name).read_bytes() == uninterrupted.read_bytes()

    def test_a_second_command_is_refused_during_the_first(self, storage_root: Path, forked: CommandServer) -> None:
        with forked.running(storage_root) as command:
            wait(command, StoragePaths(storage_root).manifest("call_recordings", ARCHIVES[0]).exists)
            second = forked.run(storage_root)
        assert second.returncode == 1
        assert "another `urgency-dagster run` is using this storage root" in second.stderr

    def test_ctrl_c_ends_the_command(self, storage_root: Path) -> None:
        with running(storage_root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            wait(process, StoragePaths(storage_root).manifest("call_recordings", ARCHIVES[0]).exists)
            os.killpg(process.pid, signal.SIGINT)
            output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1
        assert output.endswith("Aborted!\n")
        assert not StoragePaths(storage_root).manifest("call_recordings", ARCHIVES[1]).exists()

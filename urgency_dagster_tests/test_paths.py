"""The paths below a storage root."""

from pathlib import Path

import pytest

from urgency_dagster.paths import StoragePaths, shown


def test_the_paths_that_users_see(tmp_path: Path) -> None:
    paths = StoragePaths(tmp_path)
    archive, urgency, attention = paths.archive("T_광주_구급"), paths.urgency, paths.attention
    met = [
        (paths.landing_calls, "landing/calls"),
        (paths.attention_pickle, "landing/attention/attention.pkl"),
        (archive.audio, "calls/T_광주_구급/Wave"),
        (archive.labels, "calls/T_광주_구급/Label"),
        (archive.utterances, "calls/T_광주_구급/utterances.parquet"),
        (archive.rejects, "calls/T_광주_구급/rejects.parquet"),
        (archive.embeddings, "calls/T_광주_구급/embeddings.parquet"),
        (archive.processed_csv, "calls/T_광주_구급/processed_data.csv"),
        (archive.prosody, "calls/T_광주_구급/prosody.parquet"),
        (archive.vectors, "calls/T_광주_구급/wav2vec2_embeddings.npy"),
        (urgency.training_set, "urgency/training_set"),
        (urgency.checkpoint, "urgency/best_model.pt"),
        (urgency.model, "urgency/model"),
        (urgency.evaluation, "urgency/evaluation"),
        (attention.results("rf"), "eval/attention/rf"),
        (attention.fit_cache, "eval/attention/.folds"),
        (attention.leaderboard, "eval/attention/leaderboard.csv"),
        (attention.report, "eval/attention/report.md"),
        (attention.model("rf"), "models/attention/rf.pkl"),
        (attention.card("rf"), "models/attention/rf.json"),
        (paths.dagster_home, "dagster_home"),
        (paths.settings_env, "settings.env"),
    ]
    assert [paths.relative(path) for path, _ in met] == [expected for _, expected in met]


def test_a_path_creates_nothing(tmp_path: Path) -> None:
    StoragePaths(tmp_path / "root").archive("T_x").utterances.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_path_outside_the_root_has_no_relative_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="subpath"):
        StoragePaths(tmp_path / "root").relative(tmp_path / "other")


def test_manifests_of_partitions_have_different_paths(tmp_path: Path) -> None:
    paths = StoragePaths(tmp_path)
    asked = [("a", None), ("a", "T_x"), ("a", "T_y"), ("attention_cv/rf", None)]
    assert len({paths.manifest(*which) for which in asked}) == len(asked)


def test_a_printed_path_is_relative_below_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "storage" / "report.md") == Path("storage/report.md")
    assert shown(tmp_path.parent / "report.md") == tmp_path.parent / "report.md"

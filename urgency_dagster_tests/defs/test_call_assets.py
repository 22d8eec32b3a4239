"""The calls assets, materialised for real on the smallest demo."""

import zipfile
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from urgency_dagster import urgency
from urgency_dagster.calls import build_utterance_table
from urgency_dagster.calls.tables import RejectReason
from urgency_dagster.defs import resources
from urgency_dagster.defs.call_assets import EmbeddingOptions
from urgency_dagster.errors import ArchiveError, ModelError, SettingsError
from urgency_dagster.paths import StoragePaths
from urgency_dagster.pretrained import PretrainedModel
from urgency_dagster.provenance.keys import CALL_ARCHIVE, name_of
from urgency_dagster.provenance.landed import LandedContent
from urgency_dagster.provenance.manifests import read_manifest
from urgency_dagster.settings import Settings
from urgency_dagster_tests.conftest import Builder
from urgency_dagster_tests.defs.materialising import ARCHIVE, materialise


@pytest.fixture
def done(materialised: tuple[Path, dg.ExecuteInProcessResult], made: Settings) -> dg.ExecuteInProcessResult:
    """What Dagster noted of the archive that is complete in the storage root of the test."""
    return materialised[1]


def test_a_pair_becomes_every_file_of_its_folder(done: dg.ExecuteInProcessResult, paths: StoragePaths) -> None:
    files = paths.archive(ARCHIVE)
    assert {file.name for file in files.folder.iterdir()} == {
        "Wave",
        "Label",
        "members.parquet",
        "utterances.parquet",
        "rejects.parquet",
        "embeddings.parquet",
        "encoder.json",
        "prosody.parquet",
        "processed_data.csv",
        "wav2vec2_embeddings.npy",
    }
    assert pq.read_metadata(files.embeddings).num_rows == pq.read_metadata(files.utterances).num_rows > 0


def test_prosody_has_the_rows_of_the_utterances_and_says_what_they_hold(
    done: dg.ExecuteInProcessResult, paths: StoragePaths
) -> None:
    files = paths.archive(ARCHIVE)
    key = ["_id", "utterance_id", "startAt", "endAt"]
    assert pq.read_table(files.prosody, columns=key).equals(pq.read_table(files.utterances, columns=key))
    checks = {check.check_name: check for check in done.get_asset_check_evaluations()}
    assert checks["prosody_fits_rows"].passed
    assert checks["prosody_in_range"].passed
    assert checks["prosody_in_range"].metadata["impossible_values"].value == 0
    events = [event.step_materialization_data.materialization for event in done.get_asset_materialization_events()]
    page = next(event.metadata for event in events if name_of(event.asset_key) == "prosody")
    assert page["dagster/row_count"].value == pq.read_metadata(files.utterances).num_rows
    columns = {column.name: column for column in page["dagster/column_schema"].value.columns}  # type: ignore[union-attr]
    assert columns["f0_median_hz"].description == (
        "Median f0 over the voiced frames. Null if no frame is voiced. Unit: Hz."
    )


@pytest.mark.parametrize(
    ("model", "sentence"),
    [("text", "has no tokenizer files"), ("speech", "cannot be loaded as a speech model")],
)
def test_an_unfit_model_is_refused_before_an_archive_is_unpacked(
    settings: Settings, paths: StoragePaths, model: str, sentence: str
) -> None:
    folder = Path(settings.pretrained[model])
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "preprocessor_config.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(dg.Failure, match=sentence):
        materialise(settings, "call_recordings")
    assert not paths.archive(ARCHIVE).audio.exists()


def test_a_model_is_checked_once_until_its_files_change(
    settings: Settings, paths: StoragePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def load_text_model(source: PretrainedModel) -> object:
        loaded.append(source.revision)
        return urgency.load_text_model(source)

    monkeypatch.setattr(resources, "load_text_model", load_text_model)
    models = resources.ModelsResource(speech=settings.speech_model, text=settings.text_model)
    models.check(paths)
    models.check(paths)
    assert len(loaded) == 1
    (Path(settings.text_model) / "README.md").write_text("other files", encoding="utf-8")
    models.check(paths)
    assert len(set(loaded)) == 2


def test_a_model_that_is_not_on_this_machine_is_not_checked(
    paths: StoragePaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    resources.ModelsResource(speech="somebody/speech", text="somebody/text").check(paths)
    assert not paths.checked_model("any").parent.exists()


def test_crossed_bounds_of_f0_are_refused(settings: Settings) -> None:
    materialise(settings, "call_recordings", "utterances")
    with pytest.raises(dg.Failure, match="f0_min_hz below f0_max_hz") as raised:
        materialise(settings, "prosody", options={"prosody": {"f0_min_hz": 300.0, "f0_max_hz": 200.0}})
    assert isinstance(raised.value.__cause__, SettingsError)


def test_the_damaged_call_is_rejected_and_counted(done: dg.ExecuteInProcessResult, paths: StoragePaths) -> None:
    rejects = pq.read_table(paths.archive(ARCHIVE).rejects)["reason"].to_pylist()
    assert RejectReason.UNREADABLE_AUDIO in rejects
    evaluations = {check.check_name: check for check in done.get_asset_check_evaluations()}
    assert evaluations["counts_add_up"].passed
    counts: dict[str, Any] = {name: value.value for name, value in evaluations["counts_add_up"].metadata.items()}
    assert counts["labelled_utterances"] == counts["kept_or_rejected_utterances"] > 0
    assert evaluations["few_rejects"].passed


def test_no_call_text_or_address_reaches_an_event(done: dg.ExecuteInProcessResult, paths: StoragePaths) -> None:
    texts = {text.strip() for text in pq.read_table(paths.archive(ARCHIVE).utterances)["text"].to_pylist()}
    told = "".join(repr(event) for event in done.all_events)
    assert texts
    assert not [text for text in texts if len(text) > 4 and text in told]


def test_each_asset_leaves_a_manifest_with_its_inputs(done: dg.ExecuteInProcessResult, paths: StoragePaths) -> None:
    manifests = {
        name: read_manifest(paths, name, ARCHIVE)
        for name in ("call_recordings", "utterances", "utterance_embeddings", "processed_data", "prosody")
    }
    assert all(manifests.values())
    assert set(manifests["call_recordings"].inputs) == {"call_archive"}  # type: ignore[union-attr]
    assert set(manifests["prosody"].inputs) == {"call_recordings", "utterances"}  # type: ignore[union-attr]
    assert set(manifests["utterance_embeddings"].inputs) == {"utterances", "pretrained"}  # type: ignore[union-attr]
    assert manifests["utterance_embeddings"].config["workers"] == 1  # type: ignore[union-attr]


def test_dagster_is_told_the_content_as_data_version(done: dg.ExecuteInProcessResult, paths: StoragePaths) -> None:
    events = [event.step_materialization_data.materialization for event in done.get_asset_materialization_events()]
    versions = {name_of(event.asset_key): (event.tags or {})["dagster/data_version"] for event in events}
    assert versions.pop("call_archive") == LandedContent(paths).known_version(CALL_ARCHIVE, ARCHIVE)
    for name, version in versions.items():
        manifest = read_manifest(paths, name, ARCHIVE)
        assert manifest is not None
        assert version == manifest.data_version


def test_a_rerun_gives_the_same_bytes(done: dg.ExecuteInProcessResult, settings: Settings, paths: StoragePaths) -> None:
    before = _contents(paths.archive(ARCHIVE).folder)
    materialise(settings)
    assert _contents(paths.archive(ARCHIVE).folder) == before


def _contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_several_vectors_of_an_utterance_are_an_option(settings: Settings, paths: StoragePaths) -> None:
    result = materialise(settings, options={"utterance_embeddings": {"audio_tokens": 4}})
    evaluations = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert evaluations["vectors_fit_rows"].passed
    assert evaluations["same_as_one_by_one"].passed
    files = paths.archive(ARCHIVE)
    rows, tokens, width = np.load(files.vectors, mmap_mode="r").shape
    assert (rows, tokens) == (pq.read_metadata(files.utterances).num_rows, 4)
    events = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    pages = {name_of(event.asset_key): event.metadata for event in events}
    embedded, processed = pages["utterance_embeddings"], pages["processed_data"]
    assert (embedded["audio_tokens"].value, embedded["width"].value) == ("4", width)
    assert f"[{4 * width}]" in str(embedded["dagster/column_schema"].value)
    assert (processed["audio_tokens"].value, processed["width"].value) == (4, width)


def test_less_than_one_vector_is_no_option() -> None:
    assert EmbeddingOptions().audio_tokens == 1
    with pytest.raises(dg.Failure, match="audio_tokens"):
        EmbeddingOptions(audio_tokens=0)


def test_an_archive_that_is_gone_is_an_error_that_says_so(settings: Settings, paths: StoragePaths) -> None:
    next(paths.landing_calls.rglob("TS_광주_구급.zip")).unlink()
    with pytest.raises(dg.Failure, match="the ZIPs of T_광주_구급 are not") as raised:
        materialise(settings, "call_recordings")
    assert isinstance(raised.value.__cause__, ArchiveError)


def test_a_failed_blocking_check_stops_what_follows(
    settings: Settings, paths: StoragePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A table that loses a row between the count and the check is what the check is for.
    from urgency_dagster.defs import call_assets

    def losing(paths: StoragePaths, archive: str, **options: object) -> dict[str, Any]:
        funnel = build_utterance_table(paths, archive, **options)  # type: ignore[arg-type]
        rejects = paths.archive(archive).rejects
        pq.write_table(pq.read_table(rejects).slice(0, 0), rejects)
        return funnel

    monkeypatch.setattr(call_assets, "build_utterance_table", losing)
    result = materialise(settings, raise_on_error=False)
    assert not result.success
    made = {name_of(event.asset_key) for event in result.get_asset_materialization_events() if event.asset_key}
    assert made == {"call_archive", "call_recordings"}
    assert read_manifest(paths, "utterances", ARCHIVE) is None


def test_an_unreachable_hub_fails_at_once_with_one_sentence(settings: Settings, paths: StoragePaths) -> None:
    from dataclasses import replace

    from urgency_dagster.settings import SPEECH_MODEL

    materialise(settings, "call_recordings", "utterances")
    with pytest.raises(dg.Failure) as raised:
        materialise(replace(settings, speech_model=SPEECH_MODEL), "utterance_embeddings")
    assert isinstance(raised.value.__cause__, ModelError)
    sentence = str(raised.value.description)
    assert SPEECH_MODEL in sentence
    assert "neither in the local cache nor reachable" in sentence
    assert "set URGENCY_SPEECH_MODEL" in sentence


def test_a_second_label_of_the_same_call_rejects_both(settings: Settings, paths: StoragePaths) -> None:
    labels = next(paths.landing_calls.rglob("TL_광주_구급.zip"))
    with zipfile.ZipFile(labels) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name, content = next(iter(members.items()))
    call_id = Path(name).name.partition("_")[0]
    with zipfile.ZipFile(labels, "w") as archive:
        for member, data in {**members, f"{call_id}_again.json": content}.items():
            archive.writestr(member, data)
    materialise(settings, "call_recordings", "utterances")
    rejects = pq.read_table(paths.archive(ARCHIVE).rejects).to_pylist()
    assert {row["reason"] for row in rejects if row["_id"] == call_id} == {RejectReason.DUPLICATE_CALL}
    assert call_id not in pq.read_table(paths.archive(ARCHIVE).utterances)["_id"].to_pylist()


def test_too_many_rejects_stop_what_follows_until_the_limit_is_raised(settings: Settings, paths: StoragePaths) -> None:
    audio = next(paths.landing_calls.rglob("TS_광주_구급.zip"))
    with zipfile.ZipFile(audio) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    kept = dict(sorted(members.items())[: len(members) // 2])
    with zipfile.ZipFile(audio, "w") as archive:
        for name, content in kept.items():
            archive.writestr(name, content)
    result = materialise(settings, raise_on_error=False)
    assert not result.success
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert [check.check_name for check in failed] == ["few_rejects"]
    assert failed[0].metadata["rejected_calls_share"].value >= 0.5  # type: ignore[operator]
    assert "missing_audio" in str(failed[0].metadata["why"].value)
    (failure,) = (event.step_failure_data for event in result.all_events if event.is_step_failure)
    assert failure.user_failure_data is not None
    assert failure.user_failure_data.description == failed[0].description
    assert "rejected: missing audio." in str(failed[0].description)
    assert not paths.archive(ARCHIVE).embeddings.exists()
    assert read_manifest(paths, "utterances", ARCHIVE) is None
    with_limits = {"rejected_calls_max": 1.0, "rejected_utterances_max": 1.0}
    assert materialise(settings, options={"utterances": with_limits}).success
    assert paths.archive(ARCHIVE).embeddings.exists()


def test_the_funnel_and_its_picture_are_on_the_page(done: dg.ExecuteInProcessResult) -> None:
    events = [event.step_materialization_data.materialization for event in done.get_asset_materialization_events()]
    pages = {name_of(event.asset_key): event.metadata for event in events}
    for name in ("utterances", "processed_data"):
        assert "| segments |" in str(pages[name]["funnel"].value)
        assert str(pages[name]["picture"].value).startswith("![funnel](data:image/png;base64,")
    assert "| vectors | 0 |" in str(pages["utterances"]["funnel"].value)
    assert "| vectors | 0 |" not in str(pages["processed_data"]["funnel"].value)


def test_an_archive_that_is_blocked_stays_red_when_another_passes(
    settings: Settings, paths: StoragePaths, build: Builder
) -> None:
    for number, archive in enumerate(("T_부산_구조", "V_부산_구조")):
        build.pair(paths.landing_calls, archive, *build.calls(build.label(build.call_id(number))))
    key = dg.AssetCheckKey(dg.AssetKey("utterances"), "few_rejects")
    with dg.DagsterInstance.ephemeral() as instance:
        for archive, damaged in (("T_부산_구조", True), ("V_부산_구조", False)):
            if damaged:
                zipped = paths.landing_calls / "TS_부산_구조.zip"
                build.zip(zipped, {"000000000000000000000000_20230101.wav": b"RIFF"})
            result = materialise(
                settings,
                "call_recordings",
                "utterances",
                archive=archive,
                instance=instance,
                raise_on_error=False,
            )
            assert result.success is not damaged
        states = instance.event_log_storage.get_asset_check_partition_info([key])
    assert {state.partition_key: state.latest_execution_status.value for state in states} == {
        "T_부산_구조": "FAILED",
        "V_부산_구조": "SUCCEEDED",
    }

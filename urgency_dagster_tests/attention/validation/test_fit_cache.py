import dataclasses
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from urgency_dagster.attention import versions
from urgency_dagster.attention.reading.pickles import AttentionData
from urgency_dagster.attention.validation import cross_validation
from urgency_dagster.attention.validation.cross_validation import cross_validate
from urgency_dagster.attention.validation.fit_cache import FitCache
from urgency_dagster.attention.validation.folds import fit_and_predict
from urgency_dagster.attention.validation.protocol import (
    CrossValidationConfig,
    Fold,
    FoldOutcome,
    PreparedFold,
    Protocol,
)
from urgency_dagster.paths import AttentionPaths

SEQUENTIAL = CrossValidationConfig(backend="sequential")
OUTCOME = FoldOutcome(
    "rf", 2, np.array([0.1, 1 / 3, 0.9]), np.arange(6) / 7, np.array(["HRT#VAL", "나이"]), np.array([1 / 3, 2 / 3])
)
FOLD = Fold(2, np.arange(3, 9), np.arange(3))


@pytest.fixture
def fits(data: AttentionData, paths: AttentionPaths) -> FitCache:
    return FitCache.open(paths.fit_cache, data, Protocol())


def names(fits: FitCache) -> list[str]:
    return sorted(file.name.rpartition("-")[0] for file in fits.folder.iterdir())


def test_a_stored_fit_is_read_to_the_last_bit(fits: FitCache) -> None:
    assert fits.read("rf", FOLD) is None
    fits.write(OUTCOME)
    found = fits.read("rf", FOLD)
    for field in dataclasses.fields(FoldOutcome):
        read, kept = (getattr(outcome, field.name) for outcome in (found, OUTCOME))
        assert read.tobytes() == kept.tobytes() if isinstance(kept, np.ndarray) else read == kept, field.name
    assert fits.read("lgbm", FOLD) is None
    assert fits.read("rf", dataclasses.replace(FOLD, number=3)) is None


def test_only_fits_of_the_same_data_protocol_code_and_libraries_are_read(
    data: AttentionData, paths: AttentionPaths, fits: FitCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = data.X.copy()
    changed["PIF#AGE"] = changed["PIF#AGE"].where(changed.index != 5, -1)
    others = [
        FitCache.open(fits.folder, dataclasses.replace(data, X=changed), Protocol()),
        FitCache.open(fits.folder, dataclasses.replace(data, X=data.X.rename(columns={"PIF#AGE": "a"})), Protocol()),
        FitCache.open(fits.folder, dataclasses.replace(data, y=1 - data.y), Protocol()),
        FitCache.open(fits.folder, dataclasses.replace(data, groups=data.groups[::-1]), Protocol()),
        FitCache.open(fits.folder, data, Protocol(seed=1)),
        FitCache.open(fits.folder, data, Protocol(oversample=True)),
    ]
    for library in ("scikit-learn", "imbalanced-learn"):
        monkeypatch.setattr(versions, "version", lambda name, other=library: "0.1" if name == other else version(name))
        others.append(FitCache.open(fits.folder, data, Protocol()))
    monkeypatch.setattr(versions, "version", version)
    monkeypatch.setattr(versions, "CODE_VERSIONS", {**versions.CODE_VERSIONS, "attention_cv": "other code"})
    others.append(FitCache.open(fits.folder, data, Protocol()))
    fits.write(OUTCOME)
    assert [other.read("rf", FOLD) for other in others] == [None] * len(others)
    assert len({other.identity for other in others}) == len(others)
    monkeypatch.undo()
    assert FitCache.open(fits.folder, data, Protocol()).read("rf", FOLD) is not None


def damage(path: Path, kind: str) -> None:
    whole = path.read_bytes()
    if kind == "objects":
        np.savez(path, probability=np.array([{}], dtype=object))
    elif kind in ("probability", "train_probability"):
        np.savez(path, **{**dataclasses.asdict(OUTCOME), kind: np.ones(4)})
    elif kind == "other names":
        np.savez(path, model="rf", fold=2)
    else:
        path.write_bytes({"empty": b"", "cut": whole[:-30], "text": b"no archive"}[kind])


@pytest.mark.parametrize("kind", ["empty", "cut", "text", "objects", "probability", "train_probability", "other names"])
def test_a_damaged_file_counts_as_none(fits: FitCache, kind: str) -> None:
    fits.write(OUTCOME)
    (file,) = fits.folder.iterdir()
    damage(file, kind)
    assert fits.read("rf", FOLD) is None
    fits.write(OUTCOME)
    assert fits.read("rf", FOLD) is not None


def test_removing_a_model_leaves_the_others(fits: FitCache) -> None:
    other = dataclasses.replace(fits, identity="0" * 16)
    for store in (fits, other):
        for model in ("rf", "lgbm"):
            store.write(dataclasses.replace(OUTCOME, model=model))
    fits.remove(["rf", "logreg"])
    assert names(fits) == ["lgbm-2", "lgbm-2"]
    fits.remove(["voting"])
    assert names(fits) == []
    FitCache(fits.folder / "never written", fits.identity).remove(["rf"])


def test_other_fits_finish_if_one_fit_fails(
    data: AttentionData, fits: FitCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(model: str, prepared: PreparedFold, protocol: Protocol) -> FoldOutcome:
        if (model, prepared.number) in {("lgbm", 2), ("rf", 4)}:
            raise RuntimeError(f"no memory for {model}")
        return fit_and_predict(model, prepared, protocol)

    undisturbed = cross_validate(data, ["voting"], SEQUENTIAL)["voting"]
    monkeypatch.setattr(cross_validation, "fit_and_predict", failing)
    with pytest.raises(RuntimeError, match="no memory for lgbm") as caught:
        cross_validate(data, ["voting"], SEQUENTIAL, cache=fits)
    assert caught.value.__notes__ == [
        "while fitting lgbm in fold 2",
        "1 more fits failed; the other fits are finished",
    ]
    whole = {f"{model}-{fold}" for model in ("logreg", "rf", "lgbm") for fold in range(1, 6)}
    assert names(fits) == sorted(whole - {"lgbm-2", "rf-4"})

    fitted: list[tuple[str, int]] = []
    seen: list[tuple[int, int]] = []

    def counted(model: str, prepared: PreparedFold, protocol: Protocol) -> FoldOutcome:
        fitted.append((model, prepared.number))
        return fit_and_predict(model, prepared, protocol)

    monkeypatch.setattr(cross_validation, "fit_and_predict", counted)
    result = cross_validate(
        data, ["voting"], SEQUENTIAL, lambda done, total, **_: seen.append((done, total)), cache=fits
    )["voting"]
    assert fitted == [("lgbm", 2), ("rf", 4)]
    assert seen == [(14, 15), (15, 15)]
    assert (result.reused, undisturbed.reused) == (3, 0)
    pd.testing.assert_frame_equal(result.predictions, undisturbed.predictions, check_exact=True)
    pd.testing.assert_frame_equal(result.folds, undisturbed.folds, check_exact=True)


def test_with_all_fits_stored_nothing_is_fitted_and_no_ray_is_started(
    data: AttentionData, fits: FitCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cross_validate(data, ["logreg"], SEQUENTIAL, cache=fits)["logreg"]
    monkeypatch.setattr(cross_validation, "fit_on_ray", lambda *_: pytest.fail("started"))
    again = cross_validate(data, ["logreg"], CrossValidationConfig(), cache=fits)["logreg"]
    assert again.reused == 5
    pd.testing.assert_frame_equal(again.predictions, before.predictions, check_exact=True)

"""The view of attention: a file of rows, five models, their reasons."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from urgency_dagster.attention import MODEL_NAMES, load_model
from urgency_dagster.paths import StoragePaths
from urgency_dagster_tests.attention.conftest import make_data
from urgency_dagster_tests.serving.page.conftest import Open
from urgency_dagster_tests.serving.page.dashboard import Dashboard

pytestmark = pytest.mark.slow

COUNT = 6


@pytest.fixture(scope="module", params=["csv", "json"])
def rows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with rows, and with a column that no model knows."""
    frame = make_data().X.head(COUNT).assign(note="only here")
    file = tmp_path_factory.mktemp("rows") / f"rows.{request.param}"
    if file.suffix == ".csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_json(file, orient="records")
    return file


def asked(dashboard: Dashboard, file: Path) -> Any:
    """Asks about a file; returns the request and the answer."""
    dashboard.go("attention")
    with dashboard.page.expect_response("**/v1/attention") as answered:
        dashboard.page.set_input_files("#file-rows", file)
    expect(dashboard.page.locator(".model-card")).to_have_count(len(MODEL_NAMES))
    return answered.value


def test_the_answers_are_those_of_the_exported_models(open_page: Open, rows: Path, shown_root: StoragePaths) -> None:
    answer = asked(open_page(), rows).json()["models"]
    features = make_data().X.head(COUNT)
    assert set(answer) == set(MODEL_NAMES)
    for name in MODEL_NAMES:
        expected = load_model(shown_root.attention.model(name)).predict(features)
        found = [row["probability"] for row in answer[name]["rows"]]
        assert found == pytest.approx([row.probability for row in expected.rows], abs=1e-5)


def test_every_model_shows_its_answer_and_its_reasons(open_page: Open, rows: Path, language: str) -> None:
    dashboard = open_page(language)
    answer = asked(dashboard, rows).json()["models"]
    body = dashboard.page.locator(".attention-rows tbody tr")
    expect(body).to_have_count(COUNT)
    body.first.focus()
    dashboard.page.keyboard.press("ArrowDown")
    for name, found in answer.items():
        card = dashboard.page.get_by_role("article", name=dashboard.say(f"model.{name}"))
        row = found["rows"][1]
        expect(card).to_contain_text(f"{row['probability'] * 100:.1f} %")
        assert card.locator("code").all_inner_texts() == [reason["feature"] for reason in row["reasons"]]


def test_only_columns_of_the_models_are_sent(open_page: Open, rows: Path, shown_root: StoragePaths) -> None:
    sent = json.loads(asked(open_page(), rows).request.post_data)["rows"]
    used = {name for model in MODEL_NAMES for name in load_model(shown_root.attention.model(model)).used_columns}
    assert all(set(row) == used for row in sent)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("", "rows.not_csv"),
        ("a,b\n", "rows.none"),
        ("a,b\n1", "rows.ragged"),
        ("[1]", "rows.not_objects"),
        ("{", "rows.not_json"),
    ],
)
def test_an_unusable_file_is_said(open_page: Open, tmp_path: Path, content: str, key: str, language: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(content)
    dashboard = open_page(language)
    dashboard.go("attention")
    dashboard.page.set_input_files("#file-rows", file)
    dashboard.sees(dashboard.say(key, row=1))


def test_rows_without_the_columns_are_a_problem(open_page: Open, tmp_path: Path, language: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n1,2\n")
    dashboard = open_page(language)
    dashboard.go("attention")
    dashboard.page.set_input_files("#file-rows", file)
    expect(dashboard.page.get_by_role("alert")).to_contain_text(dashboard.say("problem.unusable-rows"))
    assert "422" in dashboard.errors.pop()

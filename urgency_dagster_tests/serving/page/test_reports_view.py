"""The view of the reports."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from urgency_dagster.paths import StoragePaths
from urgency_dagster.serving import ServingConfig
from urgency_dagster.urgency import read_metrics
from urgency_dagster_tests.serving.conftest import ServedRoot
from urgency_dagster_tests.serving.page.conftest import Open, serving

pytestmark = pytest.mark.slow


def test_the_evaluation_is_that_of_the_root(open_page: Open, shown_root: StoragePaths, language: str) -> None:
    metrics = read_metrics(shown_root)
    assert metrics
    dashboard = open_page(language)
    dashboard.go("reports")
    row = dashboard.page.get_by_role("row", name=dashboard.say("section.call"))
    expect(row).to_contain_text(f"{metrics['call']['urgency']['f1_macro']:.3f}")
    for picture in dashboard.page.locator(".pictures img").all():
        assert picture.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 100
    dashboard.page.locator("summary").click()
    dashboard.sees("Limits of these scores")


def test_the_leaderboard_and_the_audit(open_page: Open, language: str) -> None:
    dashboard = open_page(language)
    dashboard.go("reports")
    dashboard.page.get_by_role("tab", name=dashboard.say("reports.attention")).click()
    expect(dashboard.page.get_by_role("row", name=dashboard.say("model.dummy"))).to_be_visible()
    dashboard.sees(dashboard.say("audit.certain"))


def test_scored_archives_and_their_monitoring(open_page: Open, language: str) -> None:
    dashboard = open_page(language)
    dashboard.go("reports")
    dashboard.page.get_by_role("tab", name=dashboard.say("reports.scoring")).click()
    dashboard.sees(dashboard.say("scoring.calls_of", calls=8, recordings=8))
    dashboard.button("scoring.compare").click()
    dashboard.sees(dashboard.say("drift.none"))
    expect(dashboard.page.get_by_role("row", name=dashboard.say("shared.clipped"))).to_be_visible()


def test_tabs_move_by_arrows(open_page: Open) -> None:
    dashboard = open_page()
    dashboard.go("reports")
    dashboard.page.get_by_role("tab", name=dashboard.say("reports.urgency")).focus()
    dashboard.page.keyboard.press("ArrowRight")
    expect(dashboard.page.get_by_role("tab", name=dashboard.say("reports.attention"))).to_be_focused()
    dashboard.page.keyboard.press("ArrowLeft")
    dashboard.page.keyboard.press("ArrowLeft")
    expect(dashboard.page.get_by_role("tab", name=dashboard.say("reports.scoring"))).to_have_attribute(
        "aria-selected", "true"
    )


def test_missing_reports_say_how_to_make_them(
    open_page: Open, served_root: ServedRoot, tmp_path: Path, language: str
) -> None:
    with serving(ServingConfig(served_root.paths.root)) as address:
        dashboard = open_page(language, at=address)
        dashboard.go("reports")
        dashboard.page.get_by_role("tab", name=dashboard.say("reports.scoring")).click()
        dashboard.sees(dashboard.say("reports.no_scoring"))
        dashboard.sees(dashboard.say("reports.run"))


def test_text_of_a_report_is_never_html(open_page: Open) -> None:
    dashboard = open_page()
    found = dashboard.page.evaluate(
        """async () => {
            const { reportText } = await import("./page/scripts/report_text.js");
            const table = "| a | <b>b</b> |\\n| --- | --- |\\n| `<i>` | [x](y) |";
            const text = reportText(`# <img src=x>\\n\\n${table}\\n\\n- <u>\\n  c`);
            return [text.querySelectorAll("img, b, i, u").length, text.innerText];
        }"""
    )
    assert found[0] == 0
    assert "<img src=x>" in found[1]
    assert "<b>b</b>" in found[1]

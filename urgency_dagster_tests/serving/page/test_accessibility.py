"""axe-core finds nothing serious in any view, in both languages and both colour schemes."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from urgency_dagster_tests.attention.conftest import make_data
from urgency_dagster_tests.serving.page.conftest import VALIDATION, Open
from urgency_dagster_tests.serving.page.dashboard import Dashboard
from urgency_dagster_tests.urgency.spoken import SpokenRoot

pytestmark = pytest.mark.slow

AXE = Path(__file__).with_name("axe") / "axe.min.js"

RUN = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"


def findings(dashboard: Dashboard) -> list[dict[str, Any]]:
    """What axe-core finds, with the elements."""
    dashboard.page.evaluate(AXE.read_text(encoding="utf-8"))
    found = dashboard.page.evaluate(RUN)
    return [
        {"id": each["id"], "impact": each["impact"], "where": [node["html"][:200] for node in each["nodes"]]}
        for each in found
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_found(open_page: Open, spoken: SpokenRoot, tmp_path: Path, language: str, scheme: str) -> None:
    # axe-core sets inline styles while it measures. Without motion, it does not meet the pulse of an alarm.
    dashboard = open_page(language, color_scheme=scheme, reduced_motion="reduce", bypass_csp=True)
    assert findings(dashboard) == []
    archive = spoken.paths.archive(VALIDATION)
    dashboard.analyse(min(archive.audio.iterdir()), min(archive.labels.iterdir()))
    assert findings(dashboard) == []

    dashboard.go("attention")
    assert findings(dashboard) == []
    rows = tmp_path / "rows.csv"
    make_data().X.head(3).to_csv(rows, index=False)
    dashboard.page.set_input_files("#file-rows", rows)
    expect(dashboard.page.locator(".model-card")).to_have_count(5)
    assert findings(dashboard) == []

    dashboard.go("reports")
    for name, shown in (("urgency", ".pictures img"), ("attention", ".pictures img"), ("scoring", ".share-bar")):
        dashboard.page.get_by_role("tab", name=dashboard.say(f"reports.{name}")).click()
        expect(dashboard.page.locator(shown).first).to_be_visible()
        for folded in dashboard.page.locator("summary").all():
            folded.click()
        assert findings(dashboard) == [], name
    dashboard.button("scoring.compare").click()
    dashboard.sees(dashboard.say("share.caption"))
    assert findings(dashboard) == []

    dashboard.go("models")
    dashboard.sees(dashboard.say("models.no_decision"))
    assert findings(dashboard) == []

"""Takes the pictures of this folder again, from a finished demo.

make demo
.venv/bin/urgency-dagster dev --storage storage/demo --port 3477       # in another terminal
.venv/bin/urgency-dagster serve --storage storage/demo                 # in another terminal
python -m pip install playwright markdown pillow pandas pyarrow       # in an environment of its own
python docs/images/screenshots.py --storage storage/demo --ui http://127.0.0.1:3477 --chromium /usr/bin/chromium
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from markdown import markdown
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, sync_playwright

FOLDER = Path(__file__).resolve().parent
GROUPS = ("calls", "urgency")
"""The groups whose assets the picture of the asset graph shows; the rest are closed boxes."""

REPORT_SECTIONS = ("Scores", "Confusion matrices")
"""The sections of the evaluation report that its picture shows."""

SCALE = 2
LOADING_MS = 12_000
DRAWING_MS = 1_500
CALL, ROWS = 5, 12
"""The call and the number of rows that the pictures of the dashboard show."""

COLOURS = 128
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 24px; width: 1080px; color: #222 }
table { border-collapse: collapse; font-size: 13px }
td, th { border: 1px solid #ccc; padding: 4px 8px; text-align: left }
img { width: 49%; margin: 4px 0 } img[src*=sentiment] { display: none }
"""


def main() -> None:
    """Takes every picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--ui", required=True)
    parser.add_argument("--dashboard", default="http://127.0.0.1:8000")
    parser.add_argument("--chromium", required=True)
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=["--no-sandbox"])
        graph(browser, arguments.ui, FOLDER / "asset-graph.png")
        report(browser, arguments.storage / "urgency" / "evaluation" / "report.md", FOLDER / "urgency-report.png")
        dashboard(browser, arguments.dashboard, arguments.storage)
        browser.close()


def dashboard(browser: Browser, address: str, storage: Path) -> None:
    """The views of the dashboard: a call of the validation side in both languages and colours, and the others."""
    archive = next((storage / "calls").glob("V_*"))
    audio = sorted((archive / "Wave").glob("*.wav"))[CALL]
    files = {"audio": audio, "turns": archive / "Label" / f"{audio.stem}.json"}
    for locale, scheme in (("ko-KR", "light"), ("en-GB", "dark")):
        with _page(browser, 1400, 900, scale=1, locale=locale, color_scheme=scheme) as page:
            page.goto(address)
            for name, file in files.items():
                page.set_input_files(f"#file-{name}", file)
            page.locator(".drop .primary").click()
            page.locator(".player button:enabled").wait_for()
            page.wait_for_timeout(DRAWING_MS)
            page.screenshot(path=FOLDER / f"dashboard-call-{locale[:2]}-{scheme}.png", full_page=True)
    with _page(browser, 1400, 900, scale=1, locale="en-GB", color_scheme="light") as page:
        page.goto(f"{address}/#attention")
        page.set_input_files("#file-rows", _first_rows(storage))
        page.locator(".model-card").first.wait_for()
        page.screenshot(path=FOLDER / "dashboard-attention.png", full_page=True)
        page.goto(f"{address}/#reports")
        page.locator(".pictures img").first.wait_for()
        page.wait_for_timeout(DRAWING_MS)
        page.screenshot(path=FOLDER / "dashboard-reports.png", full_page=True)


def _first_rows(storage: Path) -> FilePayload:
    """A CSV with some rows of the features."""
    rows = pd.read_parquet(storage / "attention" / "features.parquet").head(ROWS)
    return {"name": "rows.csv", "mimeType": "text/csv", "buffer": rows.to_csv(index=False).encode()}


def graph(browser: Browser, ui: str, picture: Path) -> None:
    """The assets of GROUPS, as the Dagster UI draws them."""
    expanded = quote(",".join(f"global@global:{group}" for group in GROUPS))
    with _page(browser, 1500, 1400) as page:
        page.goto(f"{ui}/asset-groups?expanded={expanded}")
        page.wait_for_timeout(LOADING_MS)
        page.screenshot(path=picture, clip=_extent(page))
    _shrink(picture)


def _extent(page: Page) -> dict[str, float]:
    """The smallest rectangle around the graph, with a margin."""
    boxes = [box for item in page.locator("foreignObject").all() if (box := item.bounding_box())]
    left, top = (min(box[side] for box in boxes) - 12 for side in ("x", "y"))
    right = max(box["x"] + box["width"] for box in boxes) + 12
    bottom = max(box["y"] + box["height"] for box in boxes) + 12
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def report(browser: Browser, source: Path, picture: Path) -> None:
    """The title and some sections of an evaluation report, rendered."""
    title, *sections = source.read_text(encoding="utf-8").split("\n## ")
    shown = [section for section in sections if section.startswith(REPORT_SECTIONS)]
    body = markdown("\n## ".join([title, *shown]), extensions=["tables"])
    page_file = source.with_name("report.html")
    page_file.write_text(f"<meta charset=utf-8><style>{STYLE}</style>{body}", encoding="utf-8")
    with _page(browser, 1130, 800) as page:
        page.goto(page_file.as_uri())
        page.screenshot(path=picture, full_page=True)
    page_file.unlink()
    _shrink(picture)


@contextmanager
def _page(browser: Browser, width: int, height: int, scale: int = SCALE, **context: Any) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale, **context)
    yield page
    page.close()


def _shrink(picture: Path) -> None:
    """Fewer colours: a quarter of the bytes, and no difference to see."""
    Image.open(picture).convert("RGB").quantize(COLOURS).save(picture, optimize=True)


if __name__ == "__main__":
    main()

"""Takes the pictures of this folder again, from a finished demo.

make demo
.venv/bin/urgency-dagster dev --storage storage/demo --port 3477       # in another terminal
python -m pip install playwright markdown pillow                       # in an environment of its own
python docs/images/screenshots.py --storage storage/demo --ui http://127.0.0.1:3477 --chromium /usr/bin/chromium
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from markdown import markdown
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).resolve().parent
GROUPS = ("calls", "urgency")
"""The groups whose assets the picture of the asset graph shows; the rest are closed boxes."""

REPORT_SECTIONS = ("Scores", "Confusion matrices")
"""The sections of the evaluation report that its picture shows."""

SCALE = 2
LOADING_MS = 12_000
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
    parser.add_argument("--chromium", required=True)
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=["--no-sandbox"])
        graph(browser, arguments.ui, FOLDER / "asset-graph.png")
        report(browser, arguments.storage / "urgency" / "evaluation" / "report.md", FOLDER / "urgency-report.png")
        browser.close()


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
def _page(browser: Browser, width: int, height: int) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=SCALE)
    yield page
    page.close()


def _shrink(picture: Path) -> None:
    """Fewer colours: a quarter of the bytes, and no difference to see."""
    Image.open(picture).convert("RGB").quantize(COLOURS).save(picture, optimize=True)


if __name__ == "__main__":
    main()

"""The files of the page without a browser: words, vendored libraries, what the scripts may not do."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from urgency_dagster_tests.serving.page.dashboard import PAGE, words_of

AXE = Path(__file__).with_name("axe")
LICENCES = Path(__file__).parents[3] / "docs" / "licences.md"
SCRIPTS = sorted((PAGE / "scripts").rglob("*.js"))
MODULES = [script for script in SCRIPTS if script.parent.name == "scripts"]
SOURCES = "\n".join(file.read_text(encoding="utf-8") for file in [PAGE / "index.html", *MODULES])


def test_both_tables_of_words_have_the_same_keys_and_values() -> None:
    korean, english = words_of("ko"), words_of("en")
    assert list(korean) == list(english)
    for key, sentence in korean.items():
        assert sorted(re.findall(r"\{\w+\}", sentence)) == sorted(re.findall(r"\{\w+\}", english[key])), key
        assert sentence, key
        assert english[key], key


def test_no_key_is_twice_in_a_table() -> None:
    for language in ("ko", "en"):
        text = (PAGE / "scripts" / "words" / f"{language}.js").read_text(encoding="utf-8")
        pairs: list[tuple[str, str]] = []
        json.loads(text.partition("export default")[2].rstrip().rstrip(";"), object_pairs_hook=pairs.extend)
        assert len(pairs) == len(dict(pairs))


def test_every_word_that_the_page_says_is_in_the_tables() -> None:
    said = set(re.findall(r'say\("([^"]+)"|data-word(?:-label)?"?[=:] ?"([^"]+)"|UnusableFile\("([^"]+)"', SOURCES))
    keys = {next(filter(None, groups)) for groups in said}
    assert len(keys) > 60
    assert keys <= words_of("en").keys()


def test_every_group_that_the_page_builds_a_key_of_is_in_the_tables() -> None:
    groups = set(re.findall(r'(?:say\(|data-word": )`([\w.]+?)[._]\$\{|name\("(\w+)"', SOURCES))
    words = words_of("en")
    for group in filter(None, (one or other for one, other in groups)):
        assert any(key.startswith((f"{group}.", f"{group}_")) for key in words), group


@pytest.mark.parametrize("folder", [PAGE / "vendor", AXE], ids=["vendor", "axe"])
def test_the_files_of_others_are_as_published(folder: Path) -> None:
    listed = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    del found["SHA256SUMS"]
    assert listed == found


def test_the_files_of_others_have_their_licences() -> None:
    assert "BSD 3-Clause License" in (PAGE / "vendor" / "wavesurfer.LICENSE.txt").read_text()
    assert "The MIT License" in (PAGE / "vendor" / "uPlot.LICENSE.txt").read_text()
    assert "Mozilla Public License, version 2.0" in (AXE / "LICENSE").read_text()
    page = LICENCES.read_text(encoding="utf-8")
    for name in ("wavesurfer.js 8.0.1", "uPlot 1.6.32", "axe-core 4.14.1"):
        assert name in page


@pytest.mark.parametrize(
    "forbidden", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http://", "https://"]
)
def test_no_script_makes_html_of_data_or_names_another_host(forbidden: str) -> None:
    names = [script.name for script in SCRIPTS if forbidden in script.read_text(encoding="utf-8")]
    assert names == []


def test_the_page_has_no_inline_script_or_style() -> None:
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|style=|<script(?![^>]* src=)|\son\w+=", page)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_script_is_well_formed(script: Path) -> None:
    checked = subprocess.run(
        ["node", "--check", "--input-type=module"], input=script.read_bytes(), capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr.decode()

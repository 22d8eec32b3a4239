"""The pages, the site built from them, and the finished storage root that examples run on."""

import logging
import warnings
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from urgency_dagster_tests.defs.conftest import audit, finished_root, first_run
from urgency_dagster_tests.docs.markdown import ROOT

__all__ = ["audit", "finished_root", "first_run"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(folder))
        build(config)
    logging.getLogger("mkdocs").handlers.clear()
    return folder

"""The dashboard: one page at `/`, its styles and scripts below `/page`. None of them needs the token."""

import os
import secrets
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

from urgency_dagster.serving.security import CONTENT_SECURITY_POLICY

PAGE = Path(str(files("urgency_dagster.serving"))) / "page"

NONCE_MARK = "{{nonce}}"
"""Stands in `index.html` for the nonce."""

ASK_AGAIN = {"cache-control": "no-cache"}
"""A browser keeps a file and asks whether it has changed."""

router = APIRouter(include_in_schema=False)


@router.get("/")
async def dashboard() -> HTMLResponse:
    """The page, with a new nonce: the waveform needs one for the style of its shadow tree."""
    nonce = secrets.token_urlsafe(16)
    page = (PAGE / "index.html").read_text(encoding="utf-8").replace(NONCE_MARK, nonce)
    policy = f"{CONTENT_SECURITY_POLICY}; style-src 'self' 'nonce-{nonce}'"
    return HTMLResponse(page, headers={"content-security-policy": policy})


class PageFiles(StaticFiles):
    """The styles and scripts of the page."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The answer with a file, or that the file has not changed."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(ASK_AGAIN)
        return response


def add_dashboard(app: FastAPI) -> None:
    """Adds the page and its files to the application."""
    app.include_router(router)
    app.mount("/page", PageFiles(directory=PAGE), name="page")

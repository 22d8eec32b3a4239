"""The dashboard: one page at `/`, its styles and scripts below `/page`. None of them needs the token."""

import secrets
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

PAGE = Path(str(files("urgency_dagster.serving"))) / "page"

POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'{nonce}"
)
"""The content security policy. The waveform needs a nonce for the style of its shadow tree; audio is a blob."""

HEADERS = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

NONCE_MARK = "{{nonce}}"

router = APIRouter(include_in_schema=False)


@router.get("/")
async def dashboard() -> HTMLResponse:
    """The page, with a new nonce."""
    nonce = secrets.token_urlsafe(16)
    page = (PAGE / "index.html").read_text(encoding="utf-8").replace(NONCE_MARK, nonce)
    return HTMLResponse(page, headers={**HEADERS, "Content-Security-Policy": POLICY.format(nonce=f" 'nonce-{nonce}'")})


class PageFiles(StaticFiles):
    """The styles and scripts, with the headers of the page."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = HEADERS | {"Content-Security-Policy": POLICY.format(nonce="")}
                added = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await super().__call__(scope, receive, send_with_headers)


def add_dashboard(app: FastAPI) -> None:
    """Adds the page and its files to the application."""
    app.include_router(router)
    app.mount("/page", PageFiles(directory=PAGE), name="page")

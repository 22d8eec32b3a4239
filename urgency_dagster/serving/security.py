"""Who may ask: the host, the origin and the token of a request; and the headers that protect a browser."""

import base64
import binascii
import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from urgency_dagster.serving.configuration import LOOPBACK_NAMES, ServingConfig
from urgency_dagster.serving.problems import FOREIGN_HOST, FOREIGN_ORIGIN, UNAUTHORISED, Fault, Problem

PROBE_PATHS = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""Paths of the probes of an orchestrator."""

OPEN_PATHS = PROBE_PATHS | {"/"}
"""Paths without a token: probes of an orchestrator and the start of the dashboard carry none, and get no data."""

OPEN_FOLDER = "/page/"
"""The files of the dashboard, which asks for the token."""

TOKEN_PROTOCOL = "bearer."  # noqa: S105 - the name of a subprotocol
"""Start of the WebSocket subprotocol that carries the token in base64url. A browser can set no header there."""

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; media-src 'self' blob:; img-src 'self' blob: data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""A page may load only what this server sends it."""

SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

NOT_STORED = {"cache-control": "no-store"}
"""An answer about a call is kept by no cache. A static file sets its own `cache-control`."""


class Security:
    """ASGI middleware that refuses requests of others, and adds the security headers.

    Without a token the server answers only requests that name a loopback host, so that a page of another site cannot
    reach it through a name of its own (DNS rebinding). A page of another origin is always refused.

    Args:
        app: the application.
        config: the token and the address.
    """

    def __init__(self, app: ASGIApp, config: ServingConfig) -> None:
        self._app = app
        self._token = config.token.encode() if config.token else None
        self._hosts = LOOPBACK_NAMES | {config.host.strip("[]").lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it with a problem document; a WebSocket is refused before it opens."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(raw=message["headers"])
                for name, value in (SECURITY_HEADERS | NOT_STORED).items():
                    headers.setdefault(name, value)
            await send(message)

        problem = self._refusal(scope)
        if problem is None:
            await self._app(scope, receive, send_with_headers)
        else:
            await problem.response()(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        if self._token is None and _host_name(headers.get("host", "")) not in self._hosts:
            return Problem(FOREIGN_HOST, "The header Host names another host.", [Fault("another host", None, "Host")])
        if _is_foreign(headers):
            return Problem(FOREIGN_ORIGIN, "Pages of other origins may not ask.", [Fault("foreign", None, "Origin")])
        if self._token is None or _is_open(scope["path"]) or self._holds_token(headers):
            return None
        detail = "A token is needed: `Authorization: Bearer <token>`."
        faults = [Fault("no valid token", None, "Authorization")]
        return Problem(UNAUTHORISED, detail, faults, {"www-authenticate": "Bearer"})

    def _holds_token(self, headers: Headers) -> bool:
        """Whether the token is in `Authorization`, or in a subprotocol of a WebSocket."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        offered = [token.strip(" ").encode("latin-1")] if scheme.lower() == "bearer" else []
        protocols = headers.get("sec-websocket-protocol", "").split(",")
        offered += [_decoded(name.strip()) for name in protocols if name.strip().startswith(TOKEN_PROTOCOL)]
        return any(hmac.compare_digest(candidate, self._token or b"") for candidate in offered)


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


def _decoded(protocol: str) -> bytes:
    encoded = protocol.removeprefix(TOKEN_PROTOCOL)
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        return b""


def _host_name(authority: str) -> str:
    """The host of `host:port`, in lower case and without brackets; empty if there is none."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


def _is_foreign(headers: Headers) -> bool:
    """Whether a page of another origin asks. Programs that are no browser send neither header."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site not in ("same-origin", "none")
    return origin is not None and _authority(origin) != headers.get("host", "").lower()


def _authority(origin: str) -> str:
    """`host:port` of an origin, in lower case; empty if it is no origin."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""

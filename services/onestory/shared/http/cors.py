"""Cross-Origin Resource Sharing for the origins of the setting (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
EXPOSED_HEADERS = (
    "Allow",
    "Content-Location",
    "ETag",
    "Last-Modified",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "WWW-Authenticate",
    "X-Correlation-Id",
    "X-OneStory-Event-Id",
    "X-OneStory-Position",
    "X-OneStory-Record-Digest",
    "X-OneStory-Superseded",
    "X-Request-Id",
)
"""The headers of answers that scripts may read."""


def with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Return the application with CORS for these origins, or as it is where there are none.

    Tokens come in Authorization, so cookies and other credentials of the browser are not allowed.
    """
    if not origins:
        return app
    return _Cors(
        app, allow_origins=origins, allow_methods=_METHODS, allow_headers=["*"], expose_headers=EXPOSED_HEADERS
    )


class _Cors(CORSMiddleware):
    """Starlette's CORS, with the same answer to OPTIONS for other origins as without CORS."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = Headers(scope=scope).get("origin") if scope["type"] == "http" else None
        if scope.get("method") == "OPTIONS" and (origin is None or not self.is_allowed_origin(origin)):
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return 204 without a body. A browser reads the permission from the headers."""
        preflight = super().preflight_response(request_headers)
        headers = {name: value for name, value in preflight.headers.items() if not name.startswith("content-")}
        return Response(status_code=204, headers=headers)

"""A document that does not change while the process runs: it is encoded once, and has an ETag."""

from __future__ import annotations

import hashlib

from starlette.requests import Request
from starlette.responses import Response

from onestory.shared.http.request import has_version

# A cache may keep the document, and asks each time whether it has changed. It holds no personal data.
_CACHE_CONTROL = "no-cache"


class StaticDocument:
    """A document in memory."""

    def __init__(self, content: bytes, media_type: str) -> None:
        self._content = content
        self._media_type = media_type
        self._headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"', "Cache-Control": _CACHE_CONTROL}

    def answer(self, request: Request) -> Response:
        """Return the document, or 304 if If-None-Match has its ETag."""
        if has_version(request, self._headers["ETag"]):
            return Response(status_code=304, headers=self._headers)
        return Response(self._content, 200, self._headers, self._media_type)

"""Answers: bodies with their version, not modified, links to pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.domain.search.place import CURSOR, PastPlace, Place, SortedPlace
from onestory.record.domain.search.question import Parameters, Question
from onestory.shared.fhir.bundle import etag
from onestory.shared.openapi import FHIR_JSON

RECORD_DIGEST = "X-OneStory-Record-Digest"
_OF_THE_REQUEST = ("after", CURSOR)


def resource(request: Request, content: bytes, version_id: object, last_updated: datetime | None) -> Response:
    """A resource with ETag and Last-Modified, or 304 (FHIR R4 http.html#cread)."""
    headers = {"ETag": etag(version_id)}
    if last_updated:
        headers["Last-Modified"] = format_datetime(last_updated, usegmt=True)
    return unless_known(request, lambda: content, headers)


def unless_known(request: Request, write: Callable[[], bytes], headers: Mapping[str, str]) -> Response:
    """What `write` gives, or 304 when the caller has this version of it."""
    if knows(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(write(), headers=headers, media_type=FHIR_JSON)


def body(content: bytes) -> Response:
    """An answer without a version of its own."""
    return Response(content, media_type=FHIR_JSON)


def knows(request: Request, tag: str) -> bool:
    """Whether If-None-Match names this version; weak and strong tags are the same here (RFC 9110, 13.1.2)."""
    wanted = request.headers.get("If-None-Match")
    if wanted is None:
        return False
    return tag.removeprefix("W/") in {each.strip().removeprefix("W/") for each in wanted.split(",")} or wanted == "*"


def page_url(
    address: str, parameters: Parameters, question: Question, after: Place | SortedPlace | PastPlace | None = None
) -> str:
    """The URL of this page, or of the page after a place. It names the parameters that were used."""
    used = [(name, value) for name, value in parameters if name not in question.ignored and name not in _OF_THE_REQUEST]
    place = after or question.after
    # A comma separates alternatives (search.html#combining): not everybody who reads links decodes it.
    query = urlencode([*used, *([(CURSOR, place.to_cursor())] if place.id else [])], safe=",")
    return f"{address}?{query}" if query else address

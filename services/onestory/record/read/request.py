"""What a request asks: its parameters, from query and form, and how strictly they are to be taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.read.access import Access, RecordAccess
from onestory.record.search.parameters import Parameters, RecordQuery, as_of, one
from onestory.record.search.sorting import CURSOR, EntryPlace, PastPlace, SortedPlace
from onestory.shared.errors import Malformed, TooLarge, Unavailable, WrongMediaType
from onestory.shared.fhir.bundle import etag
from onestory.shared.http.caller import Caller
from onestory.shared.http.openapi import FHIR_JSON
from onestory.shared.identity import Keys
from onestory.shared.postgres.database import Database
from onestory.shared.visible_positions import VisiblePositions, from_token

FORM = "application/x-www-form-urlencoded"
_MOST_FORM_BYTES = 65_536
_MOST_FIELDS = 100
_WAIT_S = 10.0


async def parameters(request: Request) -> Parameters:
    """The parameters of the query and, for POST, of the form (FHIR R4 http.html#search), each time they are asked for.

    Raises `WrongMediaType`, `TooLarge` or `Malformed`.
    """
    in_query = request.query_params.multi_items()
    if len(in_query) > _MOST_FIELDS:
        raise Malformed(f"At most {_MOST_FIELDS} parameters can be asked by at once.", code="too-costly")
    if request.method != "POST":
        return in_query
    # A body can be read once.
    if not hasattr(request.state, "form"):
        request.state.form = await _form(request)
    return [*in_query, *request.state.form]


def lenient(request: Request) -> bool:
    """Whether unknown search parameters may be passed over (FHIR R4 search.html#errors)."""
    return "handling=lenient" in request.headers.get("Prefer", "").replace(" ", "")


def moment(asked: Parameters) -> datetime | None:
    """The moment of which the record is asked (`asOf`), or None for the record as it is. Raises `Malformed`."""
    return as_of(asked, datetime.now(UTC))


async def await_position(visible: VisiblePositions, asked: Parameters) -> None:
    """Wait until the record shows what `after=<position token>` stands for.

    Raises `Malformed` for what is no token, `Unprocessable` when it was parked, `Unavailable` when it takes too long.
    """
    token = one(asked, "after")
    if token is not None and not await visible.wait(from_token(token), _WAIT_S):
        raise Unavailable(f"What you ask to read after is not visible after {_WAIT_S:.0f} s. Ask again.")


async def _form(request: Request) -> Parameters:
    if request.headers.get("Content-Type", FORM).partition(";")[0].strip().lower() != FORM:
        raise WrongMediaType(f"Send search parameters as {FORM}.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_FORM_BYTES:
            raise TooLarge(f"A search form has at most {_MOST_FORM_BYTES} bytes.")
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise Malformed("The search form cannot be read.") from error


# What the interactions of the read API have in common.


@dataclass(frozen=True, slots=True)
class Context:
    """`fhir` is the FHIR base URL, without a slash at its end."""

    reader: RecordAccess
    database: Database
    keys: Keys
    visible: VisiblePositions
    fhir: str

    def access(self, request: Request, caller: Caller, interaction: str, resource_types: tuple[str, ...]) -> Access:
        """This request, as the audit trail tells it."""
        return Access(caller, interaction, resource_types, str(request.state.correlation_id))


# Answers: bodies with their version, not modified, links to pages.

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
    address: str,
    parameters: Parameters,
    question: RecordQuery,
    after: EntryPlace | SortedPlace | PastPlace | None = None,
) -> str:
    """The URL of this page, or of the page after a place. It names the parameters that were used."""
    used = [(name, value) for name, value in parameters if name not in question.ignored and name not in _OF_THE_REQUEST]
    place = after or question.after
    # A comma separates alternatives (search.html#combining): not everybody who reads links decodes it.
    query = urlencode([*used, *([(CURSOR, place.to_cursor())] if place.id else [])], safe=",")
    return f"{address}?{query}" if query else address

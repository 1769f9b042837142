"""Requests and responses of the read API: parameters from query and form, conditional responses, links to pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.read.access import Access, RecordAccess
from onestory.record.read.operation_parameters import parse_operation_parameters
from onestory.record.search.include import Shape, apply_shape
from onestory.record.search.parameters import RecordQuery, RequestParameters, parse_as_of, single_value
from onestory.record.search.sorting import CURSOR, EntryCursor, HistoryCursor, SortCursor
from onestory.shared.errors import Malformed, TooLarge, Unavailable, WrongMediaType
from onestory.shared.fhir.bundle import etag
from onestory.shared.http.media_types import FHIR_JSON, preferences
from onestory.shared.http.request import has_version, read_body
from onestory.shared.http.request_limits import MAX_PARAMETERS, refuse_large_values
from onestory.shared.identity import Keys
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database
from onestory.shared.visible_positions import VisiblePositions, parse_event_token, parse_position_token

FORM_MEDIA_TYPE = "application/x-www-form-urlencoded"
RECORD_DIGEST = "X-OneStory-Record-Digest"
_MAX_FORM_BYTES = 65_536
_MAX_WAIT_S = 10.0
_NOT_IN_PAGE_URLS = ("after", CURSOR)


@dataclass(frozen=True, slots=True)
class ReadContext:
    """The services that every interaction of the read API uses.

    `fhir` is the FHIR base URL, without a slash at its end.
    """

    record_access: RecordAccess
    database: Database
    keys: Keys
    visible_positions: VisiblePositions
    fhir: str

    def access(self, request: Request, caller: Caller, interaction: str, resource_types: tuple[str, ...]) -> Access:
        """This request as an access, for policy and for the access event."""
        return Access(caller, interaction, resource_types, str(request.state.correlation_id))


async def parameters(request: Request) -> RequestParameters:
    """The parameters of the query and, for POST, also of the form (http://hl7.org/fhir/R4/http.html#search).

    Can be called several times. Raises `WrongMediaType`, `TooLarge` or `Malformed`.
    """
    in_query = request.query_params.multi_items()
    if request.method != "POST":
        return in_query
    # A body can be read only once.
    if not hasattr(request.state, "form"):
        request.state.form = await _form_parameters(request)
    return [*in_query, *request.state.form]


async def operation_parameters(request: Request) -> RequestParameters:
    """The parameters of the query and, for POST, also of the Parameters in the body.

    Raises the errors of `parameters`, and `Unprocessable`.
    """
    if request.method != "POST":
        return await parameters(request)
    in_query = request.query_params.multi_items()
    body = await read_body(request, _MAX_FORM_BYTES, optional=True)
    listed = [*in_query, *parse_operation_parameters(body)]
    refuse_large_values(listed)
    return listed


async def _form_parameters(request: Request) -> RequestParameters:
    if request.headers.get("Content-Type", FORM_MEDIA_TYPE).partition(";")[0].strip().lower() != FORM_MEDIA_TYPE:
        raise WrongMediaType(f"Content-Type: a search form must be {FORM_MEDIA_TYPE}.")
    form = bytearray()
    async for chunk in request.stream():
        form += chunk
        if len(form) > _MAX_FORM_BYTES:
            raise TooLarge(f"The search form is too large. Send at most {_MAX_FORM_BYTES} bytes.")
    try:
        listed = parse_qsl(form.decode(), keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict")
    except ValueError as error:
        raise Malformed("The search form is not valid. Send name=value pairs in UTF-8, joined with &.") from error
    refuse_large_values(listed)
    return listed


def is_lenient(request: Request) -> bool:
    """Whether unsupported parameters are ignored instead of refused (http://hl7.org/fhir/R4/search.html#errors)."""
    return preferences(request.headers.getlist("Prefer")).get("handling", "").lower() == "lenient"


def as_of(request_parameters: RequestParameters) -> datetime | None:
    """The moment in `asOf`; None for the record as it is now. Raises `Malformed`."""
    return parse_as_of(request_parameters, datetime.now(UTC))


async def await_position(visible_positions: VisiblePositions, request_parameters: RequestParameters) -> None:
    """Wait until readers see the position token in `after`.

    Raises `Malformed` for another text, `Unprocessable` if its message was parked, and `Unavailable` after 10 s.
    """
    token = single_value(request_parameters, "after")
    if token is None:
        return
    event = parse_event_token(token)
    is_visible = (
        await visible_positions.wait_for_event(event, _MAX_WAIT_S)
        if event
        else await visible_positions.wait(parse_position_token(token), _MAX_WAIT_S)
    )
    if not is_visible:
        raise Unavailable(f"after: readers do not see this position after {_MAX_WAIT_S:.0f} s. Send the request again.")


def shaped_resource(content: bytes, shape: Shape) -> bytes:
    """The resource as `_summary` or `_elements` shows it. Raises `Malformed` for `_summary=count`."""
    if shape.summary == "count":
        raise Malformed("_summary: count is for lists. Send true, text, data or false.", code="value")
    return apply_shape(content, shape)


def resource_response(request: Request, content: bytes, version_id: object, last_updated: datetime | None) -> Response:
    """A resource with ETag and Last-Modified, or 304 (http://hl7.org/fhir/R4/http.html#cread)."""
    headers = {"ETag": etag(version_id)}
    if last_updated:
        headers["Last-Modified"] = format_datetime(last_updated, usegmt=True)
    return conditional_response(request, lambda: content, headers)


def conditional_response(request: Request, write: Callable[[], bytes], headers: Mapping[str, str]) -> Response:
    """The bytes that `write` returns, or 304 if If-None-Match has the ETag in `headers`."""
    if has_version(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(write(), headers=headers, media_type=FHIR_JSON)


def json_response(content: bytes) -> Response:
    """FHIR JSON without an ETag."""
    return Response(content, media_type=FHIR_JSON)


def page_url(
    list_url: str,
    parameters: RequestParameters,
    query: RecordQuery,
    after: EntryCursor | SortCursor | HistoryCursor | None = None,
) -> str:
    """The URL of this page, or of the page after a cursor. It holds the parameters that were used."""
    used = [(name, value) for name, value in parameters if name not in query.ignored and name not in _NOT_IN_PAGE_URLS]
    cursor = after or query.after
    # Commas separate alternatives (http://hl7.org/fhir/R4/search.html#combining). Some readers of links do not decode.
    encoded = urlencode([*used, *([(CURSOR, cursor.encode())] if cursor.id else [])], safe=",")
    return f"{list_url}?{encoded}" if encoded else list_url

"""What a request asks: its parameters, from query and form, and how strictly they are to be taken."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl

from starlette.requests import Request

from onestory.record.domain.search.as_of import as_of
from onestory.record.domain.search.question import Parameters, one
from onestory.shared.errors import Malformed, TooLarge, Unavailable, WrongMediaType
from onestory.shared.visibility import VisiblePositions, from_token

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

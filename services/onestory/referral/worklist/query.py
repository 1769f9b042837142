"""Reads the query parameters of worklists, strictly: a misspelt filter must not show the whole list."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request

from onestory.referral.clocks.domain import KINDS, PRIORITIES
from onestory.referral.worklist.domain import OPEN_STATUSES, Filters, Sort, WorklistCursor, parse_worklist_cursor
from onestory.shared.errors import Malformed
from onestory.shared.fhir.dates import parse_instant
from onestory.shared.http.openapi import Parameter, count_schema

FILTER_NAMES = ("status", "priority", "kind", "breached", "claimed", "requester", "next")
PAGE_NAMES = ("sort", "count", "cursor")
MAX_PAGE_SIZE = 200
DEFAULT_PAGE_SIZE = 50
_ALWAYS_ALLOWED = ("_format", "_pretty")
_CLAIMED = ("me", "nobody", "anybody")
_CODE_OR_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)

FILTER_PARAMETERS: Sequence[Parameter] = (
    Parameter("status", "query", f"One or more of {', '.join(OPEN_STATUSES)}, comma separated."),
    Parameter("priority", "query", f"One or more of {', '.join(PRIORITIES)}, comma separated."),
    Parameter("kind", "query", f"One or more of {', '.join(KINDS)}, comma separated."),
    Parameter("breached", "query", "Whether the next actor is late.", values=("true", "false")),
    Parameter("claimed", "query", "Claimed by the caller (me), by nobody, or by anybody.", values=_CLAIMED),
    Parameter("requester", "query", "ODS code of the requester."),
    Parameter(
        "next", "query", "Only referrals whose next actor is the team or organisation of the list.", values=("me",)
    ),
)
PAGE_PARAMETERS: Sequence[Parameter] = (
    Parameter(
        "sort", "query", "The order: urgency (the default), due, sent, or changed (latest first).", values=[*Sort]
    ),
    Parameter("count", "query", "Rows on a page.", limits=count_schema(1, MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE)),
    Parameter("cursor", "query", "The cursor from the next link of the page before."),
)


@dataclass(frozen=True, slots=True)
class WorklistQuery:
    """One request for a page of a list. `parameters` are the query parameters without the cursor, as sent."""

    filters: Filters
    sort: Sort
    page_size: int
    cursor: WorklistCursor | None
    parameters: Mapping[str, str]

    def next_cursor(self, path: str, cursor: WorklistCursor) -> str:
        """The text of the cursor of the next page. It is valid with this path and these parameters only."""
        return cursor.encode({**self.parameters, "": path})


def read_page_query(request: Request) -> WorklistQuery:
    """Read what a request for a page asks for. Raises `Malformed`."""
    parameters = read_parameters(request, (*FILTER_NAMES, *PAGE_NAMES))
    cursor = parameters.pop("cursor", "")
    sort = Sort(_one_of(parameters, "sort", [*Sort]) or Sort.URGENCY)
    return WorklistQuery(
        filters=_filters(parameters),
        sort=sort,
        page_size=read_page_size(parameters, "count"),
        cursor=parse_worklist_cursor(cursor, {**parameters, "": request.url.path}, sort) if cursor else None,
        parameters=parameters,
    )


def read_filters(request: Request) -> Filters:
    """Read the filters of a request that follows a list. Raises `Malformed`."""
    return _filters(read_parameters(request, FILTER_NAMES))


def read_parameters(request: Request, known: Collection[str]) -> dict[str, str]:
    """Return the query parameters by name. Raises `Malformed` for an unknown one, and for one that is sent twice."""
    parameters: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in _ALWAYS_ALLOWED:
            continue
        if name not in known:
            raise Malformed(f"Unknown parameter. Send one of {', '.join(known)}.", code="not-supported")
        if name in parameters:
            raise Malformed(f"Send {name} once; several values are separated by commas.", code="invariant")
        parameters[name] = value
    return parameters


def read_words(parameters: Mapping[str, str], name: str, known: Collection[str]) -> tuple[str, ...]:
    """Read comma-separated words; empty without the parameter. Raises `Malformed` for an unknown word."""
    words = tuple(word.strip() for word in parameters[name].split(",")) if name in parameters else ()
    if any(word not in known for word in words):
        raise Malformed(
            f"{name}: unknown value. Send one or more of {', '.join(known)}, separated by commas.", code="value"
        )
    return words


def read_page_size(parameters: Mapping[str, str], name: str) -> int:
    """Read the number of rows on a page, by default `DEFAULT_PAGE_SIZE`. Raises `Malformed`."""
    text = parameters.get(name, str(DEFAULT_PAGE_SIZE))
    if not re.fullmatch(r"\d{1,4}", text) or not 1 <= int(text) <= MAX_PAGE_SIZE:
        raise Malformed(f"{name}: send a whole number from 1 to {MAX_PAGE_SIZE}.", code="value")
    return int(text)


def read_instant(parameters: Mapping[str, str], name: str) -> datetime:
    """Read an instant with time zone; 1970 without the parameter. Raises `Malformed`."""
    if name not in parameters:
        return _EARLIEST
    try:
        return parse_instant(parameters[name])
    except ValueError as error:
        text = f"{name}: send date, time and time zone, such as 2026-05-01T09:30:00Z."
        raise Malformed(text, code="value") from error


def read_code_or_id(parameters: Mapping[str, str], name: str) -> str:
    """Read an ODS code or a team's directory id; empty without the parameter. Raises `Malformed` for other text."""
    value = parameters.get(name, "")
    if name in parameters and not _CODE_OR_ID.fullmatch(value):
        raise Malformed(f"{name}: send an ODS code or the id of a team.", code="value")
    return value


def _filters(parameters: Mapping[str, str]) -> Filters:
    requester = parameters.get("requester", "")
    if "requester" in parameters and not re.fullmatch(r"[A-Za-z0-9]{1,20}", requester):
        raise Malformed("requester: send an ODS code.", code="value")
    breached = _one_of(parameters, "breached", ("true", "false"))
    return Filters(
        status=read_words(parameters, "status", OPEN_STATUSES),
        priority=read_words(parameters, "priority", PRIORITIES),
        kind=read_words(parameters, "kind", KINDS),
        breached=breached == "true" if breached else None,
        claimed=_one_of(parameters, "claimed", _CLAIMED),
        requester=requester.upper(),
        own_turn=bool(_one_of(parameters, "next", ("me",))),
    )


def _one_of(parameters: Mapping[str, str], name: str, known: Collection[str]) -> str:
    value = parameters.get(name, "")
    if name in parameters and value not in known:
        raise Malformed(f"{name}: unknown value. Send {' or '.join(known)}.", code="value")
    return value

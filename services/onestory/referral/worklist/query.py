"""What is asked of a worklist: the query's parameters, strictly. A filter that was misspelt may not show everything."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request

from onestory.referral.clocks.domain import KINDS, PRIORITIES
from onestory.referral.worklist.domain import OPEN, Cursor, Filters, Sort, from_text, to_text
from onestory.shared.errors import Malformed
from onestory.shared.fhir.dates import parse_instant
from onestory.shared.http.openapi import Parameter

FILTERS = ("status", "priority", "kind", "breached", "claimed", "requester", "next")
OF_PAGES = ("sort", "count", "cursor")
MOST, USUAL = 200, 50
_ALWAYS = ("_format", "_pretty")
_CLAIMED = ("me", "nobody", "anybody")

PARAMETERS: Sequence[Parameter] = (
    Parameter("status", "query", f"Of {', '.join(OPEN)}; several, comma separated."),
    Parameter("priority", "query", f"Of {', '.join(PRIORITIES)}; several, comma separated."),
    Parameter("kind", "query", f"Of {', '.join(KINDS)}; several, comma separated."),
    Parameter("breached", "query", "Whether the next actor's time is over.", values=("true", "false")),
    Parameter("claimed", "query", "By whom it is claimed.", values=_CLAIMED),
    Parameter("requester", "query", "ODS code of who asked for it."),
    Parameter("next", "query", "Only what waits for whose list it is.", values=("me",)),
)
PAGES: Sequence[Parameter] = (
    Parameter("sort", "query", "By urgency (the default), due, sent or changed (latest first).", values=[*Sort]),
    Parameter("count", "query", f"Rows on a page, 1 to {MOST}; {USUAL} where it is left out."),
    Parameter("cursor", "query", "Where the page begins, as next of the page before says it."),
)


@dataclass(frozen=True, slots=True)
class WorklistQuery:
    """What is asked: filters, order, length of a page; and where it begins."""

    filters: Filters
    sort: Sort
    most: int
    after: Cursor | None
    said: Mapping[str, str]
    """The question without its cursor, as it was said."""

    def cursor(self, path: str, following: Cursor) -> str:
        """The cursor of the next page."""
        return to_text(following, {**self.said, "": path})


def asked(request: Request) -> WorklistQuery:
    """What a page of a list is asked for. Raises `Malformed`."""
    said = _said(request, (*FILTERS, *OF_PAGES))
    cursor = said.pop("cursor", "")
    sort = Sort(_one(said, "sort", [*Sort]) or Sort.URGENCY)
    return WorklistQuery(
        filters=_filters(said),
        sort=sort,
        most=_count(said.get("count", str(USUAL)), "count"),
        after=from_text(cursor, {**said, "": request.url.path}, sort) if cursor else None,
        said=said,
    )


def filters(request: Request) -> Filters:
    """What changes of a list are asked for. Raises `Malformed`."""
    return _filters(_said(request, FILTERS))


def some(said: Mapping[str, str], name: str, known: Collection[str]) -> tuple[str, ...]:
    """Several words of these, comma separated. Raises `Malformed`."""
    words = tuple(word.strip() for word in said[name].split(",")) if name in said else ()
    if any(word not in known for word in words):
        raise Malformed(f"{name} is of {', '.join(known)}; several are separated by commas.", code="value")
    return words


def count(said: Mapping[str, str], name: str) -> int:
    """The length of a page. Raises `Malformed`."""
    return _count(said.get(name, str(USUAL)), name)


def said(request: Request, known: Collection[str]) -> dict[str, str]:
    """The parameters by name, each once. Raises `Malformed` for one that is not known."""
    return _said(request, known)


def _filters(said: Mapping[str, str]) -> Filters:
    requester = said.get("requester", "")
    if "requester" in said and not re.fullmatch(r"[A-Za-z0-9]{1,20}", requester):
        raise Malformed("requester is an ODS code.", code="value")
    breached = _one(said, "breached", ("true", "false"))
    return Filters(
        status=some(said, "status", OPEN),
        priority=some(said, "priority", PRIORITIES),
        kind=some(said, "kind", KINDS),
        breached=breached == "true" if breached else None,
        claimed=_one(said, "claimed", _CLAIMED),
        requester=requester.upper(),
        mine_next=bool(_one(said, "next", ("me",))),
    )


def _said(request: Request, known: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in _ALWAYS:
            continue
        if name not in known:
            raise Malformed(f"There is no such parameter here. There is {', '.join(known)}.", code="not-supported")
        if name in found:
            raise Malformed(f"Send {name} once; several values are separated by commas.", code="invariant")
        found[name] = value
    return found


def _one(said: Mapping[str, str], name: str, known: Collection[str]) -> str:
    value = said.get(name, "")
    if name in said and value not in known:
        raise Malformed(f"{name} is {' or '.join(known)}.", code="value")
    return value


def _count(text: str, name: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text) or not 1 <= int(text) <= MOST:
        raise Malformed(f"{name} is a number from 1 to {MOST}.", code="value")
    return int(text)


# Of whom and from when on something is asked for.

_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def moment(said: Mapping[str, str], name: str) -> datetime:
    """The instant that a parameter says; where it is left out, the beginning of time. Raises `Malformed`."""
    if name not in said:
        return _EVER
    try:
        return parse_instant(said[name])
    except ValueError as error:
        says = f"{name} is date, time and time zone, such as 2026-05-01T09:30:00Z."
        raise Malformed(says, code="value") from error


def name(said: Mapping[str, str], parameter: str) -> str:
    """An ODS code, or the id of a team; empty where it is left out. Raises `Malformed` for what can be neither."""
    given = said.get(parameter, "")
    if parameter in said and not _NAME.fullmatch(given):
        raise Malformed(f"{parameter} is of letters and digits.", code="value")
    return given

"""Reads the parameters of a request into a query of one person's record (FHIR R4, http://hl7.org/fhir/R4/search.html).

An unsupported parameter, modifier or order is refused with the reason. A client that relies on a filter it did not get
reads the wrong list. With `Prefer: handling=lenient` it is ignored, and the answer holds a warning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from typing import Any

from onestory.record.search import dates as search_dates
from onestory.record.search import filters, sorting
from onestory.record.search.dates import ANY_TIME, TimeRange
from onestory.record.search.filters import Filter, SearchParameter
from onestory.record.search.include import Include, Shape, parse_include
from onestory.record.search.sorting import (
    CURSOR,
    START,
    EntryCursor,
    SortCursor,
    SortOrder,
    parse_entry_cursor,
    parse_sort_cursor,
)
from onestory.shared.errors import Issue, Malformed, NotFound
from onestory.shared.fhir.dates import format_instant, parse_instant
from onestory.shared.fhir.definitions import resource_types

RequestParameters = Sequence[tuple[str, str]]
"""Names and values, as they were sent."""
MAX_COUNT = 1000
"""The most entries on a page, and the default of `_count`."""
AS_OF = "asOf"
"""The moment of a past record. It is never ignored, because the present would be read as the past."""
PATIENT = "Patient"

# These parameters change the format of an answer, or when it comes. Totals are always exact.
# A client library in wide use asks for the total with `_totalMethod` too.
_COMMON = {"after", "_format", "_pretty", "_total", "_totalMethod"}
_COMMON_TO_LISTS = {"_count", CURSOR, "_since", "_lastUpdated"} | _COMMON
SEARCH_PARAMETERS = _COMMON_TO_LISTS | {"_id"}
EVERYTHING_PARAMETERS = _COMMON_TO_LISTS | {"_type", "asOf"}
HISTORY_PARAMETERS = {"_count", CURSOR, "_since"} | _COMMON
PERSON_HISTORY_PARAMETERS = HISTORY_PARAMETERS | {"patient", "subject", "patient:Patient", "subject:Patient"}
READ_PARAMETERS = _COMMON
SUMMARY_PARAMETERS = {"asOf"} | _COMMON
MERGED_PARAMETERS = {"asOf", "_since"} | _COMMON
PERSON_PARAMETERS = ("patient", "subject", "patient:Patient", "subject:Patient")
"""Parameters that name the person whose record is searched."""


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """A query of one person's record. None means any.

    `time_range` limits the broker time. `ignored` are names of unsupported parameters that were ignored.
    """

    types: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None
    time_range: TimeRange = ANY_TIME
    count: int = MAX_COUNT
    after: EntryCursor = START
    ignored: tuple[str, ...] = ()

    @property
    def matches_all(self) -> bool:
        """Whether every entry matches."""
        return self.types is None and self.ids is None and self.time_range == ANY_TIME


def parse_query(
    parameters: RequestParameters, known: Collection[str], *, types: Iterable[str] = (), lenient: bool
) -> RecordQuery:
    """The query in the parameters. `known` are the supported names; `types` limits the resource types.

    Raises `Malformed`.
    """
    if not parameters:
        return RecordQuery(types=tuple(types) or None)
    _refuse_nul(parameters)
    ignored = tuple(sorted({name for name, _ in parameters if name not in known}))
    if ignored and (not lenient or AS_OF in ignored):
        raise Malformed(
            "The request has unsupported search parameters.",
            issues=[unsupported_issue(name, "error") for name in ignored],
        )
    return RecordQuery(
        types=tuple(types) or _comma_separated(parameters, "_type"),
        ids=_comma_separated(parameters, "_id"),
        time_range=_time_range(parameters),
        count=_count(single_value(parameters, "_count")),
        after=parse_entry_cursor(single_value(parameters, CURSOR)),
        ignored=ignored,
    )


def single_value(parameters: RequestParameters, name: str) -> str | None:
    """The value of a parameter that may be given once; None without it. Raises `Malformed`."""
    values = [value for key, value in parameters if key == name]
    if len(values) > 1:
        raise Malformed(f"{name}: it is sent more than once. Send it once.", code="value")
    return values[0] if values else None


def unsupported_issue(name: str, severity: str, hint: str = "") -> Issue:
    """The issue for an unsupported parameter; `hint` says what is supported.

    The name is shortened, and loses unusual characters, because the caller wrote it.
    """
    shown = "".join(letter for letter in name[:64] if letter.isalnum() or letter in "_-:.")
    text = f"The search parameter '{shown}' is not supported. {hint}"
    return Issue("not-supported", text.rstrip(), severity=severity)


def _refuse_nul(parameters: RequestParameters) -> None:
    # PostgreSQL cannot store or compare a text with NUL.
    if any("\0" in value for _, value in parameters):
        raise Malformed("A search parameter has a NUL character. Remove it.", code="value")


def _comma_separated(parameters: RequestParameters, name: str) -> tuple[str, ...] | None:
    value = single_value(parameters, name)
    return None if value is None else tuple(dict.fromkeys(part.strip() for part in value.split(",")))


def _time_range(parameters: RequestParameters) -> TimeRange:
    ranges = [search_dates.last_updated(value) for name, value in parameters if name == "_lastUpdated"]
    since = single_value(parameters, "_since")
    return reduce(TimeRange.and_also, [*ranges, search_dates.since(since) if since else ANY_TIME])


def _count(value: str | None) -> int:
    if value is None:
        return MAX_COUNT
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise Malformed("_count: send a whole number from 0.", code="value")
    return min(int(value), MAX_COUNT)


# The most values, sort rules and elements of one search: each is compared with every resource of a record or a page,
# and other requests wait meanwhile.
_MAX_VALUES, _MAX_SORT_RULES, _MAX_ELEMENTS = 500, 10, 100
SUMMARY_VALUES = ("true", "false", "text", "data", "count")
RESULT_PARAMETERS = ("_sort", "_summary", "_elements", "_include", "_revinclude")
RESULT_PARAMETER_HINTS = {
    "_sort": "Send search parameters of the type, _lastUpdated or _id, with a hyphen for descending order, "
    f"at most {_MAX_SORT_RULES}.",
    "_summary": f"Send one of {', '.join(SUMMARY_VALUES)}.",
    "_elements": f"Send names of elements, separated by commas, at most {_MAX_ELEMENTS}.",
    "_include": "Send * or type:parameter, with the type that is searched and one of its reference parameters.",
    "_revinclude": "Send type:parameter, with a reference parameter of that type.",
}


@dataclass(frozen=True, slots=True)
class Search:
    """A search for resources of one type.

    Without `order` the entries follow type and id, and the cursor is `query.after`; with it, the cursor is `after`.
    `used` are the supported parameters. `warnings` are the issues of ignored ones.
    """

    query: RecordQuery
    filters: tuple[Filter, ...]
    order: SortOrder | None
    after: SortCursor | None
    shape: Shape
    includes: tuple[Include, ...]
    revincludes: tuple[Include, ...]
    used: RequestParameters
    warnings: tuple[Issue, ...]

    @property
    def needs_contents(self) -> bool:
        """Whether filters or the order read the contents of resources."""
        return bool(self.filters) or self.order is not None

    def matches(self, resource: Mapping[str, Any]) -> bool:
        """Whether the resource matches all filters."""
        return all(each.matches(resource) for each in self.filters)


def parse_search(parameters: RequestParameters, resource_type: str, fhir: str, *, lenient: bool) -> Search:
    """The search for resources of a type. `fhir` is the FHIR base URL. Raises `Malformed`."""
    _refuse_nul(parameters)
    severity = "warning" if lenient else "error"
    checked = [(parameter, _issue_of(parameter, resource_type, fhir, severity)) for parameter in parameters]
    issues = tuple(dict.fromkeys(issue for _, issue in checked if issue))
    if issues and (not lenient or any(name == AS_OF for name, _ in parameters)):
        raise Malformed("The request has unsupported search parameters.", issues=issues)
    used = [parameter for parameter, issue in checked if issue is None]
    order, parsed_filters = _sort_order(used, resource_type), _filters(used, resource_type, fhir)
    if sum(len(each.tests) for each in parsed_filters) > _MAX_VALUES:
        raise Malformed(f"The search has too many values. Send at most {_MAX_VALUES}.", code="too-costly")
    in_query = [(name, value) for name, value in used if name in SEARCH_PARAMETERS and (name != CURSOR or not order)]
    query = parse_query(in_query, SEARCH_PARAMETERS, types=(resource_type,), lenient=False)
    return Search(
        query=_without_entries_if_count(query, used),
        filters=parsed_filters,
        order=order,
        after=parse_sort_cursor(single_value(used, CURSOR), len(order.rules)) if order else None,
        shape=_shape(used),
        includes=_includes(used, "_include", resource_type),
        revincludes=_includes(used, "_revinclude", resource_type),
        used=used,
        warnings=issues,
    )


def _issue_of(parameter: tuple[str, str], resource_type: str, fhir: str, severity: str) -> Issue | None:
    name, value = parameter
    if name in SEARCH_PARAMETERS or _identifies_person(name, resource_type):
        return None
    if name in RESULT_PARAMETERS:
        is_valid = _is_valid_result_parameter(name, value, resource_type)
        return None if is_valid else unsupported_issue(name, severity, RESULT_PARAMETER_HINTS[name])
    supported = filters.supported_parameter(resource_type, name, fhir)
    return unsupported_issue(name, severity, supported) if isinstance(supported, str) else None


def _identifies_person(name: str, resource_type: str) -> bool:
    return name == "identifier" if resource_type == PATIENT else name in PERSON_PARAMETERS


def _is_valid_result_parameter(name: str, value: str, resource_type: str) -> bool:
    match name:
        case "_sort":
            names = value.split(",")
            return len(names) <= _MAX_SORT_RULES and sorting.sort_order(resource_type, names) is not None
        case "_summary":
            return value in SUMMARY_VALUES
        case "_elements":
            elements = value.split(",")
            return len(elements) <= _MAX_ELEMENTS and all(part.strip().isalnum() for part in elements)
        case "_include":
            include = parse_include(value, resource_type)
            return include is not None and include.resource_type == resource_type
        case _:
            return value != "*" and parse_include(value, resource_type) is not None


def _sort_order(used: RequestParameters, resource_type: str) -> SortOrder | None:
    value = single_value(used, "_sort")
    return sorting.sort_order(resource_type, value.split(",")) if value is not None else None


def _filters(used: RequestParameters, resource_type: str, fhir: str) -> tuple[Filter, ...]:
    not_filters = {*SEARCH_PARAMETERS, *RESULT_PARAMETERS}
    others = [(name, value) for name, value in used if name not in not_filters]
    pairs = [
        (filters.supported_parameter(resource_type, name, fhir), value)
        for name, value in others
        if not _identifies_person(name, resource_type)
    ]
    return tuple(
        filters.parse_filter(parameter, value) for parameter, value in pairs if isinstance(parameter, SearchParameter)
    )


def _shape(used: RequestParameters) -> Shape:
    elements, summary = single_value(used, "_elements"), single_value(used, "_summary")
    if elements is not None and summary not in (None, "false", "count"):
        raise Malformed("_elements, _summary: both select what is shown. Send one of them.", code="value")
    wanted = frozenset(part.strip() for part in elements.split(",")) if elements is not None else None
    return Shape(summary or "false", wanted)


def _without_entries_if_count(query: RecordQuery, used: RequestParameters) -> RecordQuery:
    """`_summary=count` shows no entries (http://hl7.org/fhir/R4/search.html#summary)."""
    return replace(query, count=0) if single_value(used, "_summary") == "count" else query


def _includes(used: RequestParameters, name: str, resource_type: str) -> tuple[Include, ...]:
    includes = [parse_include(value, resource_type) for key, value in used if key == name]
    return tuple(dict.fromkeys(include for include in includes if include))


def resource_type_in_path(resource_type: str) -> str:
    """The type, if FHIR R4 has it. Raises `NotFound`: an empty list for a mistyped type would be read as "none"."""
    if resource_type not in resource_types():
        raise NotFound("FHIR R4 has no such resource type.", code="not-supported")
    return resource_type


def resource_types_in_parameter(names: Iterable[str]) -> tuple[str, ...]:
    """The types, if FHIR R4 has them all. Raises `Malformed`."""
    listed = tuple(names)
    if not resource_types().issuperset(listed):
        raise Malformed(
            "_type: FHIR R4 has no such resource type. Send types of FHIR R4, separated by commas.", code="value"
        )
    return listed


def parse_as_of(parameters: RequestParameters, now: datetime) -> datetime | None:
    """The moment in `asOf`; None for the record as it is now. Raises `Malformed`.

    It is a FHIR instant, or a dateTime with time and zone. A date alone could mean its beginning or its end, and a time
    without a zone is a different moment for each reader. A future moment is refused: statements that arrive before it
    would change the answer. See docs/explanation/decisions/0009-the-record-as-it-was.md.
    """
    value = single_value(parameters, AS_OF)
    if value is None:
        return None
    try:
        # A plus sign that was not escaped arrives as a space.
        moment = parse_instant(value.replace(" ", "+"))
    except ValueError as error:
        raise Malformed(
            f"{AS_OF}: it is not an instant. Send date, time and zone, such as 2026-11-22T09:00:00Z.", code="value"
        ) from error
    if moment > now:
        raise Malformed(f"{AS_OF}: it is in the future. Send an instant before {format_instant(now)}.", code="value")
    return moment

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
from onestory.record.search import filters
from onestory.record.search.care_dates import parse_care_range
from onestory.record.search.dates import ANY_TIME, TimeRange
from onestory.record.search.filters import Filter, SearchParameter
from onestory.record.search.include import WHOLE, Include, Shape
from onestory.record.search.person_parameters import PERSON_PARAMETERS
from onestory.record.search.result_parameters import (
    RESULT_PARAMETER_HINTS,
    RESULT_PARAMETERS,
    SHAPE_PARAMETERS,
    is_valid_result_parameter,
    parse_includes,
    parse_shape,
    parse_sort_order,
)
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
from onestory.shared.fhir.definitions import resource_types, search_parameters

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
EVERYTHING_PARAMETERS = _COMMON_TO_LISTS | {"_type", "asOf", "start", "end", *SHAPE_PARAMETERS}
HISTORY_PARAMETERS = {"_count", CURSOR, "_since"} | _COMMON
PERSON_HISTORY_PARAMETERS = HISTORY_PARAMETERS.union(PERSON_PARAMETERS)
READ_PARAMETERS = _COMMON
RESOURCE_PARAMETERS = READ_PARAMETERS.union(SHAPE_PARAMETERS)
"""Parameters of read and vread, which show one resource."""
SUMMARY_PARAMETERS = {"asOf", "copy", "profile"} | _COMMON
MERGED_PARAMETERS = {"asOf", "_since"} | _COMMON


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """A query of one person's record. None means any.

    `time_range` limits the broker time, and `care_range` the time of care. `shape` is how much of each resource is
    shown. `ignored` are names of unsupported parameters that were ignored.
    """

    types: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None
    time_range: TimeRange = ANY_TIME
    count: int = MAX_COUNT
    after: EntryCursor = START
    ignored: tuple[str, ...] = ()
    care_range: TimeRange = ANY_TIME
    shape: Shape = WHOLE

    @property
    def matches_all(self) -> bool:
        """Whether every entry matches, before the time of care is compared."""
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
            issues=[unsupported_issue(name, "error", f"Send {_listed(known)}.") for name in ignored],
        )
    used = [(name, value) for name, value in parameters if name not in ignored]
    query = RecordQuery(
        types=tuple(types) or _types(used),
        ids=_comma_separated(single_value(used, "_id")),
        time_range=_time_range(used),
        count=_count(single_value(used, "_count")),
        after=parse_entry_cursor(single_value(used, CURSOR)),
        ignored=ignored,
        care_range=parse_care_range(single_value(used, "start"), single_value(used, "end")),
        shape=parse_shape(single_value(used, "_summary"), single_value(used, "_elements")),
    )
    return _without_entries_if_count(query)


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


def _listed(names: Collection[str]) -> str:
    *others, last = sorted(names)
    return f"{', '.join(others)} or {last}" if others else last


def _types(parameters: RequestParameters) -> tuple[str, ...] | None:
    """The types in `_type`, which may be repeated (http://hl7.org/fhir/R4/patient-operation-everything.html)."""
    values = [value for name, value in parameters if name == "_type"]
    return _comma_separated(",".join(values)) if values else None


def _comma_separated(value: str | None) -> tuple[str, ...] | None:
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


# The most values of one search: each is compared with every resource of a record, and other requests wait meanwhile.
_MAX_VALUES = 500


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
    order = parse_sort_order(single_value(used, "_sort"), resource_type)
    parsed_filters = _filters(used, resource_type, fhir)
    if sum(len(each.tests) for each in parsed_filters) > _MAX_VALUES:
        raise Malformed(f"The search has too many values. Send at most {_MAX_VALUES}.", code="too-costly")
    known = SEARCH_PARAMETERS.union(SHAPE_PARAMETERS)
    in_query = [(name, value) for name, value in used if name in known and (name != CURSOR or not order)]
    query = parse_query(in_query, known, types=(resource_type,), lenient=False)
    return Search(
        query=query,
        filters=parsed_filters,
        order=order,
        after=parse_sort_cursor(single_value(used, CURSOR), len(order.rules)) if order else None,
        includes=parse_includes([value for name, value in used if name == "_include"], resource_type),
        revincludes=parse_includes([value for name, value in used if name == "_revinclude"], resource_type),
        used=used,
        warnings=issues,
    )


def _issue_of(parameter: tuple[str, str], resource_type: str, fhir: str, severity: str) -> Issue | None:
    name, value = parameter
    if name in SEARCH_PARAMETERS or _identifies_person(name, resource_type):
        return None
    if name in RESULT_PARAMETERS:
        is_valid = is_valid_result_parameter(name, value, resource_type)
        return None if is_valid else unsupported_issue(name, severity, RESULT_PARAMETER_HINTS[name])
    supported = filters.supported_parameter(resource_type, name, fhir)
    if isinstance(supported, SearchParameter):
        return None
    return unsupported_issue(name, severity, supported or supported_names(resource_type))


def supported_names(resource_type: str) -> str:
    """A sentence with the names of all parameters of a search for this type."""
    person = () if resource_type == PATIENT else PERSON_PARAMETERS
    names = [*person, *search_parameters(resource_type), *sorted(SEARCH_PARAMETERS), *RESULT_PARAMETERS]
    return f"{resource_type} supports {', '.join(dict.fromkeys(names))}."


def _identifies_person(name: str, resource_type: str) -> bool:
    return name == "identifier" if resource_type == PATIENT else name in PERSON_PARAMETERS


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


def _without_entries_if_count(query: RecordQuery) -> RecordQuery:
    """`_summary=count` shows no entries (http://hl7.org/fhir/R4/search.html#summary)."""
    return replace(query, count=0) if query.shape.summary == "count" else query


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

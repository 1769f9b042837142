"""A search in one person's record, read from its parameters (FHIR R4, http://hl7.org/fhir/R4/search.html).

A parameter, modifier or order that is not known here is refused with its reason, because a client that believes in a
filter it did not get reads the wrong list; `Prefer: handling=lenient` asks to pass over it, and is told so.
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
from onestory.record.search.include import Include, Shape, include
from onestory.record.search.sorting import (
    CURSOR,
    START,
    EntryPlace,
    Order,
    SortedPlace,
    from_cursor,
    from_sorted_cursor,
)
from onestory.shared.errors import Issue, Malformed, NotFound
from onestory.shared.fhir.dates import format_instant, parse_instant
from onestory.shared.fhir.definitions import resource_types

# Search parameters: what may be asked, read into one question.
#
# FHIR R4, http://hl7.org/fhir/R4/search.html. A parameter that is not known here is refused with its name, because a
# client that believes in a filter it did not get reads the wrong list; `Prefer: handling=lenient` asks to pass over it.

MOST = 1000
"""Entries on a page, also when the caller names no number."""
# They change the form of the answer or when it comes, not what is in it. The total is always exact.
# A client library in wide use asks for the total by `_totalMethod` too.
_OF_ANY_READ = {"after", "_format", "_pretty", "_total", "_totalMethod"}
_OF_ANY_LIST = {"_count", CURSOR, "_since", "_lastUpdated"} | _OF_ANY_READ
IN_SEARCH = _OF_ANY_LIST | {"_id"}
IN_EVERYTHING = _OF_ANY_LIST | {"_type", "asOf"}
IN_HISTORY = {"_count", CURSOR, "_since"} | _OF_ANY_READ
IN_PERSONS_HISTORY = IN_HISTORY | {"patient", "subject", "patient:Patient", "subject:Patient"}
IN_READ = _OF_ANY_READ
IN_SUMMARY = {"asOf"} | _OF_ANY_READ
IN_MERGED = {"asOf", "_since"} | _OF_ANY_READ

AS_OF = "asOf"
"""The moment of which the record is asked. It is never passed over: the present would be read as the past."""

Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """What is asked of one person's record. None: any. `ignored` are the parameters that were passed over."""

    types: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None
    span: TimeRange = ANY_TIME
    count: int = MOST
    after: EntryPlace = START
    ignored: tuple[str, ...] = ()

    @property
    def asks_for_all(self) -> bool:
        """Whether everything matches."""
        return self.types is None and self.ids is None and self.span == ANY_TIME


def question(
    parameters: Parameters, known: Collection[str], *, types: Iterable[str] = (), lenient: bool
) -> RecordQuery:
    """The question that the parameters ask; `types` limits it to resource types. Raises `Malformed`."""
    if not parameters:
        return RecordQuery(types=tuple(types) or None)
    if any("\0" in value for _, value in parameters):
        raise Malformed("A search parameter holds a NUL character.", code="value")
    ignored = tuple(sorted({name for name, _ in parameters if name not in known}))
    if ignored and (not lenient or AS_OF in ignored):
        raise Malformed("Unknown search parameters.", issues=[unknown(name, "error") for name in ignored])
    return RecordQuery(
        types=tuple(types) or _listed(parameters, "_type"),
        ids=_listed(parameters, "_id"),
        span=_span(parameters),
        count=_count(one(parameters, "_count")),
        after=from_cursor(one(parameters, CURSOR)),
        ignored=ignored,
    )


def unknown(name: str, severity: str, what_is: str = "") -> Issue:
    """The issue that a parameter is not known. Its name is cut and cleaned: it is the caller's own text.

    `what_is` says what is known.
    """
    shown = "".join(letter for letter in name[:64] if letter.isalnum() or letter in "_-:.")
    says = f"The search parameter '{shown}' is not known here. {what_is}"
    return Issue("not-supported", says.rstrip(), severity=severity)


def one(parameters: Parameters, name: str) -> str | None:
    """The value of a parameter that may be given once. Raises `Malformed`."""
    values = [value for key, value in parameters if key == name]
    if len(values) > 1:
        raise Malformed(f"{name} may be given once.", code="value")
    return values[0] if values else None


def _listed(parameters: Parameters, name: str) -> tuple[str, ...] | None:
    value = one(parameters, name)
    return None if value is None else tuple(dict.fromkeys(part.strip() for part in value.split(",")))


def _span(parameters: Parameters) -> TimeRange:
    spans = [search_dates.last_updated(value) for name, value in parameters if name == "_lastUpdated"]
    since = one(parameters, "_since")
    return reduce(TimeRange.and_also, [*spans, search_dates.since(since) if since else ANY_TIME])


def _count(value: str | None) -> int:
    if value is None:
        return MOST
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise Malformed("_count is a whole number from 0.", code="value")
    return min(int(value), MOST)


PATIENT = "Patient"
NAMING = ("patient", "subject", "patient:Patient", "subject:Patient")
"""Parameters that say whose record is searched."""
# Each is compared with each resource of a record, or of a page: what nobody needs may not keep others waiting.
_MOST_VALUES, _MOST_RULES, _MOST_ELEMENTS = 500, 10, 100
SUMMARIES = ("true", "false", "text", "data", "count")
SHAPING = ("_sort", "_summary", "_elements", "_include", "_revinclude")


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked. `order` None: by type and id. `used` are the parameters without those of `remarks`."""

    question: RecordQuery
    filters: tuple[Filter, ...]
    order: Order | None
    after: SortedPlace | None
    shape: Shape
    includes: tuple[Include, ...]
    included_by: tuple[Include, ...]
    used: Parameters
    remarks: tuple[Issue, ...]

    @property
    def reads_contents(self) -> bool:
        """Whether it takes the contents of resources to tell what is asked for, and in which order."""
        return bool(self.filters) or self.order is not None

    def is_met(self, resource: Mapping[str, Any]) -> bool:
        """Whether the resource is as all filters ask."""
        return all(each.is_met(resource) for each in self.filters)


def search(parameters: Parameters, resource_type: str, fhir: str, *, lenient: bool) -> Search:
    """The search for resources of a type. `fhir` is the FHIR base URL. Raises `Malformed`."""
    if any("\0" in value for _, value in parameters):
        raise Malformed("A search parameter holds a NUL character.", code="value")
    severity = "warning" if lenient else "error"
    found = [(parameter, _unsupported(parameter, resource_type, fhir, severity)) for parameter in parameters]
    remarks = tuple(dict.fromkeys(issue for _, issue in found if issue))
    if remarks and (not lenient or any(name == AS_OF for name, _ in parameters)):
        raise Malformed("Unknown search parameters.", issues=remarks)
    used = [parameter for parameter, issue in found if issue is None]
    order, asked = _order(used, resource_type), _filters(used, resource_type, fhir)
    if sum(len(each.tests) for each in asked) > _MOST_VALUES:
        raise Malformed(f"A search compares with at most {_MOST_VALUES} values.", code="too-costly")
    of_question = [(name, value) for name, value in used if name in IN_SEARCH and (name != CURSOR or order is None)]
    return Search(
        question=_count_alone(question(of_question, IN_SEARCH, types=(resource_type,), lenient=False), used),
        filters=asked,
        order=order,
        after=from_sorted_cursor(one(used, CURSOR), len(order.rules)) if order else None,
        shape=_shape(used),
        includes=_includes(used, "_include", resource_type),
        included_by=_includes(used, "_revinclude", resource_type),
        used=used,
        remarks=remarks,
    )


def _unsupported(parameter: tuple[str, str], resource_type: str, fhir: str, severity: str) -> Issue | None:
    name, value = parameter
    if name in IN_SEARCH or _names_the_person(name, resource_type):
        return None
    if name in SHAPING:
        return None if _is_shaping(name, value, resource_type) else unknown(name, severity, WHAT_IS[name])
    asked = filters.named(resource_type, name, fhir)
    return unknown(name, severity, asked) if isinstance(asked, str) else None


def _names_the_person(name: str, resource_type: str) -> bool:
    return name == "identifier" if resource_type == PATIENT else name in NAMING


WHAT_IS = {
    "_sort": "It takes search parameters of the type, _lastUpdated and _id, with a hyphen before what descends, "
    f"{_MOST_RULES} at most.",
    "_summary": f"It is one of {', '.join(SUMMARIES)}.",
    "_elements": f"It takes names of elements, separated by commas, {_MOST_ELEMENTS} at most.",
    "_include": "It takes type:parameter, for a parameter that is a reference of the type that is searched, or *.",
    "_revinclude": "It takes type:parameter, for a parameter that is a reference.",
}


def _is_shaping(name: str, value: str, resource_type: str) -> bool:
    match name:
        case "_sort":
            named = value.split(",")
            return len(named) <= _MOST_RULES and sorting.order(resource_type, named) is not None
        case "_summary":
            return value in SUMMARIES
        case "_elements":
            listed = value.split(",")
            return len(listed) <= _MOST_ELEMENTS and all(part.strip().isalnum() for part in listed)
        case "_include":
            found = include(value, resource_type)
            return found is not None and found.resource_type == resource_type
        case _:
            return value != "*" and include(value, resource_type) is not None


def _order(used: Parameters, resource_type: str) -> Order | None:
    value = one(used, "_sort")
    return sorting.order(resource_type, value.split(",")) if value is not None else None


def _filters(used: Parameters, resource_type: str, fhir: str) -> tuple[Filter, ...]:
    others = [pair for pair in used if pair[0] not in IN_SEARCH and not _names_the_person(pair[0], resource_type)]
    named = [(filters.named(resource_type, name, fhir), value) for name, value in others if name not in SHAPING]
    return tuple(filters.read(asked, value) for asked, value in named if isinstance(asked, SearchParameter))


def _shape(used: Parameters) -> Shape:
    elements, summary = one(used, "_elements"), one(used, "_summary")
    if elements is not None and summary not in (None, "false", "count"):
        raise Malformed("_elements and _summary each say what to show: give one of them.", code="value")
    wanted = frozenset(part.strip() for part in elements.split(",")) if elements is not None else None
    return Shape(summary or "false", wanted)


def _count_alone(asks: RecordQuery, used: Parameters) -> RecordQuery:
    """A count shows no entries (http://hl7.org/fhir/R4/search.html#summary)."""
    return replace(asks, count=0) if one(used, "_summary") == "count" else asks


def _includes(used: Parameters, name: str, resource_type: str) -> tuple[Include, ...]:
    found = [include(value, resource_type) for key, value in used if key == name]
    return tuple(dict.fromkeys(each for each in found if each))


# Resource types of FHIR R4: a mistyped one is refused, because an empty list would be read as "there is none".


def in_address(resource_type: str) -> str:
    """The type in an address. Raises `NotFound`."""
    if resource_type not in resource_types():
        raise NotFound("FHIR R4 has no such resource type.", code="not-supported")
    return resource_type


def in_parameter(named: Iterable[str]) -> tuple[str, ...]:
    """The types in a parameter. Raises `Malformed`."""
    listed = tuple(named)
    if not resource_types().issuperset(listed):
        raise Malformed("_type names a resource type that FHIR R4 does not have.", code="value")
    return listed


# The parameter `asOf`: the record as it was at a moment (docs/decisions/0009).


def as_of(parameters: Parameters, now: datetime) -> datetime | None:
    """The moment of which the record is asked, or None for the record as it is. Raises `Malformed`.

    It is a FHIR instant, or a dateTime with time and zone: a day alone could mean its beginning or its end, and a time
    without a zone is a different moment for each reader. A future moment is refused: what will be said before it would
    change the answer.
    """
    value = one(parameters, AS_OF)
    if value is None:
        return None
    try:
        # A plus sign that nobody escaped arrives as a space.
        moment = parse_instant(value.replace(" ", "+"))
    except ValueError as error:
        raise Malformed(
            f"{AS_OF} takes a moment with date, time and zone, such as 2026-11-22T09:00:00Z.", code="value"
        ) from error
    if moment > now:
        raise Malformed(f"{AS_OF} is in the future: it is {format_instant(now)} here.", code="value")
    return moment

"""A search in one person's record, read from its parameters (FHIR R4, http://hl7.org/fhir/R4/search.html).

A parameter, modifier or order that is not known here is refused with its reason, because a client that believes in a
filter it did not get reads the wrong list; `Prefer: handling=lenient` asks to pass over it, and is told so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from onestory.record.domain.search import filters, sorting
from onestory.record.domain.search.filters import Asked, Filter
from onestory.record.domain.search.include import Include, include
from onestory.record.domain.search.place import CURSOR, SortedPlace, from_sorted_cursor
from onestory.record.domain.search.question import AS_OF, IN_SEARCH, Parameters, Question, one, question, unknown
from onestory.record.domain.search.shape import Shape
from onestory.record.domain.search.sorting import Order
from onestory.shared.errors import Issue, Malformed

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

    question: Question
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
    return tuple(filters.read(asked, value) for asked, value in named if isinstance(asked, Asked))


def _shape(used: Parameters) -> Shape:
    elements, summary = one(used, "_elements"), one(used, "_summary")
    if elements is not None and summary not in (None, "false", "count"):
        raise Malformed("_elements and _summary each say what to show: give one of them.", code="value")
    wanted = frozenset(part.strip() for part in elements.split(",")) if elements is not None else None
    return Shape(summary or "false", wanted)


def _count_alone(asks: Question, used: Parameters) -> Question:
    """A count shows no entries (http://hl7.org/fhir/R4/search.html#summary)."""
    return replace(asks, count=0) if one(used, "_summary") == "count" else asks


def _includes(used: Parameters, name: str, resource_type: str) -> tuple[Include, ...]:
    found = [include(value, resource_type) for key, value in used if key == name]
    return tuple(dict.fromkeys(each for each in found if each))

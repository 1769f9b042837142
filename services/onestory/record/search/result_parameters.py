"""Parameters that change the answer and not what matches: `_sort`, `_include`, `_revinclude`, `_summary`, `_elements`.

FHIR R4, http://hl7.org/fhir/R4/search.html#return. A read takes `_summary` and `_elements` too
(http://hl7.org/fhir/R4/http.html#parameters).
"""

from __future__ import annotations

from collections.abc import Sequence

from onestory.record.search import sorting
from onestory.record.search.include import WHOLE, Include, Shape, parse_include
from onestory.record.search.sorting import SortOrder
from onestory.shared.errors import Malformed

# The most sort rules and elements of one search: each is compared with every resource of a record or a page, and other
# requests wait meanwhile.
_MAX_SORT_RULES, _MAX_ELEMENTS = 10, 100
SUMMARY_VALUES = ("true", "false", "text", "data", "count")
SHAPE_PARAMETERS = ("_summary", "_elements")
"""Parameters that say how much of each resource is shown."""
RESULT_PARAMETERS = ("_sort", *SHAPE_PARAMETERS, "_include", "_revinclude")
RESULT_PARAMETER_HINTS = {
    "_sort": "Send search parameters of the type, _lastUpdated or _id, with a hyphen for descending order, "
    f"at most {_MAX_SORT_RULES}.",
    "_summary": f"Send one of {', '.join(SUMMARY_VALUES)}.",
    "_elements": f"Send names of elements, separated by commas, at most {_MAX_ELEMENTS}.",
    "_include": "Send * or type:parameter, with the type that is searched and one of its reference parameters.",
    "_revinclude": "Send type:parameter, with a reference parameter of that type.",
}


def is_valid_result_parameter(name: str, value: str, resource_type: str) -> bool:
    """Whether a result parameter has a supported value in a search for this type."""
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


def parse_sort_order(value: str | None, resource_type: str) -> SortOrder | None:
    """The order that `_sort` requests; None without it."""
    return sorting.sort_order(resource_type, value.split(",")) if value is not None else None


def parse_includes(values: Sequence[str], resource_type: str) -> tuple[Include, ...]:
    """The includes in these values of `_include` or `_revinclude`, each once."""
    includes = [parse_include(value, resource_type) for value in values]
    return tuple(dict.fromkeys(include for include in includes if include))


def parse_shape(summary: str | None, elements: str | None) -> Shape:
    """The shape that `_summary` and `_elements` select. Raises `Malformed`."""
    for name, value in (("_summary", summary), ("_elements", elements)):
        if value is not None and not is_valid_result_parameter(name, value, ""):
            raise Malformed(f"{name}: the value is not supported. {RESULT_PARAMETER_HINTS[name]}", code="not-supported")
    if elements is not None and summary not in (None, "false", "count"):
        raise Malformed("_elements, _summary: both select what is shown. Send one of them.", code="value")
    if summary is None and elements is None:
        return WHOLE
    wanted = frozenset(part.strip() for part in elements.split(",")) if elements is not None else None
    return Shape(summary or "false", wanted)

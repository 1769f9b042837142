"""A parsed resource and its CodeableConcepts, which keep what was read from them, so that each value is read once.

The same concepts recur in every record. What is read from a short concept is kept for the next record too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

import orjson

Code = tuple[str, str]
"""A code for comparison: its system, and the code."""
Result = TypeVar("Result")
_MISSING = object()
_MAX_SHARED_LENGTH = 600
"""Bytes of JSON of a concept that is shared between records. Longer ones do not recur, and would fill the memory."""


class CodedConcept:
    """The CodeableConcepts of one element of a resource. It must not be changed.

    `codes`: a code without a system has an empty one. `texts`: for each concept its text, else its first display, else
    its first code. `names`: all texts and displays. Both are in order, without duplicates and empty texts. `readings`
    are results of `read_once` functions.
    """

    __slots__ = ("codes", "names", "readings", "texts")

    def __init__(self, stated: object) -> None:
        concepts = [each for each in _listed(stated) if isinstance(each, dict)]
        codings = [[each for each in _listed(concept.get("coding")) if isinstance(each, dict)] for concept in concepts]
        self.codes: frozenset[Code] = frozenset(
            (_string(coding.get("system")), coding["code"])
            for stated_codings in codings
            for coding in stated_codings
            if isinstance(coding.get("code"), str)
        )
        self.texts = _distinct(map(concept_text, concepts))
        self.names = _distinct(
            name
            for concept, stated_codings in zip(concepts, codings, strict=True)
            for name in (concept.get("text"), *(coding.get("display") for coding in stated_codings))
        )
        self.readings: dict[object, Any] = {}


class Resource(dict[str, Any]):
    """A FHIR resource as plain JSON values. It must not be changed. `readings` are results of `read_once` functions."""

    __slots__ = ("readings",)

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self.readings: dict[object, Any] = {}


Read = TypeVar("Read", CodedConcept, Mapping[str, Any])


def read_once(function: Callable[[Read], Result]) -> Callable[[Read], Result]:
    """A decorator for functions of a CodedConcept or a resource's content, which keep the result. It must be immutable.

    A function of a CodedConcept must not depend on anything that changes while the process runs. A plain dictionary
    keeps nothing.
    """

    @wraps(function)
    def reading(value: Read) -> Result:
        readings = getattr(value, "readings", None)
        if readings is None:
            return function(value)
        found = readings.get(function, _MISSING)
        if found is _MISSING:
            found = readings[function] = function(value)
        return cast(Result, found)

    return reading


def read_once_by_type(
    function: Callable[[str, Mapping[str, Any]], Result],
) -> Callable[[str, Mapping[str, Any]], Result]:
    """The same as `read_once`, for functions of a resource's type and content."""

    @wraps(function)
    def reading(resource_type: str, content: Mapping[str, Any]) -> Result:
        readings = getattr(content, "readings", None)
        if readings is None:
            return function(resource_type, content)
        found = readings.get(function, _MISSING)
        if found is _MISSING:
            found = readings[function] = function(resource_type, content)
        return cast(Result, found)

    return reading


def concept_at(content: Mapping[str, Any], element: str) -> CodedConcept:
    """The concepts of an element of a resource; one without codes and texts if it has none."""
    stated = content.get(element)
    if stated is None:
        return NOTHING
    if type(content) is not Resource:
        return _concept(stated)
    found: CodedConcept | None = content.readings.get(element)
    if found is None:
        found = content.readings[element] = _concept(stated)
    return found


def concept_text(concept: Any) -> str:
    """Return the text of a CodeableConcept, else the first display, else the first code."""
    if not isinstance(concept, dict):
        return ""
    stated = concept.get("text")
    if isinstance(stated, str) and stated:
        return stated
    codings = [each for each in _listed(concept.get("coding")) if isinstance(each, dict)]
    for name in ("display", "code"):
        for coding in codings:
            if isinstance(found := coding.get(name), str):
                if found:
                    return found
                break
    return ""


def _concept(stated: object) -> CodedConcept:
    try:
        written = orjson.dumps(stated)
    except TypeError:
        return CodedConcept(stated)
    return _shared(written) if len(written) <= _MAX_SHARED_LENGTH else CodedConcept(stated)


@lru_cache(maxsize=8192)
def _shared(written: bytes) -> CodedConcept:
    return CodedConcept(orjson.loads(written))


def _listed(stated: object) -> list[Any]:
    return stated if isinstance(stated, list) else [stated]


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _distinct(texts: Iterable[object]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([each for each in texts if isinstance(each, str) and each]))


NOTHING = CodedConcept(None)
"""The concepts of an element that a resource does not have."""

"""What the interactions of the read API take and answer, as its description tells it.

Which parameters there are comes from what reads them: here is only what each one means.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from onestory.record.api.answers import RECORD_DIGEST
from onestory.record.api.asking import FORM
from onestory.record.domain.search.asked import NAMING, SHAPING, SUMMARIES, WHAT_IS
from onestory.record.domain.search.question import (
    IN_EVERYTHING,
    IN_HISTORY,
    IN_MERGED,
    IN_PERSONS_HISTORY,
    IN_READ,
    IN_SEARCH,
    IN_SUMMARY,
    MOST,
)
from onestory.shared.fhir.definitions import resource_types, search_parameters
from onestory.shared.openapi import FHIR_JSON, About, Answer, Body, Parameter
from onestory.shared.web import Route

_WHOSE = "Whose record it is: an NHS number, Patient/<NHS number>, or the id of a source's Patient."
_SAYS = {
    "after": "A position (X-OneStory-Position) of a publish: the answer waits until it is visible.",
    "asOf": "An instant: the record as it was then.",
    "patient": _WHOSE,
    "subject": _WHOSE,
    "patient:Patient": _WHOSE,
    "subject:Patient": _WHOSE,
    "_count": f"Entries on a page: a whole number from 0, at most {MOST}, which is also the default.",
    "_cursor": "Where a page begins: taken from a next link as it is.",
    "_format": "Before the header Accept: json, or html where a page is written.",
    "_id": "Ids, separated by commas.",
    "_lastUpdated": "When Kafka had it: a date or an instant with a prefix, such as ge2026-01-31. May be repeated.",
    "_pretty": "Passed over.",
    "_since": "An instant: only what came since.",
    "_total": "Passed over: a total is always exact.",
    "_totalMethod": "Passed over: a total is always exact.",
    "_type": "Resource types, separated by commas.",
    **WHAT_IS,
}
_VALUES = {"_summary": SUMMARIES}
_LENIENT = Parameter("Prefer", "header", "handling=lenient passes over parameters that are not known, and says so.")
_KNOWN = Parameter("If-None-Match", "header", "The ETag that the caller has: 304 while nothing has changed.")
_TAG = {"ETag": "The version of the answer."}
_DIGEST = {RECORD_DIGEST: "The same for the same record, as the caller sees it."}
_DATED = {"Last-Modified": "When Kafka had it."}

_RESOURCE = Answer(200, "The resource.", FHIR_JSON, "Resource", {**_TAG, **_DATED})
_SEARCHSET = Answer(200, "A page of what was found: a searchset.", FHIR_JSON, "Bundle", {**_TAG, **_DIGEST})
_VERSIONS = Answer(200, "A page of versions: a history.", FHIR_JSON, "Bundle")
_OF_PAGE = {
    "Content-Security-Policy": "Of a page: a browser fetches, runs and sends nothing.",
    "X-Content-Type-Options": "Of a page: nosniff.",
}
_DOCUMENT = Answer(200, "An IPS document.", FHIR_JSON, "Bundle", {**_TAG, **_DIGEST, **_OF_PAGE, "Vary": "Accept"})
_FACTS = Answer(200, "Facts, or what became of them.", FHIR_JSON, "Parameters")
_STORY = Answer(200, "Two documents, and what changed between them.", FHIR_JSON, "Parameters")
_SOURCES = Answer(200, "One part for each source.", FHIR_JSON, "Parameters")
_NOT_MODIFIED = Answer(304, "The caller has this version.", headers=_TAG)


def described(routes: Sequence[Route]) -> list[Route]:
    """The routes, each with what it takes and answers."""
    about = _by_interaction()
    return [replace(route, about=about[route.method, route.interaction]) for route in routes]


def about_metadata() -> About:
    """What the CapabilityStatement's route takes and answers."""
    return About("capabilities", answers=[Answer(200, "The CapabilityStatement.", FHIR_JSON, "CapabilityStatement")])


def _by_interaction() -> dict[tuple[str, str], About]:
    searched = _searched()
    return {
        ("GET", "read"): _about(_described(IN_READ), _RESOURCE, _NOT_MODIFIED),
        ("GET", "vread"): _about(_described(IN_READ), _RESOURCE, _NOT_MODIFIED),
        ("GET", "history-instance"): _about(_described(IN_HISTORY), _VERSIONS),
        ("GET", "history-type"): _about(_described(IN_PERSONS_HISTORY), _VERSIONS),
        ("GET", "history-system"): _about(_described(IN_PERSONS_HISTORY), _VERSIONS),
        ("GET", "search-type"): _about(searched, _SEARCHSET, _NOT_MODIFIED),
        ("POST", "search-type"): replace(
            _about([], _SEARCHSET, _NOT_MODIFIED), name="searchTypeByForm", body=_form(searched)
        ),
        ("GET", "$everything"): _about(_described(IN_EVERYTHING), _SEARCHSET, _NOT_MODIFIED),
        ("GET", "$summary"): _about(_described(IN_SUMMARY), _DOCUMENT, _NOT_MODIFIED),
        ("GET", "$merged"): _about(_described(IN_MERGED), _FACTS),
        ("GET", "$story"): _about(_described(IN_READ), _STORY),
        ("GET", "$story of a Task"): replace(_about(_described(IN_READ), _STORY), name="storyOfTask"),
        ("GET", "$freshness"): _about(_described(IN_READ), _SOURCES),
    }


def _about(parameters: Sequence[Parameter], *answers: Answer) -> About:
    known = [_KNOWN] if _NOT_MODIFIED in answers else []
    return About(parameters=[*parameters, _LENIENT, *known], answers=answers)


def _described(known: Iterable[str]) -> list[Parameter]:
    return [Parameter(name, "query", _SAYS[name], values=_VALUES.get(name, ())) for name in sorted(known)]


def _searched() -> list[Parameter]:
    """What some type or another is searched by: a route has one list, whatever the type in its address."""
    common, types = IN_SEARCH.union(NAMING, SHAPING), sorted(resource_types())
    told: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for each in types:
        for name, parameter in search_parameters(each).items():
            told[name][parameter.kind].append(each)
    by_type = [(name, _whose(kinds, len(types))) for name, kinds in sorted(told.items()) if name not in common]
    return [*_described(common), *[Parameter(name, "query", says) for name, says in by_type]]


def _whose(kinds: Mapping[str, Sequence[str]], all_types: int) -> str:
    """Such as `A date, of Condition, Procedure.`"""
    return " ".join(
        f"A {kind}, of {', '.join(types) if len(types) < all_types else 'any type'}." for kind, types in kinds.items()
    )


def _form(searched: Sequence[Parameter]) -> Body:
    fields = {each.name: {**each.schema, "description": each.description} for each in searched}
    return Body([FORM], {"type": "object", "properties": fields}, "The search, where no proxy logs it.")

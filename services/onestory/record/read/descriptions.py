"""The OpenAPI descriptions of the read API: the parameters and responses of each route.

The names of parameters come from the code that reads them; only their descriptions are here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from onestory.record.read.operations import IDENTIFIER
from onestory.record.read.request import FORM_MEDIA_TYPE, RECORD_DIGEST
from onestory.record.search.parameters import (
    EVERYTHING_PARAMETERS,
    HISTORY_PARAMETERS,
    MAX_COUNT,
    MERGED_PARAMETERS,
    PERSON_HISTORY_PARAMETERS,
    READ_PARAMETERS,
    RESOURCE_PARAMETERS,
    SEARCH_PARAMETERS,
    SUMMARY_PARAMETERS,
)
from onestory.record.search.person_parameters import PERSON_PARAMETERS
from onestory.record.search.result_parameters import RESULT_PARAMETER_HINTS, RESULT_PARAMETERS, SUMMARY_VALUES
from onestory.shared.fhir.definitions import resource_types, search_parameters
from onestory.shared.http.app import Route
from onestory.shared.http.openapi import (
    FHIR_JSON,
    BodyDescription,
    Parameter,
    ResponseDescription,
    RouteDescription,
    count_schema,
)
from onestory.shared.http.request import MEDIA_TYPES

_PERSON_TEXT = (
    "The person: an NHS number, Patient/<NHS number>, or the id of a source's Patient; with identifier system|value."
)
_PARAMETER_TEXTS = {
    "after": "The X-OneStory-Position of a publish. The answer waits until readers see that publish.",
    "asOf": "An instant. The answer is about the record as it was then.",
    **dict.fromkeys(PERSON_PARAMETERS, _PERSON_TEXT),
    "identifier": "The person: system|value, or an NHS number.",
    "copy": "person: the copy for the person, without restricted entries, warnings for staff, and what others said.",
    "profile": "The profile of the document: only that of the International Patient Summary.",
    "start": "A date. Only care from then on is returned, and care without a date.",
    "end": "A date. Only care until then is returned, and care without a date.",
    "_count": f"Entries on a page: a whole number from 0. The maximum and default is {MAX_COUNT}.",
    "_cursor": "The cursor of a page. Copy it from a next link.",
    "_format": "The format: json, or html for an operation that has a page. It takes precedence over Accept.",
    "_id": "Ids, separated by commas.",
    "_lastUpdated": "When Kafka received the version: a date or instant, such as ge2026-01-31. Repeatable.",
    "_pretty": "Ignored.",
    "_since": "An instant. Only changes since then are returned.",
    "_total": "Ignored. A total is always exact.",
    "_totalMethod": "Ignored. A total is always exact.",
    "_type": "Resource types, separated by commas. Repeatable.",
    **RESULT_PARAMETER_HINTS,
}
_PARAMETER_VALUES = {"_summary": SUMMARY_VALUES, "copy": ("person",)}
_LIMITS = {"_count": count_schema(0, MAX_COUNT, MAX_COUNT)}
_PREFER = Parameter(
    "Prefer", "header", "With handling=lenient unsupported parameters are ignored, and the answer has a warning."
)
_IF_NONE_MATCH = Parameter(
    "If-None-Match", "header", "The ETag of the version that the caller has. The answer is 304 if it has not changed."
)
_ETAG_HEADER = {"ETag": "The version of the answer."}
_DIGEST_HEADER = {RECORD_DIGEST: "A hash of the record as the caller sees it. Equal digests mean equal records."}
_LAST_MODIFIED_HEADER = {"Last-Modified": "The time at which Kafka received the version."}

_RESOURCE = ResponseDescription(200, "The resource.", FHIR_JSON, "Resource", {**_ETAG_HEADER, **_LAST_MODIFIED_HEADER})
_CONTENT = ResponseDescription(
    200,
    "The content in its own media type. With Accept: application/fhir+json, the Binary resource.",
    "*/*",
    headers={
        **_ETAG_HEADER,
        **_LAST_MODIFIED_HEADER,
        "Content-Disposition": "For content: inline, or attachment if a browser could run a script in it.",
        "Content-Security-Policy": "For content: a browser loads, runs and sends nothing.",
        "X-Content-Type-Options": "For content: nosniff.",
        "X-Security-Context": "For content: the reference in Binary.securityContext.",
        "Vary": "Accept",
    },
)
_SEARCHSET = ResponseDescription(
    200, "A searchset with one page of matches.", FHIR_JSON, "Bundle", {**_ETAG_HEADER, **_DIGEST_HEADER}
)
_VERSIONS = ResponseDescription(200, "A history with one page of versions.", FHIR_JSON, "Bundle")
_HTML_HEADERS = {
    "Content-Security-Policy": "For an HTML page: the browser loads, runs and sends nothing.",
    "X-Content-Type-Options": "For an HTML page: nosniff.",
}
_DOCUMENT = ResponseDescription(
    200, "An IPS document.", FHIR_JSON, "Bundle", {**_ETAG_HEADER, **_DIGEST_HEADER, **_HTML_HEADERS, "Vary": "Accept"}
)
_FACTS = ResponseDescription(200, "The facts, or with _since their changes.", FHIR_JSON, "Parameters")
_STORY = ResponseDescription(200, "Two IPS documents, and the changes between them.", FHIR_JSON, "Parameters")
_SOURCES = ResponseDescription(200, "One part for each source.", FHIR_JSON, "Parameters")
_NOT_MODIFIED = ResponseDescription(304, "The caller already has this version.", headers=_ETAG_HEADER)


def with_descriptions(routes: Sequence[Route]) -> list[Route]:
    """The routes, each with its OpenAPI description."""
    descriptions = _descriptions()
    return [replace(route, description=descriptions[route.method, route.interaction]) for route in routes]


def metadata_description() -> RouteDescription:
    """The OpenAPI description of `GET metadata`."""
    return RouteDescription(
        "capabilities",
        responses=[ResponseDescription(200, "The CapabilityStatement.", FHIR_JSON, "CapabilityStatement")],
    )


def _descriptions() -> dict[tuple[str, str], RouteDescription]:
    search = _search_route_parameters()
    # The search parameters of each type are described once, at the search for the type.
    of_compartment = _parameters(SEARCH_PARAMETERS.union(RESULT_PARAMETERS))
    return {
        ("GET", "read"): _description(_parameters(RESOURCE_PARAMETERS), _RESOURCE, _NOT_MODIFIED),
        ("GET", "vread"): _description(_parameters(RESOURCE_PARAMETERS), _RESOURCE, _NOT_MODIFIED),
        ("GET", "read of a Binary"): replace(
            _description(_parameters(RESOURCE_PARAMETERS), _CONTENT, _NOT_MODIFIED), operation_id="readBinary"
        ),
        ("GET", "vread of a Binary"): replace(
            _description(_parameters(RESOURCE_PARAMETERS), _CONTENT, _NOT_MODIFIED), operation_id="vreadBinary"
        ),
        ("GET", "history-instance"): _description(_parameters(HISTORY_PARAMETERS), _VERSIONS),
        ("GET", "history-type"): _description(_parameters(PERSON_HISTORY_PARAMETERS), _VERSIONS),
        ("GET", "history-system"): _description(_parameters(PERSON_HISTORY_PARAMETERS), _VERSIONS),
        ("GET", "search-type"): _description(search, _SEARCHSET, _NOT_MODIFIED),
        ("POST", "search-type"): replace(
            _description([], _SEARCHSET, _NOT_MODIFIED), operation_id="searchTypeByForm", body=_form_body(search)
        ),
        ("GET", "search-compartment"): _description(of_compartment, _SEARCHSET, _NOT_MODIFIED),
        ("POST", "search-compartment"): replace(
            _description([], _SEARCHSET, _NOT_MODIFIED),
            operation_id="searchCompartmentByForm",
            body=_form_body(of_compartment),
        ),
        **_operation_descriptions("$everything", EVERYTHING_PARAMETERS, _SEARCHSET, _NOT_MODIFIED),
        **_operation_descriptions("$summary", SUMMARY_PARAMETERS, _DOCUMENT, _NOT_MODIFIED),
        **_operation_descriptions("$merged", MERGED_PARAMETERS, _FACTS),
        **_operation_descriptions("$freshness", READ_PARAMETERS, _SOURCES),
        **_operation_descriptions("$story", READ_PARAMETERS, _STORY),
        **_operation_descriptions("$story of a Task", READ_PARAMETERS, _STORY),
    }


def _operation_descriptions(
    name: str, known: Iterable[str], *responses: ResponseDescription
) -> dict[tuple[str, str], RouteDescription]:
    """The descriptions of an operation: on one resource and on its type, each by GET and by POST."""
    of_type = [*known, IDENTIFIER]
    return {
        (method, interaction): _operation_description(method, interaction, parameters, responses)
        for interaction, parameters in ((name, known), (f"{name} by identifier", of_type))
        for method in ("GET", "POST")
    }


def _operation_description(
    method: str, interaction: str, known: Iterable[str], responses: Sequence[ResponseDescription]
) -> RouteDescription:
    if method == "GET":
        parameters = [replace(each, required=each.name == IDENTIFIER) for each in _parameters(known)]
        return _description(parameters, *responses)
    names = ", ".join(sorted(known))
    body = BodyDescription(MEDIA_TYPES, "Parameters", f"FHIR Parameters with any of {names}.", required=False)
    return replace(_description([], *responses), operation_id=_operation_id(interaction), body=body)


def _operation_id(interaction: str) -> str:
    first, *others = interaction.removeprefix("$").split()
    return "".join([first, *[word.capitalize() for word in others], "ByPost"])


def _description(parameters: Sequence[Parameter], *responses: ResponseDescription) -> RouteDescription:
    known = [_IF_NONE_MATCH] if _NOT_MODIFIED in responses else []
    return RouteDescription(parameters=[*parameters, _PREFER, *known], responses=responses)


def _parameters(known: Iterable[str]) -> list[Parameter]:
    return [
        Parameter(
            name, "query", _PARAMETER_TEXTS[name], values=_PARAMETER_VALUES.get(name, ()), limits=_LIMITS.get(name)
        )
        for name in sorted(known)
    ]


def _search_route_parameters() -> list[Parameter]:
    """The search parameters of all types: a route has one list for every type in its path."""
    common, types = SEARCH_PARAMETERS.union(PERSON_PARAMETERS, RESULT_PARAMETERS), sorted(resource_types())
    types_by_kind: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for resource_type in types:
        for name, definition in search_parameters(resource_type).items():
            types_by_kind[name][definition.kind].append(resource_type)
    others = [(name, kinds) for name, kinds in sorted(types_by_kind.items()) if name not in common]
    return [
        *_parameters(common),
        *[Parameter(name, "query", _kinds_text(kinds, len(types))) for name, kinds in others],
    ]


def _kinds_text(kinds: Mapping[str, Sequence[str]], all_types: int) -> str:
    """A text such as `A date, of Condition, Procedure.`"""
    return " ".join(
        f"A {kind}, of {', '.join(types) if len(types) < all_types else 'any type'}." for kind, types in kinds.items()
    )


def _form_body(parameters: Sequence[Parameter]) -> BodyDescription:
    fields = {each.name: {**each.schema, "description": each.description} for each in parameters}
    return BodyDescription(
        [FORM_MEDIA_TYPE],
        {"type": "object", "properties": fields},
        "The search parameters. In a form they are not in the logs of proxies.",
    )

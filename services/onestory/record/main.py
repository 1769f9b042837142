"""The routes of the record's read API, and the services that they share.

A route's class is in the folder of its capability: `read`, `search`, `summary`, `provenance`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from onestory.record.freshness.service import FreshnessService
from onestory.record.merge.rules import merge_rules
from onestory.record.person.load import Demographics
from onestory.record.provenance.api import ProvenanceRead, ProvenanceSearch
from onestory.record.read.access import RecordAccess
from onestory.record.read.binary import BinaryRead
from onestory.record.read.descriptions import metadata_description, with_descriptions
from onestory.record.read.history import PersonHistory, ResourceHistory, VersionRead
from onestory.record.read.metadata import Capabilities
from onestory.record.read.networks import NetworkReader
from onestory.record.read.operations import EverythingOperation, FreshnessOperation, MergedOperation
from onestory.record.read.person_reader import PersonReader
from onestory.record.read.request import ReadContext
from onestory.record.read.resource import ResourceRead
from onestory.record.search.api import SearchType
from onestory.record.summary.api import StoryOperation, SummaryOperation
from onestory.record.summary.service import Summaries
from onestory.shared.dependencies import Dependencies
from onestory.shared.http.app import Endpoint, OpenRoute, Route
from onestory.shared.http.media_types import Format
from onestory.shared.policy import Caller

_COMPARTMENT = "search the resources of one person, with all search parameters of the type"


def record_routes(dependencies: Dependencies) -> list[Route]:
    """The routes that need a token."""
    context = _context(dependencies)
    search_type, history = SearchType(context), PersonHistory(context)
    search, in_compartment = ProvenanceSearch(context, search_type), search_type.in_compartment
    freshness = FreshnessService(dependencies.database, dependencies.settings)
    summaries = Summaries(dependencies.database, freshness, merge_rules(), _fhir(dependencies))
    story = StoryOperation(context, summaries).__call__
    read, version_read = ProvenanceRead(context, ResourceRead(context)).__call__, VersionRead(context).__call__
    operations = [
        *_patient_operation("$summary", SummaryOperation(context, summaries).__call__, html=True),
        *_patient_operation("$merged", MergedOperation(context, summaries).__call__),
        *_patient_operation("$everything", EverythingOperation(context).__call__),
        *_patient_operation("$freshness", FreshnessOperation(context, freshness).__call__),
        *_operation(
            "/fhir/ServiceRequest/{id}/$story", "$story", story, "the record when a referral was sent, and now"
        ),
        *_operation(
            "/fhir/Task/{id}/$story",
            "$story of a Task",
            story,
            "the record when the referral of this Task was sent, and now",
        ),
    ]
    # Routes are compared in this order, so those that are used most come first.
    first = [route for route in operations if route.method == "GET" and "{id}" in route.path]
    routes = [
        *first,
        Route(
            "GET",
            "/fhir/Binary/{id}/_history/{version_id}",
            BinaryRead(version_read).__call__,
            "vread of a Binary",
            own_format=True,
        ),
        Route("GET", "/fhir/Binary/{id}", BinaryRead(read).__call__, "read of a Binary", own_format=True),
        Route("GET", "/fhir/{resource_type}/{id}/_history/{version_id}", version_read, "vread"),
        Route("GET", "/fhir/{resource_type}/{id}/_history", ResourceHistory(context).__call__, "history-instance"),
        Route("GET", "/fhir/{resource_type}/_history", history.type_level, "history-type"),
        Route("GET", "/fhir/_history", history.system_level, "history-system"),
        Route("POST", "/fhir/{resource_type}/_search", search.__call__, "search-type"),
        Route("GET", "/fhir/{resource_type}/{id}", read, "read"),
        Route("GET", "/fhir/{resource_type}", search.__call__, "search-type"),
        *[route for route in operations if route not in first],
        Route("GET", "/fhir/Patient/{id}/{resource_type}", in_compartment, "search-compartment", _COMPARTMENT),
        Route("POST", "/fhir/Patient/{id}/{resource_type}/_search", in_compartment, "search-compartment", _COMPARTMENT),
    ]
    return with_descriptions([replace(route, publish_headers=True) for route in routes])


def may_read_person(dependencies: Dependencies) -> Callable[[Caller, str], Awaitable[bool]]:
    """The policy decision whether a caller may read something of the person with a person key.

    Another service decides with it which ids of persons it accepts from the caller.
    """
    return _context(dependencies).record_access.may_read


def _patient_operation(name: str, endpoint: Endpoint, *, html: bool = False) -> list[Route]:
    """The routes of an operation on a Patient, and on the type Patient for the person that `identifier` names."""
    return [
        *_operation(f"/fhir/Patient/{{id}}/{name}", name, endpoint, html=html),
        *_operation(
            f"/fhir/Patient/{name}", f"{name} by identifier", endpoint, f"{name} of the identified person", html=html
        ),
    ]


def _operation(
    path: str, interaction: str, endpoint: Endpoint, summary: str = "", *, html: bool = False
) -> list[Route]:
    """The routes of an operation that changes nothing: GET, and POST with a Parameters resource."""
    return [Route(method, path, endpoint, interaction, summary, html=html) for method in ("GET", "POST")]


def record_open_routes(dependencies: Dependencies) -> list[OpenRoute]:
    """The routes that need no token."""
    capabilities = Capabilities(_fhir(dependencies))
    return [
        OpenRoute(
            "GET",
            "/fhir/metadata",
            capabilities.__call__,
            "capabilities",
            metadata_description(),
            formats=(Format.JSON,),
        )
    ]


def _context(dependencies: Dependencies) -> ReadContext:
    settings = dependencies.settings
    demographics = Demographics(settings.demographic_authorities, settings.sequenced_sources)
    persons = PersonReader(dependencies.database, demographics)
    networks = NetworkReader(dependencies.database, settings.directory_authorities, settings.networks)
    return ReadContext(
        record_access=RecordAccess(dependencies.database, dependencies.audit, persons, networks),
        database=dependencies.database,
        keys=dependencies.keys,
        visible_positions=dependencies.visible_positions,
        fhir=_fhir(dependencies),
    )


def _fhir(dependencies: Dependencies) -> str:
    """The FHIR base URL, without a slash at its end."""
    return f"{dependencies.settings.base_url.rstrip('/')}/fhir"

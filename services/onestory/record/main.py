"""The routes of the record's read API, and the services that they share.

A route's class is in the folder of its capability: `read`, `search`, `summary`, `provenance`.
"""

from __future__ import annotations

from onestory.record.freshness.service import FreshnessService
from onestory.record.merge.rules import merge_rules
from onestory.record.person.load import Demographics
from onestory.record.provenance.api import ProvenanceRead, ProvenanceSearch
from onestory.record.read.access import PersonReader, RecordAccess
from onestory.record.read.history import PersonHistory, ResourceHistory, VersionRead
from onestory.record.read.metadata import Capabilities, metadata_description, with_descriptions
from onestory.record.read.operations import EverythingOperation, FreshnessOperation, MergedOperation
from onestory.record.read.request import ReadContext
from onestory.record.read.resource import ResourceRead
from onestory.record.search.api import SearchType
from onestory.record.summary.api import StoryOperation, SummaryOperation
from onestory.record.summary.service import Summaries
from onestory.shared.dependencies import Dependencies
from onestory.shared.http.app import OpenRoute, Route
from onestory.shared.http.media_types import Format


def record_routes(dependencies: Dependencies) -> list[Route]:
    """The routes that need a token."""
    context = _context(dependencies)
    search, history = ProvenanceSearch(context, SearchType(context)), PersonHistory(context)
    freshness = FreshnessService(dependencies.database, dependencies.settings)
    summaries = Summaries(dependencies.database, freshness, merge_rules(), _fhir(dependencies))
    story = StoryOperation(context, summaries).__call__
    routes = [
        Route(
            "GET", "/fhir/Patient/{id}/$summary", SummaryOperation(context, summaries).__call__, "$summary", html=True
        ),
        Route("GET", "/fhir/Patient/{id}/$merged", MergedOperation(context, summaries).__call__, "$merged"),
        Route("GET", "/fhir/Patient/{id}/$everything", EverythingOperation(context).__call__, "$everything"),
        Route("GET", "/fhir/Patient/{id}/$freshness", FreshnessOperation(context, freshness).__call__, "$freshness"),
        Route(
            "GET", "/fhir/ServiceRequest/{id}/$story", story, "$story", "the record when a referral was sent, and now"
        ),
        Route(
            "GET",
            "/fhir/Task/{id}/$story",
            story,
            "$story of a Task",
            "the record when the referral of this Task was sent, and now",
        ),
        Route("GET", "/fhir/{resource_type}/{id}/_history/{version_id}", VersionRead(context).__call__, "vread"),
        Route("GET", "/fhir/{resource_type}/{id}/_history", ResourceHistory(context).__call__, "history-instance"),
        Route("GET", "/fhir/{resource_type}/_history", history.type_level, "history-type"),
        Route("GET", "/fhir/_history", history.system_level, "history-system"),
        Route("POST", "/fhir/{resource_type}/_search", search.__call__, "search-type"),
        Route("GET", "/fhir/{resource_type}/{id}", ProvenanceRead(context, ResourceRead(context)).__call__, "read"),
        Route("GET", "/fhir/{resource_type}", search.__call__, "search-type"),
    ]
    return with_descriptions(routes)


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
    return ReadContext(
        record_access=RecordAccess(dependencies.database, dependencies.audit, persons, settings.networks),
        database=dependencies.database,
        keys=dependencies.keys,
        visible_positions=dependencies.visible_positions,
        fhir=_fhir(dependencies),
    )


def _fhir(dependencies: Dependencies) -> str:
    """The FHIR base URL, without a slash at its end."""
    return f"{dependencies.settings.base_url.rstrip('/')}/fhir"

"""The read API of the record room: its interactions in one list, and what they are built of."""

from __future__ import annotations

from onestory.record.freshness.service import Sources
from onestory.record.merge.rules import merge_rules
from onestory.record.person.load import Demographics
from onestory.record.provenance.api import ProvenanceRead, ProvenanceSearch
from onestory.record.read.access import RecordAccess, Subjects
from onestory.record.read.history import History, PersonsHistory, VersionRead
from onestory.record.read.metadata import Metadata, about_metadata, described
from onestory.record.read.operations import AskFreshness, AskMerged, Everything
from onestory.record.read.request import Context
from onestory.record.read.resource import ReadResource
from onestory.record.search.api import SearchType
from onestory.record.summary.api import AskStory, AskSummary
from onestory.record.summary.service import Summaries
from onestory.shared.dependencies import Resources
from onestory.shared.http.app import OpenRoute, Route


def record_routes(resources: Resources) -> list[Route]:
    """What a caller with a token may ask."""
    context = _context(resources)
    search, happened = ProvenanceSearch(context, SearchType(context)), PersonsHistory(context)
    sources = Sources(resources.database, resources.settings)
    summaries = Summaries(resources.database, sources, merge_rules(), _fhir(resources))
    story = AskStory(context, summaries).__call__
    routes = [
        Route("GET", "/fhir/Patient/{id}/$summary", AskSummary(context, summaries).__call__, "$summary", html=True),
        Route("GET", "/fhir/Patient/{id}/$merged", AskMerged(context, summaries).__call__, "$merged"),
        Route("GET", "/fhir/Patient/{id}/$everything", Everything(context).__call__, "$everything"),
        Route("GET", "/fhir/Patient/{id}/$freshness", AskFreshness(context, sources).__call__, "$freshness"),
        Route("GET", "/fhir/ServiceRequest/{id}/$story", story, "$story", "what was known as it was sent, and is now"),
        Route("GET", "/fhir/Task/{id}/$story", story, "$story of a Task", "the same, of the referral of this Task"),
        Route("GET", "/fhir/{resource_type}/{id}/_history/{version_id}", VersionRead(context).__call__, "vread"),
        Route("GET", "/fhir/{resource_type}/{id}/_history", History(context).__call__, "history-instance"),
        Route("GET", "/fhir/{resource_type}/_history", happened.of_type, "history-type"),
        Route("GET", "/fhir/_history", happened.of_all, "history-system"),
        Route("POST", "/fhir/{resource_type}/_search", search.__call__, "search-type"),
        Route("GET", "/fhir/{resource_type}/{id}", ProvenanceRead(context, ReadResource(context)).__call__, "read"),
        Route("GET", "/fhir/{resource_type}", search.__call__, "search-type"),
    ]
    return described(routes)


def record_open_routes(resources: Resources) -> list[OpenRoute]:
    """What anybody may ask."""
    metadata = Metadata(_fhir(resources))
    return [OpenRoute("GET", "/fhir/metadata", metadata.__call__, "capabilities", about_metadata())]


def _context(resources: Resources) -> Context:
    configured = resources.settings
    demographics = Demographics(configured.demographic_authorities, configured.sequenced_sources)
    subjects = Subjects(resources.database, demographics)
    reader = RecordAccess(resources.database, resources.audit, subjects, configured.networks)
    return Context(reader, resources.database, resources.keys, resources.visible, _fhir(resources))


def _fhir(resources: Resources) -> str:
    return f"{resources.settings.base_url.rstrip('/')}/fhir"

"""Merges the record that a caller sees of a person, and makes the summary of it. Unchanged summaries are cached."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson
from cachetools import TLRUCache

from onestory.record.freshness.service import FreshnessService
from onestory.record.merge.engine import merge
from onestory.record.merge.model import MergedRecord, Statement
from onestory.record.merge.rules import MergeRules
from onestory.record.person import store as person_store
from onestory.record.read import store as read_store
from onestory.record.read.access import PATIENT, RecordView
from onestory.record.read.referenced import (
    DirectoryVersions,
    ReferencedDirectory,
    directory_addresses,
    is_unchanged,
    referenced_directory,
)
from onestory.record.read.store import CurrentEntry
from onestory.record.summary.document import summarise
from onestory.record.summary.model import Summary, SummaryInput
from onestory.record.summary.person_copy import copy_for_person
from onestory.shared.policy import Visibility
from onestory.shared.postgres.database import Database
from onestory.shared.runtime import run_in_thread_if, store_if_it_fits

# Larger records are merged and summarised in a thread.
_MAX_ENTRIES_IN_LOOP = 300
_MAX_BYTES_IN_LOOP = 500_000
_CACHE_BYTES = 24_000_000
# A summary shows when each source was last heard of, which events about other persons change as well.
_MAX_CACHE_AGE = timedelta(minutes=1)


class VisibleFacts(NamedTuple):
    """The merged record that a caller sees of a person.

    `contents` are its entries by shared id, as served. `directory` has the directory resources that they refer to.
    """

    merged: MergedRecord
    contents: Mapping[str, bytes]
    directory: ReferencedDirectory

    @property
    def included_contents(self) -> Mapping[str, bytes]:
        """The contents of the directory resources by id, as served."""
        return {shared_id: entry.content for shared_id, entry in self.directory.entries.items()}


class SummaryPatient(NamedTuple):
    """The Patient that a summary is for; `version` is the id of its event, "" if it has none."""

    id: str
    version: str
    content: bytes


class MadeSummary(NamedTuple):
    """A summary, and the versions of the directory resources that it depends on."""

    summary: Summary
    directory: DirectoryVersions


class _CachedSummary(NamedTuple):
    made: MadeSummary
    until: datetime


@dataclass(frozen=True, slots=True)
class _SummaryKey:
    """The cache key of a summary: everything that it depends on except the clock and the directory.

    `state` changes with the entries that the caller sees, and not with hidden ones. Otherwise the time at which a
    summary was made would reveal them.
    """

    patient: str
    patient_version: str
    state: Hashable
    visibility: Visibility
    organisation: str
    withheld: bool
    withholds_contact: bool


class Summaries:
    """Makes merged records and summaries. `fhir` is the FHIR base URL, without a slash at its end."""

    def __init__(self, database: Database, freshness: FreshnessService, rules: MergeRules, fhir: str) -> None:
        self._database = database
        self._freshness = freshness
        self._rules = rules
        self._fhir = fhir
        self._cache: TLRUCache[_SummaryKey, _CachedSummary, datetime] = TLRUCache(
            _CACHE_BYTES, lambda _key, cached, _now: cached.until, lambda: datetime.now(UTC), _size
        )

    async def facts(self, view: RecordView) -> VisibleFacts:
        """The visible record, merged. Raises `Unavailable`."""
        seen = await read_store.with_contents(self._database, view.entries)
        contents = {entry.shared_id: entry.content or b"" for entry in seen}
        is_large = _is_large(contents)
        # The Patient of the summary may name a practice that is in the directory.
        referring = [*contents.values(), *[patient.content or b"" for patient in view.patients]]
        addresses = await run_in_thread_if(is_large, lambda: directory_addresses(referring, self._fhir))
        directory = await referenced_directory(self._database, addresses, self._fhir, view.at)
        named = {shared_id: orjson.loads(entry.content) for shared_id, entry in directory.entries.items()}
        merged = await run_in_thread_if(
            is_large, lambda: merge([_statement(entry) for entry in seen], self._rules, named)
        )
        return VisibleFacts(merged, contents, directory)

    async def current(self, view: RecordView, patient: SummaryPatient, organisation: str) -> Summary:
        """The summary of what `organisation` sees, from the cache while nothing changed. Raises `Unavailable`."""
        key = summary_key(view, patient, organisation)
        cached = self._cache.get(key)
        if cached is None or not await is_unchanged(self._database, cached.made.directory):
            now = datetime.now(UTC)
            made = await self.make(view, patient, now)
            until = min(made.summary.valid_until or datetime.max.replace(tzinfo=UTC), now + _MAX_CACHE_AGE)
            cached = store_if_it_fits(self._cache, key, _CachedSummary(made, until))
        return cached.made.summary

    async def at(self, view: RecordView, patient: SummaryPatient, moment: datetime) -> Summary:
        """The summary at a moment; `view` must be the view at that moment. Raises `Unavailable`."""
        return (await self.make(view, patient, moment)).summary

    async def for_person(self, view: RecordView, patient: SummaryPatient, moment: datetime) -> Summary:
        """The copy for the person at a moment. It is never cached or stored. Raises `Unavailable`."""
        return (await self.make(view, patient, moment, for_person=True)).summary

    async def make(
        self, view: RecordView, patient: SummaryPatient, moment: datetime, *, for_person: bool = False
    ) -> MadeSummary:
        """The same as `at`, with the versions of the directory resources that the summary depends on."""
        facts = await self.facts(view)
        report = await self._freshness.report(view.person.person_keys, view.entries, moment)
        summary_input = SummaryInput(
            patient=patient.content,
            merged=facts.merged,
            contents=facts.contents,
            base_url=self._fhir,
            freshness=report.sources,
            organisation_names=await person_store.organisation_names(
                self._database, {each.organisation for each in view.entries}
            ),
            withheld=view.withheld,
            freshness_valid_until=report.valid_until,
            directory={
                entry.shared_id: (entry.resource_type, entry.content) for entry in facts.directory.entries.values()
            },
        )
        made_of = copy_for_person(summary_input) if for_person else summary_input
        summary = await run_in_thread_if(_is_large(facts.contents), lambda: summarise(made_of, moment))
        return MadeSummary(summary, facts.directory.versions)


def _is_large(contents: Mapping[str, bytes]) -> bool:
    """Whether a record has more than 300 entries or 500 kB."""
    return len(contents) > _MAX_ENTRIES_IN_LOOP or sum(map(len, contents.values())) > _MAX_BYTES_IN_LOOP


def _size(cached: _CachedSummary) -> int:
    return len(cached.made.summary.document)


def summary_patient(view: RecordView, requested_id: str) -> SummaryPatient:
    """The Patient that a summary requested by this id is for.

    It is the shared Patient with this id, else the one of the newest NHS number. A person without an NHS number has
    only the sources' own Patients, or nothing but the id.
    """
    superseded = {each.older for each in view.person.successions if each.both_nhs_numbers}
    shared = [patient for patient in view.patients if patient.shared_id == requested_id]
    newest = [patient for patient in view.patients if patient.person_key not in superseded]
    stated = [entry for entry in view.entries if entry.resource_type == PATIENT]
    own = [entry for entry in stated if entry.shared_id == requested_id]
    for patient in [*shared, *newest, *view.patients, *own, *stated]:
        return SummaryPatient(patient.shared_id, patient.version_id, patient.content or b"{}")
    return SummaryPatient(requested_id, "", orjson.dumps({"resourceType": PATIENT, "id": requested_id}))


def summary_key(view: RecordView, patient: SummaryPatient, organisation: str) -> _SummaryKey:
    visibility, withholding = view.decision.visibility, (view.withheld, view.withholds_contact)
    if visibility is Visibility.ALL and view.decision.sees_restricted:
        versions = tuple(sorted(view.person.versions.items()))
        return _SummaryKey(patient.id, patient.version, versions, visibility, "", *withholding)
    seen = tuple((entry.shared_id, entry.event_id, entry.rank, entry.recorded_at) for entry in view.entries)
    return _SummaryKey(patient.id, patient.version, seen, visibility, organisation, *withholding)


def _statement(entry: CurrentEntry) -> Statement:
    assert entry.recorded_at is not None
    assert entry.broker_time is not None
    return Statement(
        entry.shared_id,
        entry.resource_type,
        entry.organisation,
        entry.system,
        entry.event_id,  # type: ignore[arg-type]  # only a composed Patient has another kind of id
        entry.recorded_at,
        entry.broker_time,
        orjson.loads(entry.content or b"{}"),
    )

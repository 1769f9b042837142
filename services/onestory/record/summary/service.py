"""A person's facts, and the summary of them: of what one reader sees, and of nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

import orjson

from onestory.record.freshness.service import Sources
from onestory.record.merge.engine import merge
from onestory.record.merge.model import Merged, Statement
from onestory.record.merge.rules import Rules
from onestory.record.person import store as person_store
from onestory.record.read import store as read_store
from onestory.record.read.access import PATIENT, View
from onestory.record.read.store import CurrentEntry
from onestory.record.summary.document import summarise
from onestory.record.summary.model import Summary, SummaryInput
from onestory.shared.policy import Visibility
from onestory.shared.postgres.database import Database
from onestory.shared.runtime import Cache

Made = TypeVar("Made")
_MOST_AT_ONCE = 300
_MOST_BYTES_AT_ONCE = 500_000
_KEPT_BYTES = 24_000_000
# A summary says when each source was last heard of at all: whoever they speak of moves that.
_LONGEST_KEPT = timedelta(minutes=1)


class Facts(NamedTuple):
    """What a reader sees of a person, merged; `contents` are the statements by shared id, as they are served."""

    merged: Merged
    contents: Mapping[str, bytes]


class Whom(NamedTuple):
    """The Patient that a summary is for."""

    id: str
    version: str
    content: bytes


class _Prebuilt(NamedTuple):
    summary: Summary
    until: datetime


@dataclass(frozen=True, slots=True)
class _Name:
    """What a summary follows from, but for the clock: for whom it is, what of the person is visible, in which state.

    `state` changes with what the reader sees and not with what is hidden: when a summary was made shows in it.
    """

    patient: str
    patient_version: str
    state: Hashable
    visibility: Visibility
    organisation: str


class Summaries:
    """Merges and summarises. `fhir` is the FHIR base URL, without a slash at its end."""

    def __init__(self, database: Database, sources: Sources, rules: Rules, fhir: str) -> None:
        self._database = database
        self._sources = sources
        self._rules = rules
        self._fhir = fhir
        self._prebuilt: Cache[_Name, _Prebuilt] = Cache(_KEPT_BYTES, lambda built: len(built.summary.document))

    async def facts(self, view: View) -> Facts:
        """What is visible, merged. Raises `Unavailable`."""
        seen = await read_store.whole(self._database, view.entries)
        contents = {entry.shared_id: entry.content or b"" for entry in seen}
        merged = await _beside_others(contents, lambda: merge([_said(entry) for entry in seen], self._rules))
        return Facts(merged, contents)

    async def current(self, view: View, patient: Whom, organisation: str) -> Summary:
        """The summary of what `organisation` sees, served prebuilt while nothing changed. Raises `Unavailable`."""
        now, name = datetime.now(UTC), _name(view, patient, organisation)
        found = self._prebuilt.find(name)
        if found is None or found.until <= now:
            summary = await self.at(view, patient, now)
            until = min(summary.valid_until or datetime.max.replace(tzinfo=UTC), now + _LONGEST_KEPT)
            found = self._prebuilt.keep(name, _Prebuilt(summary, until))
        return found.summary

    async def at(self, view: View, patient: Whom, moment: datetime) -> Summary:
        """The summary as it is or was at a moment; `view` is of that moment. Raises `Unavailable`."""
        facts = await self.facts(view)
        fresh = await self._sources.known(view.person.person_keys, view.entries, moment)
        known = SummaryInput(
            patient=patient.content,
            merged=facts.merged,
            contents=facts.contents,
            base=self._fhir,
            freshness=fresh.sources,
            organisations=await person_store.organisation_names(
                self._database, {each.organisation for each in view.entries}
            ),
            known_until=fresh.until,
        )
        return await _beside_others(facts.contents, lambda: summarise(known, moment))


async def _beside_others(contents: Mapping[str, bytes], make: Callable[[], Made]) -> Made:
    """What `make` gives; of a long record in a thread, so that nobody else's reading waits until it is done."""
    small = len(contents) <= _MOST_AT_ONCE and sum(map(len, contents.values())) <= _MOST_BYTES_AT_ONCE
    return make() if small else await asyncio.to_thread(make)


def whom(view: View, asked_id: str) -> Whom:
    """Whom a summary that was asked for by this id is for: the shared Patient, of the newest number if the id is none.

    A person without an NHS number has the sources' own Patients alone, or nothing but the id.
    """
    superseded = {each.older for each in view.person.successions if each.numbered}
    shared = [patient for patient in view.patients if patient.shared_id == asked_id]
    newest = [patient for patient in view.patients if patient.person_key not in superseded]
    stated = [entry for entry in view.entries if entry.resource_type == PATIENT]
    own = [entry for entry in stated if entry.shared_id == asked_id]
    for patient in [*shared, *newest, *view.patients, *own, *stated]:
        return Whom(patient.shared_id, str(patient.event_id), patient.content or b"{}")
    return Whom(asked_id, "", orjson.dumps({"resourceType": PATIENT, "id": asked_id}))


def _name(view: View, patient: Whom, organisation: str) -> _Name:
    visibility = view.decision.visibility
    if visibility is Visibility.ALL:
        return _Name(patient.id, patient.version, tuple(sorted(view.person.versions.items())), visibility, "")
    seen = tuple((entry.shared_id, entry.event_id, entry.rank, entry.recorded_at) for entry in view.entries)
    return _Name(patient.id, patient.version, seen, visibility, organisation)


def _said(entry: CurrentEntry) -> Statement:
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

"""Computes the freshness of a record's sources, for the operation `$freshness` and for the summary.

It follows only from the entries that the reader sees.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import chain

from onestory.record.freshness import domain as freshness_domain
from onestory.record.freshness import store as freshness_store
from onestory.record.freshness.domain import Freshness, FreshnessReport, last_statement_times, next_stale_at
from onestory.record.person import load
from onestory.record.person.registration import (
    EPISODE,
    Registration,
    former_practices,
    managing_organisation_id,
    next_change_on,
    registration_from_episode,
    registrations_from_patient,
)
from onestory.record.person.statements import PatientStatement
from onestory.record.read import store as read_store
from onestory.record.read.access import PATIENT
from onestory.record.read.store import CurrentEntry
from onestory.shared.events import REFERRAL_SYSTEM
from onestory.shared.fhir.references import general_practitioners, organisation_shared_id
from onestory.shared.postgres.database import Database
from onestory.shared.settings import Settings

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class FreshnessService:
    """Computes freshness with the settings of the deployment."""

    database: Database
    settings: Settings

    async def sources(
        self, person_keys: Collection[str], seen: Sequence[CurrentEntry], at: datetime
    ) -> list[Freshness]:
        """The freshness of the sources of these entries, by organisation and system.

        `seen` is what the reader sees of the person with these keys. Raises `Unavailable`.
        """
        return list((await self.report(person_keys, seen, at)).sources)

    async def report(self, person_keys: Collection[str], seen: Sequence[CurrentEntry], at: datetime) -> FreshnessReport:
        """The same, with the time until which it is valid. Raises `Unavailable`."""
        rhythms, sequenced = self.settings.source_rhythms, self.settings.sequenced_sources
        last_statements = last_statement_times(
            ((entry.organisation, entry.system), entry.broker_time)
            for entry in seen
            # OneStory writes referral statements itself. A source is not silent because it makes no referrals.
            if entry.broker_time is not None and entry.system != REFERRAL_SYSTEM
        )
        states = await freshness_store.source_states(self.database, person_keys, last_statements)
        present, past = await self._registrations(seen, at)
        former = former_practices(present, past, self.settings.demographic_authorities, at.date())
        lines = freshness_domain.freshness(
            states, last_statements, at, rhythms=rhythms, sequenced=sequenced, former_practices=former
        )
        day = next_change_on([*present, *chain.from_iterable(past)], at.date())
        changes = [next_stale_at(lines, rhythms), datetime.combine(day, time(), UTC) if day else None]
        return FreshnessReport(tuple(lines), min((change for change in changes if change), default=None))

    async def _registrations(
        self, seen: Sequence[CurrentEntry], at: datetime
    ) -> tuple[list[Registration], list[list[Registration]]]:
        """The registrations by current statements, and those by each Patient statement of an authority up to `at`."""
        authorities = self.settings.demographic_authorities
        patients = [_statement(entry) for entry in seen if entry.resource_type == PATIENT and not entry.composed]
        episodes = [
            _statement(entry)
            for entry in await read_store.with_contents(self.database, [e for e in seen if e.resource_type == EPISODE])
        ]
        authoritative = [
            entry for entry in seen if entry.resource_type == PATIENT and entry.organisation in authorities
        ]
        versions = [
            _statement(entry) for entry in await freshness_store.asserted_versions(self.database, authoritative, at)
        ]
        organisation_ids = [
            organisation_shared_id(practitioner)
            for statement in [*patients, *versions]
            for practitioner in general_practitioners(statement.content)
        ]
        organisation_ids += [managing_organisation_id(statement.content) for statement in episodes]
        codes = await load.organisation_codes(
            self.database, seen, {shared_id for shared_id in organisation_ids if shared_id}
        )
        present = [row for statement in patients for row in registrations_from_patient(statement, codes)]
        present += [row for statement in episodes if (row := registration_from_episode(statement, codes, authorities))]
        return present, [list(registrations_from_patient(statement, codes)) for statement in versions]


def _statement(entry: CurrentEntry) -> PatientStatement:
    assert entry.recorded_at is not None
    stated_at_us = (entry.recorded_at - _EPOCH) // timedelta(microseconds=1)
    return PatientStatement(
        entry.shared_id, entry.event_id, entry.organisation, stated_at_us, entry.broker_time, entry.content or b"{}"
    )

"""How fresh the sources of a person's record are: it follows from what the reader sees, and from nothing else."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import chain

from onestory.record.freshness import domain as freshness_domain
from onestory.record.freshness import store as freshness_store
from onestory.record.freshness.domain import Freshness, KnownSources, changes_at, last_said
from onestory.record.person import load
from onestory.record.person.registration import (
    EPISODE,
    Registration,
    changes_on,
    former_practices,
    manager_by_reference,
    of_episode,
    registrations,
)
from onestory.record.person.statements import PatientStatement
from onestory.record.read import store as read_store
from onestory.record.read.access import PATIENT
from onestory.record.read.store import CurrentEntry
from onestory.shared.events import REFERRAL_SYSTEM
from onestory.shared.fhir.references import practitioners, shared_organisation
from onestory.shared.postgres.database import Database
from onestory.shared.settings import Settings

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Sources:
    """Tells of sources, by the settings of the deployment."""

    database: Database
    settings: Settings

    async def of(self, person_keys: Collection[str], seen: Sequence[CurrentEntry], at: datetime) -> list[Freshness]:
        """The sources of these entries, by organisation and system: what the reader sees of the person with these keys.

        Raises `Unavailable`.
        """
        return list((await self.known(person_keys, seen, at)).sources)

    async def known(self, person_keys: Collection[str], seen: Sequence[CurrentEntry], at: datetime) -> KnownSources:
        """The same, with the time until which it holds. Raises `Unavailable`."""
        rhythms, numbered = self.settings.source_rhythms, self.settings.sequenced_sources
        said = last_said(
            ((entry.organisation, entry.system), entry.broker_time)
            for entry in seen
            # Referrals are made here: nobody falls silent who makes none.
            if entry.broker_time is not None and entry.system != REFERRAL_SYSTEM
        )
        told = await freshness_store.told(self.database, person_keys, said)
        present, past = await self._registrations(seen, at)
        former = former_practices(present, past, self.settings.demographic_authorities, at.date())
        lines = freshness_domain.freshness(told, said, at, rhythms=rhythms, sequenced=numbered, former=former)
        day = changes_on([*present, *chain.from_iterable(past)], at.date())
        changes = [changes_at(lines, rhythms), datetime.combine(day, time(), UTC) if day else None]
        return KnownSources(tuple(lines), min((change for change in changes if change), default=None))

    async def _registrations(
        self, seen: Sequence[CurrentEntry], at: datetime
    ) -> tuple[list[Registration], list[list[Registration]]]:
        """What statements that stand tell, and what each Patient statement of an authority told until that moment."""
        authorities = self.settings.demographic_authorities
        patients = [_statement(entry) for entry in seen if entry.resource_type == PATIENT and not entry.composed]
        episodes = [
            _statement(entry)
            for entry in await read_store.whole(self.database, [e for e in seen if e.resource_type == EPISODE])
        ]
        official = [entry for entry in seen if entry.resource_type == PATIENT and entry.organisation in authorities]
        before = [_statement(entry) for entry in await freshness_store.versions(self.database, official, at)]
        named = [shared_organisation(each) for said in [*patients, *before] for each in practitioners(said.content)]
        named += [manager_by_reference(said.content) for said in episodes]
        codes = await load.organisation_codes(self.database, seen, {shared_id for shared_id in named if shared_id})
        present = [each for said in patients for each in registrations(said, codes)]
        present += [each for said in episodes if (each := of_episode(said, codes, authorities))]
        return present, [list(registrations(said, codes)) for said in before]


def _statement(entry: CurrentEntry) -> PatientStatement:
    assert entry.recorded_at is not None
    said_at = (entry.recorded_at - _EPOCH) // timedelta(microseconds=1)
    return PatientStatement(
        entry.shared_id, entry.event_id, entry.organisation, said_at, entry.broker_time, entry.content or b"{}"
    )

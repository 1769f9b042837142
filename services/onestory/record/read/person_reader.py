"""Reads persons with their registered practice and their shared Patients, and takes out contact details.

No policy is asked and nothing is audited here: `RecordAccess` does both (`access.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from onestory.record.person import load
from onestory.record.person.identifiers import PersonRef
from onestory.record.person.labels import PERSON_TYPES, PatientLabel, lasting_labels, without_contact_details
from onestory.record.person.load import Demographics, PersonLoader, PersonRecord
from onestory.record.person.statements import Trust
from onestory.record.read import store as read_store
from onestory.record.read.store import CurrentEntry
from onestory.shared.policy import PolicySubject
from onestory.shared.postgres.database import Database


class PersonReader:
    """Reads persons with their registered practice and their shared Patients, without policy and audit."""

    def __init__(self, database: Database, demographics: Demographics) -> None:
        self._database = database
        self._demographics = demographics
        self._loader = PersonLoader(database)

    async def load(self, ref: PersonRef, at: datetime | None = None) -> PersonRecord:
        """The person, with the record as it is now or as of a moment. Raises `Unavailable`."""
        return await self._loader.load(ref, at)

    async def registered_practice(self, person: PersonRecord) -> str | None:
        """The ODS code of the registered practice. Raises `Unavailable`."""
        statements = _patient_statements(person.entries)
        practice, needed = self._demographics.practice(statements)
        if not needed:
            return practice
        codes = await load.organisation_codes(self._database, person.entries, needed)
        return self._demographics.practice_with_codes(statements, codes)

    def shared_patients(
        self, person: PersonRecord, visible: Sequence[CurrentEntry], practice: str | None, withhold_contact: bool
    ) -> list[CurrentEntry]:
        """The shared Patients composed from these entries, one for each NHS number; none without entries."""
        if not visible:
            return []
        statements = _patient_statements(visible)
        return [
            self._demographics.patient(key, person.numbers_of(key), statements, practice, withhold_contact)
            for key in sorted(person.numbers)
        ]

    def identity_entries(
        self, person: PersonRecord, visible: Sequence[CurrentEntry], subject: PolicySubject
    ) -> list[CurrentEntry]:
        """The visible entries, and the Patients from which a team that is asked learns the person's name and contact.

        They are those of the sources whose word counts; or all where there is none.
        """
        others = _patient_statements(person.entries)
        trust, seen = self.trust(subject.registered_practice), {entry.shared_id for entry in visible}
        counted = [entry for entry in others if trust.counts(entry.organisation)]
        return [*visible, *(entry for entry in counted or others if entry.shared_id not in seen)]

    def trust(self, practice: str | None) -> Trust:
        """The sources whose word counts about a person with this registered practice."""
        return self._demographics.trust(practice)

    def withholds_contact(self, practice: str | None, *records: PersonRecord) -> bool:
        """Whether a source labels the person R or V that is neither an authority nor the registered practice."""
        trust = self.trust(practice)
        return any(not trust.counts(entry.organisation) for entry in _labelled_patients(*records))

    async def policy_subject(self, now: PersonRecord, practice: str | None, sources: frozenset[str]) -> PolicySubject:
        """The facts about the person that the policy needs. Raises `Unavailable`."""
        # Only a referral gives access that a restriction takes away.
        restricted = bool(now.referrals) and await self._is_restricted(now, practice)
        return PolicySubject(practice, sources, now.referrals, restricted)

    async def _is_restricted(self, now: PersonRecord, practice: str | None) -> bool:
        """Whether a label by an authority, the registered practice or a former one closes the record to teams."""
        trust, labelled = self.trust(practice), _labelled_patients(now)
        if not labelled or any(trust.counts(entry.organisation) for entry in labelled):
            return bool(labelled)
        lasting = lasting_labels(_patient_labels(labelled), practice, _patient_labels(_patient_statements(now.entries)))
        if not lasting:
            return False
        registered = await load.practices_by_authorities(self._database, now, trust.authorities)
        return not registered.isdisjoint(lasting)

    async def without_contact(self, entries: Sequence[CurrentEntry], organisation: str = "") -> list[CurrentEntry]:
        """The entries, without contact details of persons in those of other organisations. Raises `Unavailable`."""
        others = [
            entry for entry in entries if entry.resource_type in PERSON_TYPES and entry.organisation != organisation
        ]
        redacted = {}
        for entry in await read_store.with_contents(self._database, others):
            content = without_contact_details(entry.content or b"{}")
            redacted[entry.shared_id] = entry._replace(content=content, redacted=content != entry.content)
        return [redacted.get(entry.shared_id, entry) for entry in entries]


def _patient_statements(entries: Sequence[CurrentEntry]) -> list[CurrentEntry]:
    return [entry for entry in entries if entry.resource_type == "Patient"]


def _patient_labels(entries: Sequence[CurrentEntry]) -> list[PatientLabel]:
    return [PatientLabel(entry.organisation, entry.recorded_at, entry.content or b"") for entry in entries]


def _labelled_patients(*records: PersonRecord) -> list[CurrentEntry]:
    return [entry for record in records for entry in _patient_statements(record.entries) if entry.restricted]

"""Who a person is, as the sources say it: the registered practice, and the shared Patients."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from onestory.record.domain.patient import Numbers, compose
from onestory.record.domain.patient_practice import named_practitioners, organisations_named, registered_practice
from onestory.record.domain.patient_statement import PatientStatement, by_standing
from onestory.record.reading.kept import Kept
from onestory.record.store.entries import CurrentEntry

Versions = tuple[tuple[str, UUID | str, int, datetime | None], ...]
Practice = tuple[str | None, frozenset[str]]
_KEPT = 4096
# With a photo it would take more memory than it saves time.
_LARGEST_KEPT_BYTES = 20_000
_MICROSECONDS = 1_000_000


class Demographics:
    """Composes, and remembers what it composed by the statements that it is made of.

    `authorities` are ODS codes; `sequenced` are sources, `ODS/system`, whose rank is a number and not a time.
    """

    def __init__(self, authorities: Collection[str], sequenced: Collection[str]) -> None:
        self._authorities = authorities
        self._sequenced = sequenced
        self._practices: Kept[Versions, Practice] = Kept(_KEPT)
        self._patients: Kept[tuple[Numbers, str | None, Versions], CurrentEntry] = Kept(_KEPT)

    def practice(self, entries: Sequence[CurrentEntry]) -> Practice:
        """The registered practice by these Patient statements, and the Organizations to be looked up to be sure."""
        return self._practices.get(_versions(entries), lambda: self._practice(entries))

    def practice_knowing(self, entries: Sequence[CurrentEntry], practices: Mapping[str, str]) -> str | None:
        """The registered practice, when the ODS codes of those Organizations are known."""
        named = named_practitioners(self._statements(entries), self._authorities)
        return registered_practice(named, self._authorities, practices)

    def patient(
        self, person_key: str, numbers: Numbers, entries: Sequence[CurrentEntry], practice: str | None
    ) -> CurrentEntry:
        """The shared Patient for `numbers.own` by these Patient statements."""
        if sum(len(entry.content or b"") for entry in entries) > _LARGEST_KEPT_BYTES:
            return self._patient(person_key, numbers, entries, practice)
        return self._patients.get(
            (numbers, practice, _versions(entries)), lambda: self._patient(person_key, numbers, entries, practice)
        )

    def _patient(
        self, person_key: str, numbers: Numbers, entries: Sequence[CurrentEntry], practice: str | None
    ) -> CurrentEntry:
        heard = by_standing(self._statements(entries), self._authorities, practice)
        patient = compose(numbers, heard)
        return CurrentEntry(
            person_key=person_key,
            resource_type="Patient",
            shared_id=numbers.own,
            event_id=patient.version_id,
            rank=0,
            published_at=patient.last_updated,
            recorded_at=patient.last_updated,
            broker_time=patient.last_updated,
            organisation="",
            system="",
            content_digest=b"",
            content=patient.content,
            composed=True,
        )

    def _practice(self, entries: Sequence[CurrentEntry]) -> Practice:
        named = named_practitioners(self._statements(entries), self._authorities)
        return registered_practice(named, self._authorities, {}), organisations_named(named)

    def _statements(self, entries: Sequence[CurrentEntry]) -> list[PatientStatement]:
        return [self._statement(entry) for entry in entries]

    def _statement(self, entry: CurrentEntry) -> PatientStatement:
        # Sequences of different sources do not compare with each other, nor with times.
        by_number = f"{entry.organisation}/{entry.system}" in self._sequenced
        assert entry.published_at is not None
        said_at = int(entry.published_at.timestamp() * _MICROSECONDS) if by_number else entry.rank
        content = entry.content or b"{}"
        return PatientStatement(
            entry.shared_id, entry.event_id, entry.organisation, said_at, entry.broker_time, content
        )


def _versions(entries: Sequence[CurrentEntry]) -> Versions:
    # A repetition that arrives late may change the rank of a statement, and with it who is heard first.
    return tuple((entry.shared_id, entry.event_id, entry.rank, entry.published_at) for entry in entries)

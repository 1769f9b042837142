"""Who a person is, as the sources say it: the registered practice, and the shared Patients."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from onestory.record.domain.patient import Numbers, SharedPatient, compose
from onestory.record.domain.patient_practice import organisations_named, registered_practice
from onestory.record.domain.patient_statement import PatientStatement, by_standing
from onestory.record.reading.kept import Kept
from onestory.record.reading.store import CurrentEntry

Versions = tuple[tuple[str, UUID], ...]
Practice = tuple[str | None, frozenset[str]]
_KEPT = 4096
_MICROSECONDS = 1_000_000


class Demographics:
    """Composes, and remembers what it composed by the statements that it is made of.

    `authorities` are ODS codes; `sequenced` are sources, `ODS/system`, whose rank is a number and not a time.
    """

    def __init__(self, authorities: Collection[str], sequenced: Collection[str]) -> None:
        self._authorities = authorities
        self._sequenced = sequenced
        self._practices: Kept[Versions, Practice] = Kept(_KEPT)
        self._patients: Kept[tuple[Numbers, str | None, Versions], SharedPatient] = Kept(_KEPT)

    def practice(self, entries: Sequence[CurrentEntry]) -> Practice:
        """The registered practice by these Patient statements, and the Organizations to be looked up to be sure."""
        return self._practices.get(_versions(entries), lambda: self._practice(entries))

    def practice_knowing(self, entries: Sequence[CurrentEntry], practices: Mapping[str, str]) -> str | None:
        """The registered practice, when the ODS codes of those Organizations are known."""
        return registered_practice(self._statements(entries), self._authorities, practices)

    def patient(self, numbers: Numbers, entries: Sequence[CurrentEntry], practice: str | None) -> SharedPatient:
        """The shared Patient for `numbers.own` by these Patient statements."""
        return self._patients.get(
            (numbers, practice, _versions(entries)),
            lambda: compose(numbers, by_standing(self._statements(entries), self._authorities, practice)),
        )

    def _practice(self, entries: Sequence[CurrentEntry]) -> Practice:
        statements = self._statements(entries)
        return registered_practice(statements, self._authorities, {}), organisations_named(statements)

    def _statements(self, entries: Sequence[CurrentEntry]) -> list[PatientStatement]:
        return [self._statement(entry) for entry in entries]

    def _statement(self, entry: CurrentEntry) -> PatientStatement:
        # Sequences of different sources do not compare with each other, nor with times.
        by_number = f"{entry.organisation}/{entry.system}" in self._sequenced
        said_at = int(entry.published_at.timestamp() * _MICROSECONDS) if by_number else entry.rank
        content = entry.content or b"{}"
        return PatientStatement(
            entry.shared_id, entry.event_id, entry.organisation, said_at, entry.broker_time, content
        )


def _versions(entries: Sequence[CurrentEntry]) -> Versions:
    return tuple((entry.shared_id, entry.event_id) for entry in entries)

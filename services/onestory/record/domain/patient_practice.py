"""The registered practice: which one a Patient statement names, and whose word counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from onestory.record.domain.patient_statement import PatientStatement, by_standing
from onestory.shared.fhir.practice import practice_in, practitioners, shared_organisation

Named = tuple[PatientStatement, Sequence[Mapping[str, Any]]]


def named_practitioners(statements: Iterable[PatientStatement], authorities: Collection[str]) -> list[Named]:
    """Each statement with its generalPractitioner, in the order in which they are heard: authority first."""
    return [(said, practitioners(said.content)) for said in by_standing(statements, authorities, None)]


def registered_practice(
    named: Iterable[Named], authorities: Collection[str], practices: Mapping[str, str]
) -> str | None:
    """The ODS code of the person's practice; None when nobody whose word counts names one.

    Where there are demographic authorities, theirs is the only word (docs/decisions/0011). Without any, a practice that
    names itself is heard before the newest. `practices` gives the ODS codes of the Organization resources that
    `organisations_named` asks for.
    """
    heard = [(said.organisation, practice_in(each, practices)) for said, each in named]
    if authorities:
        # The practice opens the record to its network: no publisher may give itself that by a Patient of its own.
        return next((practice for speaker, practice in heard if practice and speaker in authorities), None)
    return next((practice for speaker, practice in heard if practice == speaker), None) or next(
        (practice for _, practice in heard if practice), None
    )


def organisations_named(named: Iterable[Named]) -> frozenset[str]:
    """Shared ids of Organizations that are named as practice by reference alone."""
    found = [shared_organisation(each) for _, listed in named for each in listed]
    return frozenset(shared_id for shared_id in found if shared_id)

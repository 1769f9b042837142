"""The registered practice: which one a Patient statement names, and whose word counts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from onestory.record.domain.patient_statement import PatientStatement, by_standing, elements, value
from onestory.shared.identity import is_ods_code_system

_ODS_REFERENCE = re.compile(r"(?:.*/)?Organization/([A-Z0-9]{3,8})")
_SHARED_REFERENCE = re.compile(r"Organization/([a-z2-7]{26}(?:-[a-z2-7]{26})?)")
# Greater than any day.
_NO_END = "~"

Named = tuple[PatientStatement, Sequence[Mapping[str, Any]]]


def named_practitioners(statements: Iterable[PatientStatement], authorities: Collection[str]) -> list[Named]:
    """Each statement with its generalPractitioner, in the order in which they are heard: authority first."""
    return [(said, practitioners(said)) for said in by_standing(statements, authorities, None)]


def registered_practice(
    named: Iterable[Named], authorities: Collection[str], practices: Mapping[str, str]
) -> str | None:
    """The ODS code of the person's practice; None when nobody whose word counts names one.

    Where there are demographic authorities, theirs is the only word (docs/decisions/0011). Without any, a practice that
    names itself is heard before the newest. `practices` gives the ODS codes of the Organization resources that
    `organisations_named` asks for.
    """
    heard = [(said.organisation, _practice(each, practices)) for said, each in named]
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


def shared_organisation(named: Mapping[str, Any]) -> str | None:
    """The shared id of the Organization that a reference names, where it names it by that alone."""
    match = _SHARED_REFERENCE.fullmatch(_reference(named)) if _ods_code(named) is None else None
    return match[1] if match else None


def named_practice(named: Mapping[str, Any], practices: Mapping[str, str]) -> str | None:
    """The ODS code of the organisation that a reference names; `practices` as for `registered_practice`."""
    return _ods_code(named) or _by_reference(_reference(named), practices)


def ods_code(organization: bytes) -> str | None:
    """The ODS code of an Organization resource."""
    return _ods_code({"identifier": value(elements(organization).get("identifier", {}), "identifier")})


def _practice(named: Iterable[Mapping[str, Any]], practices: Mapping[str, str]) -> str | None:
    """Of several practices the one whose registration goes on, else the one where it ended last."""
    codes = [named_practice(each, practices) for each in sorted(named, key=_end, reverse=True)]
    return next((code for code in codes if code), None)


def _end(named: Mapping[str, Any]) -> str:
    identifier = named.get("identifier")
    period = identifier.get("period") if isinstance(identifier, dict) else None
    return str(period["end"]) if isinstance(period, dict) and period.get("end") else _NO_END


def practitioners(said: PatientStatement) -> Sequence[Mapping[str, Any]]:
    """Whom a statement names as generalPractitioner."""
    return value(elements(said.content).get("generalPractitioner", {}), "generalPractitioner") or ()


def _reference(named: Mapping[str, Any]) -> str:
    return str(named.get("reference", ""))


def _ods_code(named: Mapping[str, Any]) -> str | None:
    identifiers = named.get("identifier") or []
    for identifier in identifiers if isinstance(identifiers, list) else [identifiers]:
        if is_ods_code_system(identifier.get("system")) and identifier.get("value"):
            return str(identifier["value"]).upper()
    return None


def _by_reference(reference: str, practices: Mapping[str, str]) -> str | None:
    if match := _SHARED_REFERENCE.fullmatch(reference):
        return practices.get(match[1])
    return match[1] if (match := _ODS_REFERENCE.fullmatch(reference)) else None

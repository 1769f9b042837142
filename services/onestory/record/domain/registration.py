"""Registrations with practices, as Patient and EpisodeOfCare statements tell of them.

FHIR R4: Patient.generalPractitioner names practices, in PDS with a period in the identifier of the reference; an
EpisodeOfCare of a practice may be the registration itself (NHS England, change of GP events).
"""

from __future__ import annotations

import calendar
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from onestory.record.domain.patient_statement import PatientStatement
from onestory.shared.fhir.elements import Element, elements, value
from onestory.shared.fhir.practice import named_practice, practitioners, shared_organisation

EPISODE = "EpisodeOfCare"
# What PDS calls the kinds of care; 1 is primary care. The STU3 name is what is published; R4 may drop that part.
_CARE_KINDS = "PatientCareProvisionType"
_PRIMARY_CARE = "1"
_UNDER_WAY = ("active", "onhold")


class Registration(NamedTuple):
    """That a person is, or was, registered with a practice: what one statement says of it.

    `practice` and `by`, who says it, are ODS codes; `statement` is the shared id of the resource that says it, a
    Patient or an `episode`. `said_at` (microseconds) tells which of two statements is newer. `start` and `end` are the
    first and the last day, where they are told; without an `end` it goes on. `certain`: it is a registration; else that
    depends on whether `practice` is known as a practice.
    """

    practice: str
    by: str
    said_at: int
    start: date | None
    end: date | None
    statement: str
    episode: bool = False
    certain: bool = True

    def goes_on(self, today: date) -> bool:
        """Whether the person is registered on this day, by this statement."""
        return (self.start is None or self.start <= today) and not self.is_over(today)

    def is_over(self, today: date) -> bool:
        """Whether its last day has passed."""
        return self.end is not None and self.end < today


def registrations(said: PatientStatement, practices: Mapping[str, str]) -> Iterator[Registration]:
    """What a Patient statement tells. `practices` gives the ODS codes of Organizations that are named by reference."""
    for named in practitioners(said.content):
        if practice := named_practice(named, practices):
            period = _of(_of(named, "identifier"), "period")
            days = (first_day(period), last_day(period))
            yield Registration(practice, said.organisation, said.said_at, *days, said.shared_id)


def of_episode(
    said: PatientStatement, practices: Mapping[str, str], authorities: Collection[str]
) -> Registration | None:
    """What an EpisodeOfCare statement tells of a registration: the practice's own, or that of an authority."""
    found = elements(said.content)
    manager, period = _part(found, "managingOrganization"), _part(found, "period")
    practice = said.organisation if "managingOrganization" not in found else named_practice(manager, practices)
    if practice is None or (practice != said.organisation and said.organisation not in authorities):
        return None
    kinds = _dicts(value(found.get("type", {}), "type"))
    certain = any(_is_primary_care(coding) for kind in kinds for coding in _dicts(kind.get("coding")))
    status, end = value(found.get("status", {}), "status"), last_day(period)
    if ("type" in found and not certain) or not (status in _UNDER_WAY or (status == "finished" and end)):
        return None
    days = (first_day(period), end if status == "finished" else None)
    return Registration(practice, said.organisation, said.said_at, *days, said.shared_id, True, certain)


def manager_by_reference(content: bytes) -> str | None:
    """The shared id of the Organization that an EpisodeOfCare names as its manager."""
    return shared_organisation(_part(elements(content), "managingOrganization"))


def first_day(period: Mapping[str, Any]) -> date | None:
    """The first day of a FHIR Period; of a year or a month that is all that is told, its first."""
    return _day(period.get("start"), last=False)


def last_day(period: Mapping[str, Any]) -> date | None:
    """The last day of a FHIR Period; of a year or a month that is all that is told, its last."""
    return _day(period.get("end"), last=True)


def _day(told: object, *, last: bool) -> date | None:
    if not isinstance(told, str):
        return None
    try:
        year, month, day = [*map(int, told[:10].split("-")), 0, 0][:3]
        month = month or (12 if last else 1)
        return date(year, month, day or (calendar.monthrange(year, month)[1] if last else 1))
    except ValueError:
        return None


def _part(found: Mapping[str, Element], name: str) -> Mapping[str, Any]:
    """An element that is an object. An EpisodeOfCare that came past the door may have anything there."""
    part = value(found.get(name, {}), name)
    if not isinstance(part, dict) or not isinstance(part.get("identifier", {}), dict):
        return {}
    return part


def _dicts(found: object) -> Sequence[Mapping[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _of(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = holder.get(name)
    return found if isinstance(found, dict) else {}


def _is_primary_care(coding: Mapping[str, Any]) -> bool:
    return _CARE_KINDS in str(coding.get("system", "")) and coding.get("code") == _PRIMARY_CARE

"""Where a person is and was registered, by Patient and EpisodeOfCare statements, and which practices are former. Pure.

FHIR R4: Patient.generalPractitioner names practices; PDS adds a period in the identifier of the reference. An
EpisodeOfCare of a practice may be the registration itself (NHS England, change of GP events).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from onestory.record.person.statements import PatientStatement
from onestory.shared.fhir.dates import parse_date, uk_day
from onestory.shared.fhir.json import Element, element_value, elements, listed_objects, object_of
from onestory.shared.fhir.references import (
    general_practitioners,
    organisation_shared_id,
    practice_ods_code,
)

EPISODE = "EpisodeOfCare"

# Part of the URL of the PDS code system for kinds of care, in which code 1 is primary care. The published URL has
# "STU3" in it; an R4 one may not.
_CARE_PROVISION_SYSTEM = "PatientCareProvisionType"
_PRIMARY_CARE = "1"
_CURRENT_STATUSES = ("active", "onhold")


class Registration(NamedTuple):
    """A registration of the person with a practice, as one statement has it.

    `practice` and `stated_by` are ODS codes. `statement_id` is the shared id of the statement: a Patient, or an
    EpisodeOfCare (`is_episode`). `stated_at_us` (microseconds since 1970) tells which of two statements is newer.
    `start` and `end` are the first and the last day, or None when they are not stated; without an end the registration
    goes on. `is_certain` is false for an episode of care that may be something else. It counts only when another
    statement shows that its organisation is a practice.
    """

    practice: str
    stated_by: str
    stated_at_us: int
    start: date | None
    end: date | None
    statement_id: str
    is_episode: bool = False
    is_certain: bool = True

    def is_current_on(self, today: date) -> bool:
        """Whether the person is registered on this day, by this statement."""
        return (self.start is None or self.start <= today) and not self.is_over_on(today)

    def is_over_on(self, today: date) -> bool:
        """Whether the last day is before this day."""
        return self.end is not None and self.end < today


def registrations_from_patient(statement: PatientStatement, practices: Mapping[str, str]) -> Iterator[Registration]:
    """The registrations by one Patient statement.

    `practices` gives the ODS codes of Organizations that are named by reference, by shared id.
    """
    for named in general_practitioners(statement.content):
        if practice := practice_ods_code(named, practices):
            period = object_of(object_of(named, "identifier"), "period")
            days = (first_day(period), last_day(period))
            yield Registration(practice, statement.organisation, statement.stated_at_us, *days, statement.shared_id)


def registration_from_episode(
    statement: PatientStatement, practices: Mapping[str, str], authorities: Collection[str]
) -> Registration | None:
    """The registration by one EpisodeOfCare, stated by the practice itself or an authority; None for other care."""
    parts = elements(statement.content)
    manager, period = _object_element(parts, "managingOrganization"), _object_element(parts, "period")
    practice = statement.organisation if "managingOrganization" not in parts else practice_ods_code(manager, practices)
    if practice is None or (practice != statement.organisation and statement.organisation not in authorities):
        return None
    kinds = listed_objects(element_value(parts.get("type", {}), "type"))
    certain = any(_is_primary_care(coding) for kind in kinds for coding in listed_objects(kind.get("coding")))
    status, end = element_value(parts.get("status", {}), "status"), last_day(period)
    if ("type" in parts and not certain) or not (status in _CURRENT_STATUSES or (status == "finished" and end)):
        return None
    days = (first_day(period), end if status == "finished" else None)
    return Registration(
        practice, statement.organisation, statement.stated_at_us, *days, statement.shared_id, True, certain
    )


def managing_organisation_id(content: bytes) -> str | None:
    """The shared id of the Organization in EpisodeOfCare.managingOrganization, if there is one."""
    return organisation_shared_id(_object_element(elements(content), "managingOrganization"))


def _is_primary_care(coding: Mapping[str, Any]) -> bool:
    return _CARE_PROVISION_SYSTEM in str(coding.get("system", "")) and coding.get("code") == _PRIMARY_CARE


def first_day(period: Mapping[str, Any]) -> date | None:
    """The first day of a FHIR Period in the UK. A year or a month counts from its first day."""
    start = parse_date(period.get("start"))
    return uk_day(start.begin) if start else None


def last_day(period: Mapping[str, Any]) -> date | None:
    """The last day of a FHIR Period in the UK. A year or a month counts to its last day."""
    end = parse_date(period.get("end"))
    if end is None:
        return None
    return uk_day(end.begin if end.is_time else end.end - timedelta(microseconds=1))


def _object_element(parts: Mapping[str, Element], name: str) -> Mapping[str, Any]:
    """An element that is an object; empty for anything else. Only intake guarantees that it is one."""
    part = element_value(parts.get(name, {}), name)
    if not isinstance(part, dict) or not isinstance(part.get("identifier", {}), dict):
        return {}
    return part


# Former practices: where a person was registered before, and until when.


def former_practices(
    present: Iterable[Registration],
    past: Iterable[Sequence[Registration]],
    authorities: Collection[str],
    today: date,
) -> dict[str, date]:
    """The ODS codes of former practices, each with its last day; the latest day when several are stated.

    The last statements of a former practice, above all its repeat medicines, are not current for ever. So its entries
    get a label. No entry is hidden or ended. A label needs a date that is certain, and the current practice never has
    one.

    `present` are the registrations by current statements. `past` has a list for each Patient statement of an authority,
    current and earlier ones. The authority goes first, then a practice about itself; other sources do not count.
    """
    known = _known_practices_only(present)
    history = [list(registrations) for registrations in past]
    authoritative = [registration for registration in known if registration.stated_by in authorities]
    own = [
        registration
        for registration in known
        if registration.stated_by == registration.practice and registration.stated_by not in authorities
    ]
    registered = _current_registrations(authoritative, today)
    last_days: dict[str, date] = {}
    _add_latest(
        last_days,
        _ended_practices(
            [*authoritative, *own, *[registration for registrations in history for registration in registrations]],
            today,
        ),
    )
    _add_latest(last_days, _replaced_practices(own, registered, today))
    _add_latest(last_days, _no_longer_named(history, registered, today))
    named = {registration.practice for registration in authoritative}
    return {
        practice: until
        for practice, until in sorted(last_days.items())
        if until <= today
        and all(registration.practice != practice for registration in registered)
        and not _is_registered_after(own, practice, until, today, alone=not registered and practice not in named)
    }


def next_change_on(registrations: Collection[Registration], today: date) -> date | None:
    """The next day after `today` on which one of these registrations begins, or is over; None: there is none."""
    ends = [registration.end + timedelta(days=1) for registration in registrations if registration.end is not None]
    starts = [registration.start for registration in registrations if registration.start is not None]
    return min((day for day in [*ends, *starts] if day > today), default=None)


def _known_practices_only(registrations: Iterable[Registration]) -> list[Registration]:
    """The registrations without episodes of care at organisations that no statement shows to be a practice."""
    listed = list(registrations)
    practices = {registration.practice for registration in listed if registration.is_certain}
    return [registration for registration in listed if registration.practice in practices]


def _current_registrations(authoritative: Collection[Registration], today: date) -> list[Registration]:
    """The current registrations, by the newest Patient statement of an authority and by episodes stated since."""
    current = [registration for registration in authoritative if _is_current(registration, authoritative, today)]
    newest = max((registration.stated_at_us for registration in current if not registration.is_episode), default=None)
    return [
        registration
        for registration in current
        if newest is None
        or (registration.stated_at_us > newest if registration.is_episode else registration.stated_at_us == newest)
    ]


def _is_current(registration: Registration, others: Iterable[Registration], today: date) -> bool:
    """Whether the registration goes on, and none of the `others` ends it."""
    ended = [other for other in others if other.practice == registration.practice and other.is_over_on(today)]
    return registration.is_current_on(today) and not any(_is_ended_by(other, registration) for other in ended)


def _is_ended_by(ended: Registration, registration: Registration) -> bool:
    assert ended.end is not None
    if registration.statement_id == ended.statement_id or (
        registration.start is not None and registration.start > ended.end
    ):
        return False  # one list with a past and a current registration, or a new registration after the end
    if registration.is_episode and ended.is_episode:
        return False  # two registrations, each with its own end
    # A Patient goes on naming a practice that nobody has checked again, so the statement with a dated end counts.
    return ended.stated_at_us >= registration.stated_at_us


def _ended_practices(registrations: Iterable[Registration], today: date) -> dict[str, date]:
    """The last days that are stated."""
    last_days: dict[str, date] = {}
    for registration in registrations:
        if registration.end is not None and registration.is_over_on(today):
            _add_latest(last_days, {registration.practice: registration.end})
    return last_days


def _replaced_practices(
    own: Iterable[Registration], registered: Collection[Registration], today: date
) -> dict[str, date]:
    """Practices that state no end, while the authority states since when the person is registered elsewhere."""
    until = _day_before_start(registered)
    if until is None:
        return {}
    return {
        registration.practice: until
        for registration in own
        if registration.is_current_on(today) and (registration.start is None or registration.start <= until)
    }


def _no_longer_named(
    history: Iterable[Sequence[Registration]], registered: Collection[Registration], today: date
) -> dict[str, date]:
    """Practices that an authority once named, until its first later statement that names only others."""
    last_days: dict[str, date] = {}
    starts: dict[str, date | None] = {}
    current = (
        [
            [registration for registration in registrations if registration.is_current_on(today)]
            for registrations in history
        ]
        if registered
        else []
    )
    for named in sorted(filter(None, current), key=_statement_order):
        until, practices = _day_before_start(named), {registration.practice for registration in named}
        for practice in starts.keys() - practices:
            start = starts[practice]
            # A next practice that began before this one did not replace it. Then the day of the statement is certain.
            day = until if until is not None and (start is None or start <= until) else _statement_day(named[0])
            last_days.setdefault(practice, day)
        for registration in named:
            last_days.pop(registration.practice, None)
            starts[registration.practice] = registration.start
    return last_days


def _is_registered_after(own: Iterable[Registration], practice: str, until: date, today: date, *, alone: bool) -> bool:
    """Whether the practice states a registration after that day. `alone`: no authority states anything."""
    registrations = [registration for registration in own if registration.practice == practice]
    current = [registration for registration in registrations if _is_current(registration, registrations, today)]
    return any(alone or (registration.start is not None and registration.start > until) for registration in current)


def _day_before_start(registered: Collection[Registration]) -> date | None:
    """The day before the first of these registrations began; None unless each states its start."""
    starts = [registration.start for registration in registered if registration.start is not None]
    return min(starts) - timedelta(days=1) if starts and len(starts) == len(registered) else None


def _add_latest(last_days: dict[str, date], more: dict[str, date]) -> None:
    for practice, until in more.items():
        last_days[practice] = max(last_days.get(practice, until), until)


def _statement_order(registrations: Sequence[Registration]) -> tuple[int, list[str]]:
    return registrations[0].stated_at_us, sorted(registration.practice for registration in registrations)


def _statement_day(registration: Registration) -> date:
    return datetime.fromtimestamp(registration.stated_at_us / 1_000_000, UTC).date()

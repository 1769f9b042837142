"""Registrations with practices, as Patient and EpisodeOfCare statements tell of them.

FHIR R4: Patient.generalPractitioner names practices, in PDS with a period in the identifier of the reference; an
EpisodeOfCare of a practice may be the registration itself (NHS England, change of GP events).
"""

from __future__ import annotations

import calendar
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from onestory.record.person.statements import PatientStatement, by_standing
from onestory.shared.fhir.json import Element, elements, value
from onestory.shared.fhir.references import named_practice, practice_in, practitioners, shared_organisation

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


# The registered practice: which one a Patient statement names, and whose word counts.

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


# Former practices: where a person was registered once, and until when.
#
# What such a practice said last, a repeat medicine above all, is not current for ever. So its entries are
# labelled; none is hidden, and none ends. A label needs a date that can be told safely; the presently registered
# practice never has one.


def former_practices(
    present: Iterable[Registration],
    past: Iterable[Sequence[Registration]],
    authorities: Collection[str],
    today: date,
) -> dict[str, date]:
    """The ODS codes of former practices, with the last day of each; the latest where several are told.

    `present` is what statements that stand say; `past` what each Patient statement of an authority says, those that
    stand and those before them. The authority is heard first, then a practice about itself, and nobody else.
    """
    known = _of_practices(present)
    history = [list(said) for said in past]
    official = [each for each in known if each.by in authorities]
    own = [each for each in known if each.by == each.practice and each.by not in authorities]
    registered = _registered(official, today)
    found: dict[str, date] = {}
    _add(found, _ended([*official, *own, *[each for said in history for each in said]], today))
    _add(found, _replaced(own, registered, today))
    _add(found, _left(history, registered, today))
    spoken_of = {each.practice for each in official}
    return {
        practice: until
        for practice, until in sorted(found.items())
        if until <= today
        and all(each.practice != practice for each in registered)
        and not _goes_on(own, practice, until, today, alone=not registered and practice not in spoken_of)
    }


def changes_on(said: Collection[Registration], today: date) -> date | None:
    """The next day on which a registration begins, or is over, as these statements have it; None: none will."""
    over = [each.end + timedelta(days=1) for each in said if each.end is not None]
    begun = [each.start for each in said if each.start is not None]
    return min((day for day in [*over, *begun] if day > today), default=None)


def _of_practices(said: Iterable[Registration]) -> list[Registration]:
    """Without episodes of care of which nothing tells that a practice had them."""
    listed = list(said)
    practices = {each.practice for each in listed if each.certain}
    return [each for each in listed if each.practice in practices]


def _registered(official: Collection[Registration], today: date) -> list[Registration]:
    """Where the person is registered, by the newest Patient statement of an authority and by episodes since."""
    standing = [each for each in official if _stands(each, official, today)]
    newest = max((each.said_at for each in standing if not each.episode), default=None)
    return [
        each
        for each in standing
        if newest is None or (each.said_at > newest if each.episode else each.said_at == newest)
    ]


def _stands(one: Registration, among: Iterable[Registration], today: date) -> bool:
    """Whether it goes on, and nobody of these has said since that it ended."""
    ended = [other for other in among if other.practice == one.practice and other.is_over(today)]
    return one.goes_on(today) and not any(_ends(other, one) for other in ended)


def _ends(ended: Registration, one: Registration) -> bool:
    assert ended.end is not None
    if one.statement == ended.statement or (one.start is not None and one.start > ended.end):
        return False  # a list that has the past and the present registration, or a registration anew
    if one.episode and ended.episode:
        return False  # two registrations; each has an end of its own
    # A Patient names its practice whether or not anybody has looked at it: the end that has a date counts.
    return ended.said_at >= one.said_at


def _ended(said: Iterable[Registration], today: date) -> dict[str, date]:
    """The last days that are told."""
    found: dict[str, date] = {}
    for each in said:
        if each.end is not None and each.is_over(today):
            _add(found, {each.practice: each.end})
    return found


def _replaced(own: Iterable[Registration], registered: Collection[Registration], today: date) -> dict[str, date]:
    """Practices that know of no end, where the authority says since when another one is the person's."""
    until = _day_before(registered)
    if until is None:
        return {}
    return {each.practice: until for each in own if each.goes_on(today) and (each.start is None or each.start <= until)}


def _left(
    history: Iterable[Sequence[Registration]], registered: Collection[Registration], today: date
) -> dict[str, date]:
    """Practices that an authority named once, until its first statement after that which names others alone."""
    found: dict[str, date] = {}
    began: dict[str, date | None] = {}
    going_on = [[each for each in said if each.goes_on(today)] for said in history] if registered else []
    for named in sorted(filter(None, going_on), key=_by_time):
        until, now = _day_before(named), {each.practice for each in named}
        for practice in began.keys() - now:
            start = began[practice]
            # Who came next did not come before this one; then the day of the statement is what can be told.
            told = until if until is not None and (start is None or start <= until) else _day_of(named[0])
            found.setdefault(practice, told)
        for each in named:
            found.pop(each.practice, None)
            began[each.practice] = each.start
    return found


def _goes_on(own: Iterable[Registration], practice: str, until: date, today: date, *, alone: bool) -> bool:
    """Whether the practice says that the person is registered after that day; `alone`: no authority says anything."""
    about = [each for each in own if each.practice == practice]
    standing = [each for each in about if _stands(each, about, today)]
    return any(alone or (each.start is not None and each.start > until) for each in standing)


def _day_before(registered: Collection[Registration]) -> date | None:
    """The last day before these were the person's; None where it is not told of each."""
    starts = [each.start for each in registered if each.start is not None]
    return min(starts) - timedelta(days=1) if starts and len(starts) == len(registered) else None


def _add(found: dict[str, date], more: dict[str, date]) -> None:
    for practice, until in more.items():
        found[practice] = max(found.get(practice, until), until)


def _by_time(said: Sequence[Registration]) -> tuple[int, list[str]]:
    return said[0].said_at, sorted(each.practice for each in said)


def _day_of(said: Registration) -> date:
    return datetime.fromtimestamp(said.said_at / 1_000_000, UTC).date()

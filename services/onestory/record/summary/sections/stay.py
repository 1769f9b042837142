"""Where the person is now: hospital stays, virtual wards, and the contacts with care of the last weeks.

http://hl7.org/fhir/R4/encounter.html. A stay that its source has not closed is told as it is; one that was followed by
a later stay at the same organisation, or elsewhere after it was last heard of, counts as not closed, and raises no
notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from onestory.record.merge.model import Fact
from onestory.record.summary import dates as summary_dates
from onestory.record.summary import wording
from onestory.record.summary.around import actor, places_around
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import ONESTORY_SECTIONS, Group, Line, Section, SectionDefinition, build_section
from onestory.shared.fhir.dates import NEVER, parse_date, uk_day
from onestory.shared.fhir.json import codes_of, concept_texts, object_of, objects_at, text_at, text_of

_STAYS = SectionDefinition("stay", "Stays and recent contacts", types=frozenset(["Encounter"]))
_GOING_ON = {"arrived", "triaged", "in-progress", "onleave"}
_EMERGENCY_HOURS = timedelta(hours=72)
"""An emergency attendance that is older was not closed by its source."""
_STAY_SHOWN_FOR = timedelta(days=90)
_CONTACT_SHOWN_FOR = timedelta(days=30)
_MAX_ENDED = 8

_DISPOSITIONS = {
    "home": "home",
    "alt-home": "another home",
    "other-hcf": "another care facility",
    "hosp": "hospice",
    "long": "long-term care",
    "aadvice": "left against advice",
    "exp": "died",
    "psy": "psychiatric hospital",
    "rehab": "rehabilitation",
    "snf": "nursing home",
    "oth": "elsewhere",
}
"""Words for the codes of http://hl7.org/fhir/R4/valueset-encounter-discharge-disposition.html."""
_LEFT_OPEN = timedelta(days=30)
_NOT_HEARD_FOR = timedelta(days=60)
"""A stay that its source has not sent again for so long may have been left open."""

HOSPITAL, EMERGENCY, VIRTUAL, OTHER = "In hospital now", "In an emergency department now", "On a virtual ward now", ""
AWAY = "Staying elsewhere now"
_WORDS = {HOSPITAL: "Hospital stay", EMERGENCY: "Emergency attendance", VIRTUAL: "Virtual ward", AWAY: "Stay"}


def stay(record: SummaryRecord) -> Section | None:
    """The stays that go on or are planned, and what ended in the last weeks; the rest is counted."""
    encounters = wording.newest_first(record, record.facts("Encounter"))
    now = {fact.id: kind for fact, kind in _now(record)}
    open_ones = [fact for fact in encounters if fact.id not in now and _status(record, fact) in _GOING_ON]
    planned = [fact for fact in encounters if _status(record, fact) == "planned" and _last(record, fact) > record.at]
    ended = [fact for fact in encounters if _is_recent(record, fact)][:_MAX_ENDED]
    groups = [
        Group("Now", [_line(record, fact, now[fact.id]) for fact in encounters if fact.id in now]),
        Group("Planned", [_line(record, fact, "", _last(record, fact)) for fact in planned]),
        Group("Ended lately", [_line(record, fact, "", _shown_until(record, fact)) for fact in ended]),
        Group("Not closed by its source", [_line(record, fact, "") for fact in open_ones]),
    ]
    shown = {line.fact.id for group in groups for line in group.lines}
    remark = wording.omitted_remark(len(encounters) - len(shown), "are older contacts, or did not take place")
    built = build_section(record, _STAYS, groups, remarks=[remark])
    return replace(built, system=ONESTORY_SECTIONS, empty=None) if built else None


def stay_words(record: SummaryRecord) -> list[str]:
    """Where the person is now in a few words, each place once."""
    now = ((kind, _places(record, fact)) for fact, kind in _now(record))
    return list(dict.fromkeys(f"{kind}: {', '.join(places)}" for kind, places in now))


def stay_notices(record: SummaryRecord) -> Iterator[str]:
    """Yields one notice (XHTML) for each organisation where the person is now."""
    told = set()
    for fact, kind in _now(record):
        statement = record.shown(fact)
        if statement.organisation not in told:
            told.add(statement.organisation)
            since = summary_dates.shown(text_at(statement.content, "period", "start"))
            leave = "on leave from the ward" if text_at(statement.content, "status") == "onleave" else ""
            heard = _heard(record, fact)
            old = (
                f"last heard of on {summary_dates.day(uk_day(heard))}: check"
                if heard + _NOT_HEARD_FOR < record.at
                else ""
            )
            parts = [*_places(record, fact), f"since {since}" if since else "", leave, old]
            yield f"{strong(f'{kind}:')} {text(', '.join(part for part in parts if part))}."


def _now(record: SummaryRecord) -> list[tuple[Fact, str]]:
    """The stays that go on, the latest first, with their kind."""
    facts = list(record.facts("Encounter"))
    going_on = [fact for fact in facts if _status(record, fact) in _GOING_ON]
    if not going_on:
        return []
    latest_end: dict[str, datetime] = {}
    for fact in facts:
        if _status(record, fact) == "finished" and _kind(record, fact):
            organisation = record.shown(fact).organisation
            latest_end[organisation] = max(_begin(record, fact), latest_end.get(organisation, _begin(record, fact)))
    found = []
    for fact in wording.newest_first(record, going_on):
        kind, begin = _kind(record, fact), _begin(record, fact)
        later = latest_end.get(record.shown(fact).organisation)
        over = _end(record, fact) <= record.at or (later is not None and later > begin)
        too_old = kind == EMERGENCY and begin + _EMERGENCY_HOURS < record.at
        if kind and begin <= record.at and not over and not too_old:
            found.append((fact, kind))
    latest = max((_begin(record, fact) for fact, _ in found), default=NEVER)
    # Nobody is in two hospitals: a stay that was last heard of long before a later one began was left open.
    since = latest - _LEFT_OPEN if latest < NEVER else latest
    found = [each for each in found if _begin(record, each[0]) == latest or _heard(record, each[0]) >= since]
    return sorted(found, key=lambda each: _begin(record, each[0]), reverse=True)


def _heard(record: SummaryRecord, fact: Fact) -> datetime:
    """When a source last sent anything of the stay."""
    return max(each.recorded_at for each in record.valid_statements(fact))


def _status(record: SummaryRecord, fact: Fact) -> str:
    return text_at(record.shown(fact).content, "status")


def _kind(record: SummaryRecord, fact: Fact) -> str:
    content = record.shown(fact).content
    of_class = object_of(content, "class")
    codes = {(text_of(of_class, "system"), text_of(of_class, "code"))} | codes_of(content, "type")
    places = [text_at(each, "location", "display") for each in objects_at(content, "location")]
    named = [text_of(of_class, "display"), *concept_texts(content, "type"), *concept_texts(content, "serviceType")]
    words = " | ".join([*named, *places]).casefold()
    data = places_around()
    if any(each in words for each in data.virtual_words):
        return VIRTUAL
    if codes & data.emergency:
        return EMERGENCY
    if not (codes & data.stays or any(each in words for each in data.stay_words)):
        return OTHER
    return AWAY if any(each in words for each in data.away_words) else HOSPITAL


def _begin(record: SummaryRecord, fact: Fact) -> datetime:
    statement = record.shown(fact)
    known = parse_date(text_at(statement.content, "period", "start"))
    return known.begin if known else statement.recorded_at


def _end(record: SummaryRecord, fact: Fact) -> datetime:
    known = parse_date(text_at(record.shown(fact).content, "period", "end"))
    return known.end if known else NEVER


def _last(record: SummaryRecord, fact: Fact) -> datetime:
    """When a planned Encounter is over; its begin counts if no end is planned."""
    end = _end(record, fact)
    if end < NEVER:
        return end
    known = parse_date(text_at(record.shown(fact).content, "period", "start"))
    return known.end if known else NEVER


def _shown_until(record: SummaryRecord, fact: Fact) -> datetime:
    end = _end(record, fact)
    base = end if end < NEVER else _begin(record, fact)
    span = _STAY_SHOWN_FOR if _kind(record, fact) else _CONTACT_SHOWN_FOR
    return base + span if base < NEVER - span else NEVER


def _is_recent(record: SummaryRecord, fact: Fact) -> bool:
    return _status(record, fact) == "finished" and _shown_until(record, fact) > record.at


def _places(record: SummaryRecord, fact: Fact) -> list[str]:
    """The hospital, then the places where the person is: those that are not over."""
    statement = record.shown(fact)
    provider = actor(record, statement, object_of(statement.content, "serviceProvider"))
    places = [provider.name if provider else record.organisation_of(statement)]
    for each in objects_at(statement.content, "location"):
        over = text_at(each, "status") == "completed" or _is_past(text_at(each, "period", "end"), record.at)
        place = actor(record, statement, object_of(each, "location"))
        if place and (not over or text_at(statement.content, "status") == "finished"):
            places.append(place.name)
    return list(dict.fromkeys(places))


def _is_past(written: str, at: datetime) -> bool:
    known = parse_date(written)
    return known is not None and known.end <= at


def _line(record: SummaryRecord, fact: Fact, kind: str, until: datetime = NEVER) -> Line:
    content = record.shown(fact).content
    what = [strong(text(kind))] if kind else []
    what += [text(each) for each in _names(content, _kind(record, fact))]
    details = [
        ", ".join(_places(record, fact)),
        _when(content),
        *concept_texts(content, "reasonCode"),
        *_going(content),
    ]
    if kind:
        limit = _begin(record, fact) + _EMERGENCY_HOURS if kind == EMERGENCY else NEVER
        until = min(limit, _end(record, fact))
    return Line(fact, what, [text(each) for each in details if each], until)


def _names(content: Mapping[str, Any], kind: str) -> Iterable[str]:
    of_class = object_of(content, "class")
    kinds = [*concept_texts(content, "type"), *concept_texts(content, "serviceType")]
    return list(dict.fromkeys(kinds)) or [text_of(of_class, "display") or _WORDS.get(kind, "Contact with care")]


def _when(content: Mapping[str, Any]) -> str:
    start = summary_dates.shown(text_at(content, "period", "start"))
    end = summary_dates.shown(text_at(content, "period", "end"))
    if not end and start and text_at(content, "status") == "finished":
        return f"from {start}, its end is not stated"
    if not end:
        return f"since {start}" if start and text_at(content, "status") != "planned" else start
    return f"{start} to {end}" if start else f"until {end}"


def _going(content: Mapping[str, Any]) -> Iterator[str]:
    for each in concept_texts(content, "hospitalization", "dischargeDisposition"):
        yield (
            each
            if each.casefold().startswith(("discharged", "died"))
            else f"Discharged to: {_DISPOSITIONS.get(each, each)}"
        )

"""Decides how a medicine stands: to be given, when required, a course, paused, lapsed, stopped; and until when.

A course ends at its stated end, or after its stated duration. A repeat ends only if its source says so: when its
authorisation has ended it is `LAPSED`. A missing date is taken as late as possible, so a medicine is shown too long
rather than too short.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.model import Statement
from onestory.record.summary.dates import months_after
from onestory.record.summary.model import SummaryRecord, end_of_day
from onestory.shared.fhir.dates import NEVER, parse_date
from onestory.shared.fhir.json import concept_texts, extensions, objects_at, text_at, values_at
from onestory.shared.fhir.resource import read_once

FORBIDDEN = "DO NOT GIVE"
REPEAT = "Regular"
WHEN_REQUIRED = "When required"
COURSE = "Courses (acute)"
SUPPLIED = "Supplied or given; matched to no current prescription"
ANTICIPATORY = "Anticipatory: kept just in case, not started"
INFUSION = "Syringe driver or continuous infusion"
PAUSED = "Paused"
UNSURE = "Planned, or not known if taken"
LAPSED = "Authorisation ended, or not issued lately"
FORMER = "Repeats of a former practice: not known to be current"
STOPPED = "Stopped or ended, or not taken"
GROUPS = (
    FORBIDDEN,
    REPEAT,
    WHEN_REQUIRED,
    COURSE,
    SUPPLIED,
    ANTICIPATORY,
    INFUSION,
    PAUSED,
    UNSURE,
    LAPSED,
    FORMER,
    STOPPED,
)
"""In the order in which they are shown."""
CURRENT = (REPEAT, WHEN_REQUIRED, COURSE, SUPPLIED, INFUSION)
"""The groups of medicines that are taken now."""
SUPPLIES = ("MedicationDispense", "MedicationAdministration")
MEDICINE_ORDERS = ("MedicationRequest", "MedicationStatement")

_STOPPED_MONTHS = 6
_ACUTE_MONTHS = 12
_OVER_STATUSES = {"stopped", "cancelled", "not-taken", "not-done", "declined"}
_UNSURE_STATUSES = {"draft", "intended", "unknown", "preparation"}
_UNSURE_INTENTS = {"proposal", "option"}
_ENDS = (
    ("effectivePeriod", "end"),
    ("dispenseRequest", "validityPeriod", "end"),
    ("dosageInstruction", "timing", "repeat", "boundsPeriod", "end"),
    ("dosage", "timing", "repeat", "boundsPeriod", "end"),
)
_COURSE_ENDS = (_ENDS[0], *_ENDS[2:])
_BEGINS = (
    ("authoredOn",),
    ("effectiveDateTime",),
    ("effectivePeriod", "start"),
    ("whenHandedOver",),
    ("whenPrepared",),
    ("dosageInstruction", "timing", "event"),
    ("dosage", "timing", "event"),
    ("dosageInstruction", "timing", "repeat", "boundsPeriod", "start"),
    ("dosage", "timing", "repeat", "boundsPeriod", "start"),
)
_WRITTEN = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: float(number) for number, word in enumerate(_WRITTEN, 1)} | {"twelve": 12.0, "fourteen": 14.0}
_DAYS = {"d": 1, "day": 1, "days": 1, "wk": 7, "week": 7, "weeks": 7, "mo": 30, "month": 30, "months": 30, "h": 1 / 24}


class MedicineStatus(NamedTuple):
    """The group that a medicine is shown in, the time until which it is, and when it ended, if that is known."""

    group: str
    until: datetime
    ended: datetime | None = None


class StandingWords(NamedTuple):
    """The data file `summary/standing`, with its expressions compiled."""

    anticipatory: re.Pattern[str]
    infusion: re.Pattern[str]
    when_required: re.Pattern[str]
    asks_to_act: re.Pattern[str]
    goes_on: re.Pattern[str]
    next_step: re.Pattern[str]
    duration: re.Pattern[str]
    course: re.Pattern[str]
    spans: Mapping[str, int]
    short_supply: timedelta
    not_issued_months: int
    supplied_months: int


@clinical_table
def standing_words() -> StandingWords:
    """The words of the data file, read once."""
    data = read_clinical_data("summary/standing")
    spans = "|".join(sorted(data["spans"], key=len, reverse=True))
    return StandingWords(
        _any_of(data["anticipatory"]),
        _any_of(data["infusion"]),
        _any_of(data["when_required"]),
        _any_of(data["asks_to_act"]),
        _any_of(data["goes_on"]),
        re.compile(rf"{_any_of(data['next_step']).pattern}(?!\s+stop\b)", re.I),
        re.compile(rf"\bfor (?:the next |a further )?(\d+|{'|'.join(_NUMBERS)}) ({spans})\b", re.I),
        re.compile(
            r"(?<![\d/.])([2-9]|[1-9]\d)/(7)(?![\d/])|\b(?:for|x) ?(\d{1,2})/(52|12)(?![\d/])"
            r"|\b(\d{1,2})[ -]?(day|week)s? course\b",
            re.I,
        ),
        data["spans"],
        timedelta(days=data["short_supply_days"]),
        data["not_issued_months"],
        data["supplied_months"],
    )


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(re.escape(word) for word in words)})\b", re.I)


def medicine_status(record: SummaryRecord, statement: Statement) -> MedicineStatus:
    """How a medicine stands by one statement, and by whether its source is still the person's practice."""
    content, at = statement.content, record.at
    if content.get("doNotPerform") is True:
        return MedicineStatus(FORBIDDEN, NEVER)
    status = text_at(content, "status")
    if status == "on-hold":
        return MedicineStatus(PAUSED, NEVER)
    if status in _OVER_STATUSES:
        return MedicineStatus(STOPPED, _stopped_until(record, statement), _end(content, at))
    year = months_after(_latest_time(content, statement.recorded_at), _ACUTE_MONTHS)
    if status in _UNSURE_STATUSES or text_at(content, "intent") in _UNSURE_INTENTS:
        return MedicineStatus(UNSURE, year)
    if content.get("resourceType") in SUPPLIES:
        return _supply_status(statement, at)
    end = course_end(content)
    if end and end <= at:
        acute = not is_continuous(content)
        return MedicineStatus(STOPPED, year if acute else months_after(end, _STOPPED_MONTHS), end)
    if is_acute(content):
        return MedicineStatus(COURSE, min(year, end or NEVER))
    if status == "completed" and not _is_supplied_order(content):
        return MedicineStatus(STOPPED, _stopped_until(record, statement), _end(content, at))
    return _going_on(record, statement, end)


def _going_on(record: SummaryRecord, statement: Statement, end: datetime | None) -> MedicineStatus:
    content, at = statement.content, record.at
    if until := record.former_until(statement):
        return MedicineStatus(FORMER, months_after(end_of_day(until), _STOPPED_MONTHS))
    words = " ".join(_words(content))
    if standing_words().anticipatory.search(words):
        return MedicineStatus(ANTICIPATORY, end or NEVER)
    if standing_words().infusion.search(words):
        return MedicineStatus(INFUSION, end or NEVER)
    supply_end = max(_moments(content, [("dispenseRequest", "validityPeriod", "end")]), default=None)
    if supply_end and supply_end <= at:
        return MedicineStatus(LAPSED, months_after(supply_end, _ACUTE_MONTHS * 2), supply_end)
    if text_at(content, "status") == "completed":
        supplied = months_after(_latest_time(content, statement.recorded_at), standing_words().supplied_months)
        return MedicineStatus(REPEAT if supplied > at else LAPSED, supplied if supplied > at else NEVER)
    until_then = min(end or NEVER, supply_end or NEVER)
    if _when_required(content):
        return MedicineStatus(WHEN_REQUIRED, until_then)
    if end and not is_continuous(content) and _durations(content):
        return MedicineStatus(COURSE, end)
    return MedicineStatus(REPEAT, until_then)


def _supply_status(statement: Statement, at: datetime) -> MedicineStatus:
    """A dispense or an administration: shown while it may still be taken, then as lapsed."""
    supplied = _latest_time(statement.content, statement.recorded_at)
    days = max((_days(each) for each in objects_at(statement.content, "daysSupply")), default=0.0)
    until = months_after(supplied + timedelta(days=min(days, 366)), standing_words().supplied_months)
    if until > at:
        return MedicineStatus(SUPPLIED, until)
    return MedicineStatus(LAPSED, months_after(supplied, _ACUTE_MONTHS * 2), supplied)


def supplied_on(content: Mapping[str, Any]) -> str:
    """When a medicine was supplied or given, as it is written; "" if that is not stated."""
    paths = (("effectiveDateTime",), ("whenHandedOver",), ("whenPrepared",), ("effectivePeriod", "start"))
    return next((found for path in paths if (found := text_at(content, *path))), "")


@read_once
def course_end(content: Mapping[str, Any]) -> datetime | None:
    """When the course ends by its own words or codes; None if it goes on. A repeat ends at a stated end only."""
    stated = max(_moments(content, _COURSE_ENDS), default=None)
    if stated or is_continuous(content):
        return stated
    begin = _begin(content)
    directions = [each for name in ("dosageInstruction", "dosage") for each in objects_at(content, name)]
    lasting = [_duration(each) for each in directions]
    if begin and lasting and all(lasting):
        return begin + timedelta(days=sum(lasting) if len(lasting) > 1 else lasting[0])
    return _short_supply_end(content)


def _begin(content: Mapping[str, Any]) -> datetime | None:
    """The beginning of a course; of a month or a year, its end."""
    stated = (
        text_at(content, *path) for path in (("effectivePeriod", "start"), ("effectiveDateTime",), ("authoredOn",))
    )
    known = next((found for each in stated if (found := parse_date(each))), None)
    return (known.begin if known.uk_day else known.end) if known else None


def _short_supply_end(content: Mapping[str, Any]) -> datetime | None:
    """The end of an acute supply, or of one whose short validity is all that is known of it."""
    starts = _moments(content, [("dispenseRequest", "validityPeriod", "start"), ("authoredOn",)])
    ends = _moments(content, [("dispenseRequest", "validityPeriod", "end")])
    if not ends or not starts:
        return None
    if is_acute(content):
        return max(ends)
    known_kind = course_kinds(content) or text_at(content, "intent") == "plan"
    short = max(ends) - max(starts) <= standing_words().short_supply
    return max(ends) if short and not known_kind and _durations(content) else None


def _durations(content: Mapping[str, Any]) -> list[float]:
    directions = [each for name in ("dosageInstruction", "dosage") for each in objects_at(content, name)]
    supply = [_days(each) for each in objects_at(content, "dispenseRequest", "expectedSupplyDuration")]
    return [days for days in [*map(_duration, directions), *supply] if days]


def _duration(dosage: Mapping[str, Any]) -> float:
    """The days that one instruction lasts; 0 if it does not say, or goes on. The longest statement counts."""
    written = text_at(dosage, "text")
    if standing_words().goes_on.search(written):
        return 0.0
    coded = [_days(each) for each in objects_at(dosage, "timing", "repeat", "boundsDuration")]
    coded += [_days(each) for each in objects_at(dosage, "timing", "repeat", "boundsRange", "high")]
    words = standing_words()
    steps: list[float] = []
    end = 0
    for found in words.duration.finditer(written):
        number = _NUMBERS.get(found[1].casefold()) or float(found[1])
        steps.append(min(number, 999) * words.spans[found[2].casefold()])
        end = max(end, found.end())
    for found in words.course.finditer(written):
        count, span = (each for each in found.groups() if each)
        steps.append(float(count) * _SPANS[span.casefold()])
        end = max(end, found.end())
    if words.next_step.search(written, end):
        # "Two for three days, then one" goes on; "200 mg at once, then 100 mg for five days" does not.
        return 0.0
    in_steps = [sum(steps) + 1] if words.next_step.search(written) and steps else steps
    return max([*coded, *in_steps], default=0.0)


_SPANS = {"7": 1, "day": 1, "52": 7, "week": 7, "12": 30}


def _days(duration: Mapping[str, Any]) -> float:
    unit = text_at(duration, "code") or text_at(duration, "unit")
    value = duration.get("value")
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    return min(max(number, 0.0), 9999.0) * _DAYS.get(unit.casefold(), 0)


def is_acute(content: Mapping[str, Any]) -> bool:
    """Whether the source calls it an acute course."""
    return "acute" in course_kinds(content)


def is_continuous(content: Mapping[str, Any]) -> bool:
    """Whether the source calls it a continuous course or a repeat."""
    return any(kind.startswith(("continuous", "repeat")) for kind in course_kinds(content))


@read_once
def course_kinds(content: Mapping[str, Any]) -> frozenset[str]:
    """The kind of course, such as `acute` or `continuous`, from the FHIR element or the UK extension."""
    stated = [found for found in values_at(content, "courseOfTherapyType", "coding", "code") if isinstance(found, str)]
    for ending in ("PrescriptionType", "PrescriptionType-1"):
        stated += [text_at(one, "valueCodeableConcept", "coding", "code") for one in extensions(content, ending)]
    return frozenset([found.casefold() for found in stated if found])


def _is_supplied_order(content: Mapping[str, Any]) -> bool:
    """Whether `completed` means a supply: an order of a continuous medicine, for which no end is given."""
    order = content.get("resourceType") == "MedicationRequest" and text_at(content, "intent").endswith("order")
    return order and is_continuous(content) and "statusReason" not in content


def _when_required(content: Mapping[str, Any]) -> bool:
    directions = [each for name in ("dosageInstruction", "dosage") for each in objects_at(content, name)]
    return bool(directions) and all(_as_needed(each) for each in directions)


def _as_needed(dosage: Mapping[str, Any]) -> bool:
    if dosage.get("asNeededBoolean") is True or "asNeededCodeableConcept" in dosage:
        return True
    return standing_words().when_required.search(text_at(dosage, "text")) is not None


def _words(content: Mapping[str, Any]) -> Iterator[str]:
    for name in ("reasonCode", "category", "type"):
        yield from concept_texts(content, name)
    for name in ("dosageInstruction", "dosage"):
        for dosage in objects_at(content, name):
            yield text_at(dosage, "text")
            yield from (text for part in ("route", "method") for text in concept_texts(dosage, part))
    yield from (found for found in values_at(content, "note", "text") if isinstance(found, str))


def _stopped_until(record: SummaryRecord, statement: Statement) -> datetime:
    """Until when a stopped medicine is shown: the longer time if the source does not say whether it was a repeat."""
    ended = _end(statement.content, record.at)
    # If no end is stated, the medicine stopped at the latest when that was recorded.
    stopped = months_after(ended or statement.recorded_at, _STOPPED_MONTHS)
    acute = is_acute(statement.content)
    if course_kinds(statement.content) and not acute:
        return stopped
    return max(stopped, months_after(_latest_time(statement.content, statement.recorded_at), _ACUTE_MONTHS))


def _end(content: Mapping[str, Any], at: datetime) -> datetime | None:
    return max((end for end in _moments(content, _ENDS) if end <= at), default=None)


def _latest_time(content: Mapping[str, Any], otherwise: datetime) -> datetime:
    """The latest time that the statement names; if it names none, `otherwise`."""
    return max(_moments(content, (*_BEGINS, *_ENDS)), default=otherwise)


def _moments(content: Mapping[str, Any], paths: Iterable[tuple[str, ...]]) -> list[datetime]:
    found = [parse_date(written) for path in paths if path[0] in content for written in values_at(content, *path)]
    return [known.end for known in found if known]

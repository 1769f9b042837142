"""Reads when a course of a medicine begins and ends: by stated times, by its duration, by its supply, or by its words.

A missing date is taken as late as possible, so that a medicine is shown too long rather than too short.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from onestory.record.summary.medicine_words import NUMBERS, all_words, instructions, standing_words
from onestory.shared.fhir.dates import parse_date
from onestory.shared.fhir.json import extensions, number_text, objects_at, text_at, values_at
from onestory.shared.fhir.resource import read_once

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
_DAYS = {"d": 1, "day": 1, "days": 1, "wk": 7, "week": 7, "weeks": 7, "mo": 30, "month": 30, "months": 30, "h": 1 / 24}
_SPANS = {"7": 1, "day": 1, "52": 7, "week": 7, "12": 30}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class Supply(NamedTuple):
    """What was supplied of a medicine of which no source says whether it is a course or a repeat."""

    words: str
    length: timedelta
    end: datetime


@read_once
def course_end(content: Mapping[str, Any]) -> datetime | None:
    """When the course ends by its own words or codes; None if it goes on. A repeat ends at a stated end only."""
    stated = max(moments(content, _COURSE_ENDS), default=None)
    if stated or is_continuous(content):
        return stated
    if standing_words().anticipatory.search(all_words(content)):
        # What is kept just in case is not used up by the words of its doses.
        return None
    if written := written_end(content):
        return written
    begin = _begin(content)
    lasting = [_duration(each) for each in instructions(content)]
    if begin and lasting and all(lasting):
        return begin + timedelta(days=sum(lasting) if len(lasting) > 1 else lasting[0])
    if (supply := limited_supply(content)) and standing_words().no_further.search(all_words(content)):
        return supply.end
    return _short_supply_end(content)


def starts_at(content: Mapping[str, Any]) -> datetime | None:
    """When all of its directions begin by their stated periods; None if one has none."""
    if stated := parse_date(text_at(content, "effectivePeriod", "start")):
        return stated.begin
    begins = [
        parse_date(text_at(each, "timing", "repeat", "boundsPeriod", "start"))
        for each in instructions(content)
        if "timing" in each or len(instructions(content)) == 1
    ]
    known = [each.begin for each in begins if each]
    return min(known) if known and len(known) == len(begins) else None


def limited_supply(content: Mapping[str, Any]) -> Supply | None:
    """The supply of an order that names how long it lasts, and not whether the medicine goes on; None for others."""
    if content.get("resourceType") != "MedicationRequest" or "dispenseRequest" not in content:
        return None
    if course_kinds(content) or text_at(content, "intent") == "plan":
        return None
    if any(values_at(content, "dispenseRequest", "numberOfRepeatsAllowed")):
        return None
    begin = _begin(content)
    for stated in objects_at(content, "dispenseRequest", "expectedSupplyDuration"):
        if begin and (days := _days(stated)):
            number, unit = number_text(stated.get("value")), text_at(stated, "unit") or text_at(stated, "code")
            named = {"d": "day", "wk": "week", "mo": "month", "h": "hour"}.get(unit, unit.casefold().removesuffix("s"))
            words = f"{number} {named}{'' if number == '1' else 's'}"
            return Supply(words, timedelta(days=days), begin + timedelta(days=days))
    return None


def written_end(content: Mapping[str, Any]) -> datetime | None:
    """The end that the directions name as a date, "until 14/11/26", for one instruction after which no other comes."""
    directions = instructions(content)
    words = standing_words()
    ends = []
    for each in directions:
        written = text_at(each, "text")
        found = list(words.ends_on.finditer(written))
        if not found or words.goes_on.search(written) or words.next_step.search(written, found[-1].end()):
            return None
        day, numbered, named, year = found[-1].groups()
        month = int(numbered) if numbered else _MONTHS.index(named.casefold()) + 1
        known = parse_date(f"{year if len(year) == 4 else f'20{year}'}-{month:02}-{int(day):02}")
        if known is None:
            return None
        ends.append(known.end)
    return max(ends, default=None)


def _begin(content: Mapping[str, Any]) -> datetime | None:
    """The beginning of a course; of a month or a year, its end."""
    stated = (
        text_at(content, *path) for path in (("effectivePeriod", "start"), ("effectiveDateTime",), ("authoredOn",))
    )
    known = next((found for each in stated if (found := parse_date(each))), None)
    return (known.begin if known.uk_day else known.end) if known else None


def _short_supply_end(content: Mapping[str, Any]) -> datetime | None:
    """The end of an acute supply, or of one whose short validity is all that is known of it."""
    starts = moments(content, [("dispenseRequest", "validityPeriod", "start"), ("authoredOn",)])
    ends = moments(content, [("dispenseRequest", "validityPeriod", "end")])
    if not ends or not starts:
        return None
    if is_acute(content):
        return max(ends)
    known_kind = course_kinds(content) or text_at(content, "intent") == "plan"
    short = max(ends) - max(starts) <= standing_words().short_supply
    return max(ends) if short and not known_kind and durations(content) else None


def durations(content: Mapping[str, Any]) -> list[float]:
    """The days that its instructions and its supply last, as far as they say so."""
    supply = [_days(each) for each in objects_at(content, "dispenseRequest", "expectedSupplyDuration")]
    return [days for days in [*map(_duration, instructions(content)), *supply] if days]


def _duration(dosage: Mapping[str, Any]) -> float:
    """The days that one instruction lasts; 0 if it does not say, or goes on. The longest statement counts."""
    written = text_at(dosage, "text")
    words = standing_words()
    if words.goes_on.search(written):
        return 0.0
    coded = [_days(each) for each in objects_at(dosage, "timing", "repeat", "boundsDuration")]
    coded += [_days(each) for each in objects_at(dosage, "timing", "repeat", "boundsRange", "high")]
    coded += [_counted_days(each) for each in objects_at(dosage, "timing", "repeat")]
    end = 0
    timed: list[float] = []
    for found in words.duration.finditer(written):
        number = NUMBERS.get(found[1].casefold()) or float(found[1])
        timed.append(min(number, 999) * words.spans[found[2].casefold()])
        end = max(end, found.end())
    counted: list[float] = []
    for found in words.course.finditer(written):
        count, span = (each for each in found.groups() if each)
        counted.append(float(count) * _SPANS[span.casefold()])
        end = max(end, found.end())
    # Steps of a reduction follow each other; "for 7 days (7/7)" says one thing in two ways.
    steps = [sum(each) for each in (timed, counted) if each]
    if words.next_step.search(written, end):
        # "Two for three days, then one" goes on; "200 mg at once, then 100 mg for five days" does not.
        return 0.0
    if not steps and words.single.search(written) and not words.often.search(written):
        steps = [1.0]
    in_steps = [max(steps) + 1] if words.next_step.search(written) and steps else steps
    return max([*coded, *in_steps], default=0.0)


def _counted_days(repeat: Mapping[str, Any]) -> float:
    """The days of so many doses, each so often: 15 doses three times a day are five days; 0 if they are not counted.

    A dose that is given once is one day.
    """
    count, often, period = (_number(repeat.get(name)) for name in ("count", "frequency", "period"))
    if count == 1 and often <= 1:
        return 1.0
    days = period * _DAYS.get(text_at(repeat, "periodUnit"), 0)
    return min(count / often * days, 9999.0) if count > 1 and often and days else 0.0


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _days(duration: Mapping[str, Any]) -> float:
    unit = text_at(duration, "code") or text_at(duration, "unit")
    return min(max(_number(duration.get("value")), 0.0), 9999.0) * _DAYS.get(unit.casefold(), 0)


def supplied_days(content: Mapping[str, Any]) -> float:
    """The days for which a dispense lasts; 0 if it does not say."""
    return max((_days(each) for each in objects_at(content, "daysSupply")), default=0.0)


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


def last_end(content: Mapping[str, Any], at: datetime) -> datetime | None:
    """The latest end that is stated and has passed."""
    return max((end for end in moments(content, _ENDS) if end <= at), default=None)


def latest_time(content: Mapping[str, Any], otherwise: datetime) -> datetime:
    """The latest time that the statement names; if it names none, `otherwise`."""
    return max(moments(content, (*_BEGINS, *_ENDS)), default=otherwise)


def supply_end(content: Mapping[str, Any]) -> datetime | None:
    """The end of the authorisation; None if none is stated."""
    return max(moments(content, [("dispenseRequest", "validityPeriod", "end")]), default=None)


def moments(content: Mapping[str, Any], paths: Iterable[tuple[str, ...]]) -> list[datetime]:
    """The ends of all dates at these paths."""
    found = [parse_date(written) for path in paths if path[0] in content for written in values_at(content, *path)]
    return [known.end for known in found if known]

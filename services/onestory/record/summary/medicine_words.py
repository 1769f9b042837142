"""Reads the words and rates of a medicine that decide under which heading it stands.

The words are those of `schemas/summary/standing.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from onestory.record.clinical_data import alternatives, clinical_table, read_clinical_data
from onestory.record.medicines.medicine import MedicineEntry
from onestory.shared.fhir.json import concept_texts, first_object, objects_at, text_at, values_at

_WRITTEN = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {word: float(number) for number, word in enumerate(_WRITTEN, 1)} | {"twelve": 12.0, "fourteen": 14.0}
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_HOURS = ("h", "hr", "hour", "hours", "min", "minute", "minutes")
_DAYS = ("d", "day", "days")
_DIRECTIONS = ("dosageInstruction", "dosage")


class StandingWords(NamedTuple):
    """The data file `summary/standing`, with its expressions compiled."""

    anticipatory: re.Pattern[str]
    infusion: re.Pattern[str]
    when_required: re.Pattern[str]
    asks_to_act: re.Pattern[str]
    goes_on: re.Pattern[str]
    next_step: re.Pattern[str]
    single: re.Pattern[str]
    often: re.Pattern[str]
    no_further: re.Pattern[str]
    duration: re.Pattern[str]
    course: re.Pattern[str]
    ends_on: re.Pattern[str]
    rate: re.Pattern[str]
    spans: Mapping[str, int]
    short_supply: timedelta
    practice_supply: timedelta
    other_supply: timedelta
    course_supply: timedelta
    not_issued_months: int
    supplied_months: int
    in_place_months: Mapping[str, int]


@clinical_table
def standing_words() -> StandingWords:
    """The words of the data file, read once."""
    data = read_clinical_data("summary/standing")
    return StandingWords(
        _any_of(data["anticipatory"]),
        _any_of(data["infusion"]),
        _any_of(data["when_required"]),
        _any_of(data["asks_to_act"]),
        _any_of(data["goes_on"]),
        re.compile(rf"{_any_of(data['next_step']).pattern}(?!\s+stop\b)", re.I),
        _any_of(data["single"]),
        _any_of(data["often"]),
        _any_of(data["no_further"]),
        re.compile(
            rf"\bfor (?:the next |a further )?(\d+|{alternatives(NUMBERS)}) ({alternatives(data['spans'])})\b", re.I
        ),
        re.compile(
            r"(?<![\d/.])([2-9]|[1-9]\d)/(7)(?![\d/])|\b(?:for|x) ?(\d{1,2})/(52|12)(?![\d/])"
            r"|\b(\d{1,2})[ -]?(day|week)s? course\b",
            re.I,
        ),
        re.compile(
            rf"\b(?:{alternatives(data['ends_on'])})\s*:?\s*"
            rf"(\d{{1,2}})(?:[/.-](\d{{1,2}})[/.-]|(?:st|nd|rd|th)?\s*({_MONTHS})[a-z]*\.?,?\s*)(\d{{4}}|\d\d)(?!\d)",
            re.I,
        ),
        re.compile(rf"\d\s*(?:{alternatives(data['rate_units'])})\s*(?:/|per)\s*(?:hr|h|hour)\b", re.I),
        data["spans"],
        timedelta(days=data["short_supply_days"]),
        timedelta(days=data["practice_supply_days"]),
        timedelta(days=data["other_supply_days"]),
        timedelta(days=data["course_supply_days"]),
        data["not_issued_months"],
        data["supplied_months"],
        data["in_place_months"],
    )


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{alternatives(words)})\b", re.I)


def instructions(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The dosage instructions of a request or a statement."""
    return [each for name in _DIRECTIONS if name in content for each in objects_at(content, name)]


def all_words(content: Mapping[str, Any]) -> str:
    """The words of a medicine that may say how it stands: reasons, kind, directions, routes and notes."""
    return " ".join(_words(content))


def _words(content: Mapping[str, Any]) -> Iterator[str]:
    for name in ("reasonCode", "category", "type"):
        yield from concept_texts(content, name)
    for dosage in instructions(content):
        yield text_at(dosage, "text")
        yield from (text for part in ("route", "method") for text in concept_texts(dosage, part))
    yield from (found for found in values_at(content, "note", "text") if isinstance(found, str))


def is_when_required(content: Mapping[str, Any]) -> bool:
    """Whether every instruction is for when it is required."""
    directions = instructions(content)
    return bool(directions) and all(_as_needed(each) for each in directions)


def _as_needed(dosage: Mapping[str, Any]) -> bool:
    if dosage.get("asNeededBoolean") is True or "asNeededCodeableConcept" in dosage:
        return True
    return standing_words().when_required.search(text_at(dosage, "text")) is not None


def is_infusion(content: Mapping[str, Any], words: str) -> bool:
    """Whether it runs continuously: by its words, or by a rate of a medicine that is injected.

    Without a known route only an amount in an hour or a minute counts, never a volume: feeds and oxygen have rates too.
    """
    if standing_words().infusion.search(words):
        return True
    rates = [each for dosage in instructions(content) for each in _rates(dosage)]
    written = standing_words().rate.search(words) is not None
    if not (rates or written):
        return False
    route = MedicineEntry(content).route
    if route == "injection":
        return True
    stated = any(concept_texts(dosage, "route") for dosage in instructions(content))
    return not (route or stated) and any(often in _HOURS and unit not in ("ml", "l") for unit, often in rates)


def _rates(dosage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the unit and the time of each coded rate: `mg` and `h` of 10 mg/h."""
    for amount in [dosage, *objects_at(dosage, "doseAndRate")]:
        for name in ("rateQuantity", "rateRange"):
            for rate in objects_at(amount, name):
                stated = rate if name == "rateQuantity" else first_object(rate.get("high"))
                unit, _, often = (text_at(stated, "unit") or text_at(stated, "code")).casefold().rpartition("/")
                if often in (*_HOURS, *_DAYS):
                    yield unit.strip(), often.strip()
        for ratio in objects_at(amount, "rateRatio"):
            measured = [
                text_at(part, "code") or text_at(part, "unit")
                for name in ("numerator", "denominator")
                for part in objects_at(ratio, name)
            ]
            if len(measured) == 2 and measured[1].casefold() in (*_HOURS, *_DAYS):
                yield measured[0].casefold(), measured[1].casefold()

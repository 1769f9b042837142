"""Finds the clinical date of a statement, by which lines are sorted and grow old, and writes it as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from onestory.record.merge.model import Statement
from onestory.record.summary import dates as summary_dates
from onestory.record.summary.dates import events
from onestory.record.summary.doses import UNITS, count_text, timing_words
from onestory.record.summary.values import between, period_text, quantity_text
from onestory.shared.fhir.dates import DateSpan, parse_date
from onestory.shared.fhir.json import objects_at, text_at
from onestory.shared.fhir.resource import read_once

# Choices of type that hold the clinical date, such as `effective[x]`.
_CHOICES = ("effective", "occurrence", "performed", "timing")
# Elements with the clinical date, the most exact first.
_CLINICAL_DATES = tuple(
    (f"{choice}{kind}", part)
    for choice in _CHOICES
    for kind, part in (("DateTime", ""), ("Instant", ""), ("Period", "end"), ("Period", "start"), ("Timing", ""))
)
# Elements with another date, which counts if no clinical date is stated.
_OTHER_DATES = (
    ("date", ""),
    ("dateTime", ""),
    ("issued", ""),
    ("authored", ""),
    ("sent", ""),
    ("period", "start"),
    ("created", ""),
    ("recordedDate", ""),
    ("recorded", ""),
    ("recordedOn", ""),
)
_ALL_DATES = _CLINICAL_DATES + _OTHER_DATES
# Elements with the day on which a clinician or a system entered the statement.
_RECORDED = ("recordedDate", "recorded", "dateAsserted")


def recorded_date(statement: Statement) -> str:
    """The day on which the statement was entered into its source's record, as text; "" if the source states none.

    `Statement.recorded_at` is when the source last sent the statement, which may be decades later.
    """
    content = statement.content
    written = next((found for name in _RECORDED if name in content and (found := text_at(content, name))), "")
    known = parse_date(written)
    return summary_dates.day(known.uk_day) if known and known.uk_day else summary_dates.shown(written)


def clinical_date(statement: Statement) -> DateSpan:
    """The clinical date of a statement; if it has none, the time at which it was recorded.

    The newest event of a Timing counts.
    """
    return _stated_date(statement.content) or summary_dates.at(statement.recorded_at)


@read_once
def _stated_date(content: Mapping[str, Any]) -> DateSpan | None:
    return next((known for written in _dates(content, _ALL_DATES) if (known := parse_date(written))), None)


def clinical_date_text(statement: Statement) -> str:
    """The clinical date as text, also if it is in words such as "in childhood"; "" if the statement has none."""
    return _stated_date_text(statement.content)


@read_once
def _stated_date_text(content: Mapping[str, Any]) -> str:
    if written := next(_dates(content, _CLINICAL_DATES), ""):
        return summary_dates.shown(written)
    words = next((found for choice in _CHOICES if (found := date_text(content, choice))), "")
    return words or summary_dates.shown(next(_dates(content, _OTHER_DATES), ""))


def date_or_none_stated(statement: Statement) -> str:
    """The clinical date as text; if there is none, a text that says so, because the line is sorted by its receipt."""
    return clinical_date_text(statement) or "date not stated"


def date_text(content: Mapping[str, Any], element: str) -> str:
    """A choice element such as `onset[x]` as text, whatever its type."""
    return "; ".join(_dated(content, element))


def _dated(content: Mapping[str, Any], element: str) -> Iterator[str]:
    for name in ("DateTime", "Date", "String", "Instant"):
        if found := text_at(content, f"{element}{name}"):
            yield summary_dates.shown(found)
    for period in objects_at(content, f"{element}Period"):
        yield period_text(period)
    for timing in objects_at(content, f"{element}Timing"):
        yield ", ".join([summary_dates.shown(event) for event in events(timing)] + timing_words(timing))
    for age in objects_at(content, f"{element}Age"):
        yield f"at age {_age_text(age)}"
    for span in objects_at(content, f"{element}Range"):
        yield _age_range_text(span)


def _age_text(age: Any) -> str:
    """An age as text; a unit that is only a UCUM code is written as a word."""
    unit = UNITS.get(text_at(age, "code"), "")
    if text_at(age, "unit") in ("", text_at(age, "code")) and unit:
        return quantity_text({**age, "unit": unit if count_text(age.get("value")) == "1" else f"{unit}s"})
    return quantity_text(age)


def _age_range_text(span: Mapping[str, Any]) -> str:
    ages = between(_age_text(span.get("low", {})), _age_text(span.get("high", {})))
    return f"at age {ages}" if ages else ""


def _dates(content: Mapping[str, Any], elements: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yields the dates in these elements, as they are written."""
    for name, part in elements:
        if name in content:
            if name.endswith("Timing"):
                yield from _timing_dates(content[name])
            elif found := text_at(content, name, part) if part else text_at(content, name):
                yield found


def _timing_dates(timing: Any) -> Iterator[str]:
    yield from events(timing)
    for part in ("end", "start"):
        if found := text_at(timing, "repeat", "boundsPeriod", part):
            yield found

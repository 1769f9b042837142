"""Writes the content of a resource in the words of its source: names, doses, values, dates.

It also finds the clinical date of a statement, by which lines are sorted and grow old.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from onestory.record.merge.model import Fact, Statement
from onestory.record.summary import dates as summary_dates
from onestory.record.summary.model import SummaryRecord
from onestory.shared.fhir.dates import DateSpan, parse_date
from onestory.shared.fhir.json import codes_of, concept_text, concept_texts, number_text, objects_at, text_at, values_at

_NAMES = ("code", "medicationCodeableConcept", "vaccineCode", "type", "category", "description")
_STATUSES = ("clinicalStatus", "verificationStatus")
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_UNITS = {"s": "second", "min": "minute", "h": "hour", "d": "day", "wk": "week", "mo": "month", "a": "year"}
_WHEN = {
    "MORN": "in the morning",
    "NOON": "at noon",
    "AFT": "in the afternoon",
    "EVE": "in the evening",
    "NIGHT": "at night",
    "HS": "before sleep",
    "WAKE": "on waking",
    "C": "with meals",
    "AC": "before meals",
    "PC": "after meals",
}


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
    ("period", "start"),
    ("created", ""),
    ("recordedDate", ""),
    ("recorded", ""),
    ("recordedOn", ""),
)


def name_of(content: Mapping[str, Any]) -> str:
    """The name of what the resource is about; never empty."""
    found = next((name for element in _NAMES if element in content for name in concept_texts(content, element)), "")
    return found or text_at(content, "title") or text_at(content, "description") or "(not named by its source)"


def own_name(content: Mapping[str, Any]) -> str:
    """The name from the first three elements that can hold one; "" if they hold none."""
    return next((name for element in _NAMES[:3] if (name := concept_text(content.get(element)))), "")


def status_of(content: Mapping[str, Any]) -> str:
    """The statuses as the source gives them, such as `active, confirmed`."""
    coded = [found for element in _STATUSES if (found := _status(content.get(element)))]
    plain = [text_at(content, "status")] if text_at(content, "status") else []
    negative = ["not to be given"] if content.get("doNotPerform") is True else []
    return ", ".join([*negative, *plain, *coded])


def short_text(content: Mapping[str, Any]) -> str:
    """A statement in a few words, to show next to one that contradicts it."""
    why = concept_texts(content, "statusReason")
    parts = [name_of(content), status_of(content), *why, *doses(content), value_text(content)]
    return ", ".join(part for part in [*parts, text_at(content, "description")] if part)


def notes(content: Mapping[str, Any]) -> list[str]:
    """The free-text notes of the source."""
    return [found for found in values_at(content, "note", "text") if isinstance(found, str)]


def doses(content: Mapping[str, Any]) -> list[str]:
    """The dosage instructions of a request or statement, as text."""
    found = [_dose(dosage) for name in ("dosageInstruction", "dosage") for dosage in objects_at(content, name)]
    return [dose for dose in found if dose]


def quantity_text(value: Any) -> str:
    """A Quantity as text, such as `< 5.00 mmol/L`; "" for anything else."""
    if not isinstance(value, Mapping):
        return ""
    parts = [
        text_at(value, "comparator"),
        number_text(value.get("value")),
        text_at(value, "unit") or text_at(value, "code"),
    ]
    return " ".join(part for part in parts if part)


def value_text(content: Mapping[str, Any]) -> str:
    """The value of an Observation and its components as text; "" if it has none."""
    components = [_component(part) for part in objects_at(content, "component")]
    return "; ".join(part for part in [_value(content), *components] if part)


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
        yield ", ".join([summary_dates.shown(event) for event in _events(timing)] + _timing_words(timing))
    for age in objects_at(content, f"{element}Age"):
        yield f"at age {_age_text(age)}"
    for span in objects_at(content, f"{element}Range"):
        yield _age_range_text(span)


def _timing_words(timing: Mapping[str, Any]) -> list[str]:
    words = [each for repeat in objects_at(timing, "repeat") for each in _timing(repeat)]
    return [each for each in [*concept_texts(timing, "code"), *words] if each]


def _age_text(age: Any) -> str:
    """An age as text; a unit that is only a UCUM code is written as a word."""
    unit = _UNITS.get(text_at(age, "code"), "")
    if text_at(age, "unit") in ("", text_at(age, "code")) and unit:
        return quantity_text({**age, "unit": unit if _count(age.get("value")) == "1" else f"{unit}s"})
    return quantity_text(age)


def _age_range_text(span: Mapping[str, Any]) -> str:
    ages = _between(_age_text(span.get("low", {})), _age_text(span.get("high", {})))
    return f"at age {ages}" if ages else ""


def range_text(span: Mapping[str, Any]) -> str:
    """A Range or a reference range as text, such as `60 mL/min or more`; "" if it has no limit."""
    return _between(quantity_text(span.get("low")), quantity_text(span.get("high")))


def _between(low: str, high: str) -> str:
    if low and high:
        return f"{low} to {high}"
    return f"{low} or more" if low else f"{high} or less" if high else ""


def period_text(period: Any) -> str:
    """A Period as text."""
    start, end = text_at(period, "start"), text_at(period, "end")
    words = [f"from {summary_dates.shown(start)}" if start else "", f"until {summary_dates.shown(end)}" if end else ""]
    return " ".join(word for word in words if word)


def _status(concept: Any) -> str:
    return text_at(concept, "coding", "code") or concept_text(concept)


def _value(content: Mapping[str, Any]) -> str:
    for name, found in content.items():
        if name.startswith("value") and name != "value":
            # A text may look like a date without being one.
            return found if name == "valueString" and isinstance(found, str) else _value_as_text(found)
    absent = concept_text(content.get("dataAbsentReason"))
    return f"no value: {absent}" if absent else ""


def _value_as_text(found: Any) -> str:
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, str):
        return summary_dates.shown(found)
    if isinstance(found, int | float):
        return number_text(found)
    if not isinstance(found, Mapping):
        return ""
    if "low" in found or "high" in found:
        return range_text(found)
    if "numerator" in found or "denominator" in found:
        parts = (quantity_text(found.get("numerator")), quantity_text(found.get("denominator")))
        return " / ".join(part for part in parts if part)
    return concept_text(found) or quantity_text(found) or period_text(found) or "(see the resource for this value)"


def _component(part: Mapping[str, Any]) -> str:
    return f"{concept_text(part.get('code'))}: {_value(part)}".strip(": ")


def _dose(dosage: Mapping[str, Any]) -> str:
    """A dose in the source's words, with its coded elements: "as directed" must not replace a coded dose."""
    texts = (text_at(dosage, "text"), text_at(dosage, "patientInstruction"))
    written = "; ".join(dict.fromkeys(part for part in texts if part))
    coded = ", ".join(part for part in _coded_dose(dosage) if part)
    if not (written and coded):
        return written or coded
    return written if coded.casefold() in written.casefold() else f"{written} (as coded: {coded})"


def _coded_dose(dosage: Mapping[str, Any]) -> Iterator[str]:
    for amount in objects_at(dosage, "doseAndRate"):
        for name in ("doseQuantity", "doseRange", "rateQuantity", "rateRange", "rateRatio"):
            yield _value_as_text(amount.get(name))
    for timing in objects_at(dosage, "timing"):
        # The next event is read first.
        yield ", ".join(f"on {summary_dates.shown(event)}" for event in reversed(_events(timing)))
    yield from concept_texts(dosage, "timing", "code")
    for repeat in objects_at(dosage, "timing", "repeat"):
        yield from _timing(repeat)
    yield from concept_texts(dosage, "route")
    if dosage.get("asNeededBoolean") is True:
        yield "as needed"
    yield from (f"as needed: {reason}" for reason in concept_texts(dosage, "asNeededCodeableConcept"))
    yield from concept_texts(dosage, "additionalInstruction")
    for most in objects_at(dosage, "maxDosePerPeriod"):
        yield f"at most {_value_as_text(most)}"
    for name, when in (("maxDosePerAdministration", "at a time"), ("maxDosePerLifetime", "in a lifetime")):
        for most in objects_at(dosage, name):
            yield f"at most {quantity_text(most)} {when}"


def _timing(repeat: Mapping[str, Any]) -> Iterator[str]:
    yield _frequency(repeat)
    for name, before in (("dayOfWeek", "on "), ("timeOfDay", "at "), ("when", "")):
        if stated := [_WHEN.get(found, found) for found in values_at(repeat, name) if isinstance(found, str)]:
            yield f"{before}{', '.join(stated)}"
    for name in ("boundsDuration", "boundsRange"):
        for lasting in objects_at(repeat, name):
            yield f"for {_value_as_text(lasting)}"
    yield period_text(repeat.get("boundsPeriod"))
    if count := number_text(repeat.get("count")):
        yield f"{count} in all"


def _frequency(repeat: Mapping[str, Any]) -> str:
    frequency, period = _count(repeat.get("frequency")), _count(repeat.get("period"))
    if not (frequency or period):
        return ""
    # If only the period is stated, the frequency is once (http://hl7.org/fhir/R4/datatypes.html#Timing).
    times = _up_to(frequency or "1", repeat.get("frequencyMax"))
    often = "once" if times == "1" else f"{times} times"
    if not period:
        return often
    unit = text_at(repeat, "periodUnit")
    named_unit, periods = _UNITS.get(unit, unit), _up_to(period, repeat.get("periodMax"))
    if periods == "1":
        return f"{often} {'an' if named_unit == 'hour' else 'a'} {named_unit}"
    return f"{often} every {periods} {named_unit}s"


def _up_to(least: str, most: Any) -> str:
    return f"{least} to {_count(most)}" if _count(most) else least


def _count(value: Any) -> str:
    """A count as text: 1.0 is written as 1."""
    return number_text(value).removesuffix(".0")


def clinical_date(statement: Statement) -> DateSpan:
    """The clinical date of a statement; if it has none, the time at which it was recorded.

    The newest event of a Timing counts.
    """
    for written in _dates(statement.content, _CLINICAL_DATES + _OTHER_DATES):
        if known := parse_date(written):
            return known
    return summary_dates.at(statement.recorded_at)


def clinical_date_text(statement: Statement) -> str:
    """The clinical date as text, also if it is in words such as "in childhood"; "" if the statement has none."""
    content = statement.content
    if written := next(_dates(content, _CLINICAL_DATES), ""):
        return summary_dates.shown(written)
    words = next((found for choice in _CHOICES if (found := date_text(content, choice))), "")
    return words or summary_dates.shown(next(_dates(content, _OTHER_DATES), ""))


def date_or_none_stated(statement: Statement) -> str:
    """The clinical date as text; if there is none, a text that says so, because the line is sorted by its receipt."""
    return clinical_date_text(statement) or "date not stated"


def omitted_remark(number: int, why: str) -> str:
    """A remark for facts that a section leaves out; `why` follows "that". "" if there are none."""
    return f"More is held: {number} that {why}. They are not shown here." if number else ""


def newest_first(record: SummaryRecord, facts: Iterable[Fact]) -> list[Fact]:
    """The facts sorted by the clinical date of the shown statement, newest first."""
    return sorted(facts, key=lambda fact: (-clinical_date(record.shown(fact)).begin.timestamp(), fact.id))


def newest_of_each_kind(record: SummaryRecord, newest: Sequence[Fact], most: int) -> list[Fact]:
    """At most `most` of the facts, in their order: the newest of each kind before the second of any kind.

    A hundred dialyses must not hide the one transplant before them.
    """
    before: Counter[object] = Counter()
    ranked = []
    for index, fact in enumerate(newest):
        kind = _kind(record.shown(fact).content)
        ranked.append((before[kind], index))
        before[kind] += 1
    return [newest[index] for index in sorted(index for _, index in sorted(ranked)[:most])]


def _kind(content: Mapping[str, Any]) -> object:
    codes = codes_of(content, "code") | codes_of(content, "vaccineCode")
    return min(codes) if codes else name_of(content).casefold()


def _dates(content: Mapping[str, Any], elements: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yields the dates in these elements, as they are written."""
    for name, part in elements:
        if name in content:
            if name.endswith("Timing"):
                yield from _timing_dates(content[name])
            elif found := text_at(content, name, part) if part else text_at(content, name):
                yield found


def _timing_dates(timing: Any) -> Iterator[str]:
    yield from _events(timing)
    for part in ("end", "start"):
        if found := text_at(timing, "repeat", "boundsPeriod", part):
            yield found


def _events(timing: Any) -> list[str]:
    """The events of a Timing, newest first; text that is no date comes last."""
    events = [event for event in values_at(timing, "event") if isinstance(event, str)]
    return sorted(events, key=lambda event: known.begin if (known := parse_date(event)) else _EARLIEST, reverse=True)

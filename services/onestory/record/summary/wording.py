"""What a resource says, in the words of its source: names, doses, values, dates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from onestory.record.merge.model import Fact, Statement
from onestory.record.summary import moments
from onestory.record.summary.model import MergedRecord
from onestory.record.summary.moments import Moment, moment
from onestory.shared.fhir.json import all_named, codes, each, first, named, number, objects

_NAMES = ("code", "medicationCodeableConcept", "vaccineCode", "type", "category", "description")
_STATUSES = ("clinicalStatus", "verificationStatus")
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


def name_of(content: Mapping[str, Any]) -> str:
    """What it is about; never empty."""
    found = next((name for element in _NAMES if element in content for name in all_named(content, element)), "")
    return found or first(content, "title") or first(content, "description") or "(not named by its source)"


def own_name(content: Mapping[str, Any]) -> str:
    """What its source calls it; empty where only something else names it, as a Medication does."""
    return next((name for element in _NAMES[:3] if (name := named(content.get(element)))), "")


def status_of(content: Mapping[str, Any]) -> str:
    """Its statuses as its source gives them, such as `active, confirmed`."""
    coded = [found for element in _STATUSES if (found := _status(content.get(element)))]
    plain = [first(content, "status")] if first(content, "status") else []
    negative = ["not to be given"] if content.get("doNotPerform") is True else []
    return ", ".join([*negative, *plain, *coded])


def in_brief(content: Mapping[str, Any]) -> str:
    """A statement in a few words, to stand beside what contradicts it."""
    why = all_named(content, "statusReason")
    parts = [name_of(content), status_of(content), *why, *doses(content), value_of(content)]
    return ", ".join(part for part in [*parts, first(content, "description")] if part)


def notes(content: Mapping[str, Any]) -> list[str]:
    """The free text of a source."""
    return [found for found in each(content, "note", "text") if isinstance(found, str)]


def doses(content: Mapping[str, Any]) -> list[str]:
    """The dosage instructions of a request or statement."""
    found = [_dose(dosage) for name in ("dosageInstruction", "dosage") for dosage in objects(content, name)]
    return [dose for dose in found if dose]


def quantity(value: Any) -> str:
    """A Quantity, such as `< 5.00 mmol/L`."""
    if not isinstance(value, Mapping):
        return ""
    parts = [first(value, "comparator"), number(value.get("value")), first(value, "unit") or first(value, "code")]
    return " ".join(part for part in parts if part)


def value_of(content: Mapping[str, Any]) -> str:
    """The value of an Observation with its components; empty where it has none."""
    components = [_component(part) for part in objects(content, "component")]
    return "; ".join(part for part in [_value(content), *components] if part)


def dated(content: Mapping[str, Any], element: str) -> str:
    """A choice such as `onset[x]` in words, whichever of its types it has."""
    return "; ".join(_dated(content, element))


def _dated(content: Mapping[str, Any], element: str) -> Iterator[str]:
    for name in ("DateTime", "Date", "String", "Instant"):
        if found := first(content, f"{element}{name}"):
            yield moments.shown(found)
    for period in objects(content, f"{element}Period"):
        yield period_of(period)
    for age in objects(content, f"{element}Age"):
        yield f"at age {quantity(age)}"
    for span in objects(content, f"{element}Range"):
        yield f"{quantity(span.get('low'))} to {quantity(span.get('high'))}"


def period_of(period: Any) -> str:
    """A Period in words."""
    start, end = first(period, "start"), first(period, "end")
    words = [f"from {moments.shown(start)}" if start else "", f"until {moments.shown(end)}" if end else ""]
    return " ".join(word for word in words if word)


def _status(concept: Any) -> str:
    return first(concept, "coding", "code") or named(concept)


def _value(content: Mapping[str, Any]) -> str:
    for name, found in content.items():
        if name.startswith("value") and name != "value":
            # A text may look like a date and be none.
            return found if name == "valueString" and isinstance(found, str) else _value_as_text(found)
    absent = named(content.get("dataAbsentReason"))
    return f"no value: {absent}" if absent else ""


def _value_as_text(found: Any) -> str:
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, str):
        return moments.shown(found)
    if isinstance(found, int | float):
        return number(found)
    if not isinstance(found, Mapping):
        return ""
    for one, other, between in (("low", "high", " to "), ("numerator", "denominator", " / ")):
        if one in found or other in found:
            return between.join(part for part in (quantity(found.get(one)), quantity(found.get(other))) if part)
    return named(found) or quantity(found) or period_of(found) or "(a value that only its resource shows)"


def _component(part: Mapping[str, Any]) -> str:
    return f"{named(part.get('code'))}: {_value(part)}".strip(": ")


def _dose(dosage: Mapping[str, Any]) -> str:
    """In its source's words, with what it says in elements beside them: "as directed" may not stand for the dose."""
    told = (first(dosage, "text"), first(dosage, "patientInstruction"))
    written = "; ".join(dict.fromkeys(part for part in told if part))
    coded = ", ".join(part for part in _coded_dose(dosage) if part)
    if not (written and coded):
        return written or coded
    return written if coded.casefold() in written.casefold() else f"{written} (as coded: {coded})"


def _coded_dose(dosage: Mapping[str, Any]) -> Iterator[str]:
    for amount in objects(dosage, "doseAndRate"):
        for name in ("doseQuantity", "doseRange", "rateQuantity", "rateRange", "rateRatio"):
            yield _value_as_text(amount.get(name))
    yield from all_named(dosage, "timing", "code")
    for repeat in objects(dosage, "timing", "repeat"):
        yield from _timed(repeat)
    yield from all_named(dosage, "route")
    yield from ["as needed"] if dosage.get("asNeededBoolean") is True else all_named(dosage, "asNeededCodeableConcept")
    yield from all_named(dosage, "additionalInstruction")
    for most in objects(dosage, "maxDosePerPeriod"):
        yield f"at most {_value_as_text(most)}"
    for name, when in (("maxDosePerAdministration", "at a time"), ("maxDosePerLifetime", "in a lifetime")):
        for most in objects(dosage, name):
            yield f"at most {quantity(most)} {when}"


def _timed(repeat: Mapping[str, Any]) -> Iterator[str]:
    yield _often(repeat)
    for name, before in (("dayOfWeek", "on "), ("timeOfDay", "at "), ("when", "")):
        if stated := [_WHEN.get(found, found) for found in each(repeat, name) if isinstance(found, str)]:
            yield f"{before}{', '.join(stated)}"
    for name in ("boundsDuration", "boundsRange"):
        for lasting in objects(repeat, name):
            yield f"for {_value_as_text(lasting)}"
    yield period_of(repeat.get("boundsPeriod"))
    if count := number(repeat.get("count")):
        yield f"{count} in all"


def _often(repeat: Mapping[str, Any]) -> str:
    stated, period, unit = (
        _counted(repeat.get("frequency")),
        _counted(repeat.get("period")),
        first(repeat, "periodUnit"),
    )
    if not (stated or period):
        return ""
    # Once, where only the period is stated (http://hl7.org/fhir/R4/datatypes.html#Timing).
    times = _up_to(stated or "1", repeat.get("frequencyMax"))
    often = "once" if times == "1" else f"{times} times"
    if not period:
        return often
    unit = first(repeat, "periodUnit")
    named_unit, periods = _UNITS.get(unit, unit), _up_to(period, repeat.get("periodMax"))
    if periods == "1":
        return f"{often} {'an' if named_unit == 'hour' else 'a'} {named_unit}"
    return f"{often} every {periods} {named_unit}s"


def _up_to(least: str, most: Any) -> str:
    return f"{least} to {_counted(most)}" if _counted(most) else least


def _counted(value: Any) -> str:
    """A number of times: 1.0 is 1 here."""
    return number(value).removesuffix(".0")


# When what a statement says was so: the one clinical date by which it is sorted and by which it grows old.

_DATES = (
    ("effectiveDateTime", ""),
    ("effectiveInstant", ""),
    ("effectivePeriod", "end"),
    ("effectivePeriod", "start"),
    ("occurrenceDateTime", ""),
    ("performedDateTime", ""),
    ("performedPeriod", "end"),
    ("performedPeriod", "start"),
    ("timingDateTime", ""),
    ("timingPeriod", "start"),
    ("date", ""),
    ("dateTime", ""),
    ("issued", ""),
    ("period", "start"),
    ("created", ""),
    ("recordedDate", ""),
    ("recorded", ""),
    ("recordedOn", ""),
)


def when(said: Statement) -> Moment:
    """The date that it gives, else when it was recorded."""
    for written in _written(said.content):
        if known := moment(written):
            return known
    return moments.at(said.recorded_at)


def in_words(said: Statement) -> str:
    """That date as people write it, and nothing where it gives none."""
    return moments.shown(next(_written(said.content), ""))


def newest_first(record: MergedRecord, facts: Iterable[Fact]) -> list[Fact]:
    """The facts by the date of what is shown of them."""
    return sorted(facts, key=lambda fact: (-when(record.shown(fact)).begin.timestamp(), fact.id))


def foremost(record: MergedRecord, newest: Sequence[Fact], most: int) -> list[Fact]:
    """As many of these as may be shown, in their order: of each kind the newest, before another kind has its second.

    A hundred dialyses may not hide the one transplant before them.
    """
    before: Counter[object] = Counter()
    ranked = []
    for place, fact in enumerate(newest):
        kind = _kind(record.shown(fact).content)
        ranked.append((before[kind], place))
        before[kind] += 1
    return [newest[place] for place in sorted(place for _, place in sorted(ranked)[:most])]


def _kind(content: Mapping[str, Any]) -> object:
    said = codes(content, "code") | codes(content, "vaccineCode")
    return min(said) if said else name_of(content).casefold()


def _written(content: Mapping[str, Any]) -> Iterator[str]:
    for name, part in _DATES:
        if name in content and (found := first(content, name, part) if part else first(content, name)):
            yield found

"""MedicationRequest and MedicationStatement: one line for one course, from different sources. Rule `same-medicine`.

A prescription and the word that it is taken are not one: they are shown `beside` each other. Courses overlap when both
are current, or when their stated times do. A course that is over and whose end nobody states has only its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from onestory.record.merge.conflicts import differing, opposed, two_sided
from onestory.record.merge.dates import ClinicalSpan, microseconds, span
from onestory.record.merge.model import Certainty, FactConflict
from onestory.record.merge.pairs import Bucket, Clusters, buckets, offered
from onestory.record.merge.reading import Reading, one_of
from onestory.record.merge.values import bare_codes, first, number, objects, text, worded

# What dose directions say, as far as two of them can be compared (http://hl7.org/fhir/R4/dosage.html).

_HOURS = {"s": 1 / 3600, "min": 1 / 60, "h": 1, "d": 24, "wk": 168, "mo": 730, "a": 8766}
_TIMED = ("dayOfWeek", "timeOfDay", "when")


class DoseStep(NamedTuple):
    """One instruction, in parts that can be compared; what is not said is empty."""

    amounts: frozenset[Hashable]
    often: Hashable
    times: frozenset[str]
    named: frozenset[str]
    as_needed: str


def steps(directions: object) -> list[DoseStep]:
    """How much how often, by structure: one step, or several one after or beside another."""
    found = (_step(each) for each in objects(directions))
    return [step for step in found if any(step)]


def wording(directions: object) -> str | None:
    """The directions in words; None where there are none."""
    words = " ; ".join(filter(None, (worded(each.get("text")) for each in objects(directions))))
    return words or None


def _step(dosage: Mapping[str, Any]) -> DoseStep:
    timing = first(dosage.get("timing"))
    repeat = first(timing.get("repeat"))
    times = frozenset(item for name in _TIMED for item in _strings(repeat.get(name)))
    named = frozenset(bare_codes(timing.get("code")))
    return DoseStep(frozenset(_amounts(dosage)), _daily(repeat), times, named, _as_needed(dosage))


def _as_needed(dosage: Mapping[str, Any]) -> str:
    stated = dosage.get("asNeededBoolean")
    return ("as needed" if stated else "regularly") if isinstance(stated, bool) else ""


def _amounts(dosage: Mapping[str, Any]) -> Iterator[Hashable]:
    for rate in objects(dosage.get("doseAndRate")):
        if "doseQuantity" in rate:
            yield quantity(rate["doseQuantity"])
        if "doseRange" in rate:
            span = first(rate["doseRange"])
            yield quantity(span.get("low")), quantity(span.get("high"))
        if "rateQuantity" in rate:
            yield "rate", quantity(rate["rateQuantity"])


def _daily(repeat: Mapping[str, Any]) -> Hashable:
    """Times a day: twice a day is every twelve hours. What cannot be reckoned is kept as it is."""
    frequency, period = number(repeat.get("frequency")), number(repeat.get("period"))
    unit = text(repeat.get("periodUnit"))
    most = number(repeat.get("frequencyMax"))
    if frequency is None and period is None:
        return None
    try:
        return round((frequency or 1) * 24 / ((period or 1) * _HOURS[unit]), 6), most
    except (KeyError, OverflowError, ZeroDivisionError, ValueError):
        return frequency, period, unit, most


def quantity(value: object) -> tuple[Hashable, ...]:
    """A Quantity: comparator, number and unit (its code, else its words)."""
    found = first(value)
    return (
        text(found.get("comparator")),
        number(found.get("value")),
        text(found.get("code")) or worded(found.get("unit")),
    )


def _strings(value: object) -> Iterator[str]:
    yield from (each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


RULE = "same-medicine"
_FOR_EVER = 1 << 62
_NEGATED = "One says that this is taken or to be given, another that it is not."
_STATUS = "One says that this goes on, another that it was stopped or has ended."
_PAUSED = "One says that this goes on, another that it is on hold."
_DOSE = "The doses differ."
_WORDING = "The directions are worded differently, and their doses cannot be compared."


@dataclass(frozen=True, slots=True)
class Course:
    """`start` and `end` as stated. `asserted`: when the source spoke; microseconds, as in `Span`. `denied`: it says no,
    which holds at least until it was said.
    """

    start: ClinicalSpan | None
    end: ClinicalSpan | None
    asserted: int
    current: bool
    denied: bool

    @property
    def window(self) -> tuple[int, int] | None:
        """When it surely went on; None where nothing is stated."""
        if self.denied and not (self.current or self.end):
            since = self.start.since if self.start else self.asserted
            return since, max(self.start.before if self.start else 0, self.asserted + 1)
        if self.start is None:
            return (self.asserted, _FOR_EVER) if self.current else None
        return self.start.since, self.end.before if self.end else _FOR_EVER if self.current else self.start.before

    @property
    def stopped_by(self) -> int:
        return self.end.before if self.end else self.asserted


class Medicines:
    """The medicines of one person."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self._readings = [each for each in readings if each.comparable and each.none_known is None]
        self._buckets = list(buckets(self._readings, lambda each: each.codes).values())
        self._courses: dict[int, Course] = {}

    def join(self, clusters: Clusters) -> None:
        for one, other in offered(self._buckets, clusters):
            if self._same(one, other):
                clusters.join(one.place, other.place, RULE, Certainty.LIKELY)

    def beside(self) -> Iterator[tuple[Reading, Reading]]:
        """Requests and statements of one course."""
        for bucket in self._buckets:
            requests = [each for each in bucket if each.said.resource_type == "MedicationRequest"]
            taken = [each for each in bucket if each.said.resource_type == "MedicationStatement"]
            for one in requests:
                for other in taken:
                    if one.negative is other.negative and self._overlap(one, other):
                        yield one, other

    def conflicts(self, clusters: Clusters, beside: Sequence[tuple[Reading, Reading]]) -> Iterator[FactConflict]:
        # What an identifier or a clinician joined need not have a code in common.
        uncoded = [group for group in clusters.groups(self._readings) if not _one_code(group)]
        for bucket in [*self._buckets, *uncoded]:
            yield from opposed(_NEGATED, bucket, self._overlap)
            said = [each for each in bucket if not each.negative]
            goes_on = [each for each in said if each.standing == "current"]
            yield from two_sided("status", _STATUS, goes_on, _ended(said, goes_on), self._stopped_meanwhile)
            paused = [each for each in said if each.standing == "paused"]
            yield from two_sided("status", _PAUSED, goes_on, paused, _of_two_sources)
        for group in clusters.groups(self._readings):
            # On one line, what one source says twice hides that it was stopped.
            on, over = _standing(group, "current"), _standing(group, "stopped", "completed")
            yield from two_sided("status", _STATUS, on, over, self._stopped_since)
        for group in self._together(clusters, beside):
            yield from _doses(group)

    def _together(self, clusters: Clusters, beside: Sequence[tuple[Reading, Reading]]) -> Iterator[Bucket]:
        """What is read as one: the members of a fact, with those of one that is beside it."""
        members: dict[int, Bucket] = {}
        for reading in self._readings:
            members.setdefault(clusters.root(reading.place), []).append(reading)
        roots = ({clusters.root(one.place), clusters.root(other.place)} for one, other in beside)
        side_by_side = {tuple(sorted(pair)) for pair in roots if members.keys() >= pair and len(pair) == 2}
        drawn = sorted(side_by_side)
        alone = members.keys() - {root for pair in drawn for root in pair}
        yield from (members[one] + members[other] for one, other in drawn)
        yield from (members[root] for root in sorted(alone) if len(members[root]) > 1)

    def _same(self, one: Reading, other: Reading) -> bool:
        if one.said.resource_type != other.said.resource_type:
            return False
        return text(one.content.get("intent")) == text(other.content.get("intent")) and self._overlap(one, other)

    def _overlap(self, one: Reading, other: Reading) -> bool:
        a, b = self._course(one), self._course(other)
        if a.current and b.current:
            return True
        if a.window is None or b.window is None:
            return False
        return a.window[0] < b.window[1] and b.window[0] < a.window[1]

    def _course(self, reading: Reading) -> Course:
        if reading.place not in self._courses:
            self._courses[reading.place] = _course(reading)
        return self._courses[reading.place]

    def _stopped_meanwhile(self, on: Reading, ended: Reading) -> bool:
        """Whether the one that goes on does not say that it began after the other had ended."""
        return _of_two_sources(on, ended) and self._began_before(on, ended)

    def _stopped_since(self, on: Reading, ended: Reading) -> bool:
        """The same of one source; that what is planned goes on when one issue of it has ended is no conflict."""
        one_intent = text(on.content.get("intent")) == text(ended.content.get("intent"))
        return on.source == ended.source and one_intent and self._began_before(on, ended)

    def _began_before(self, on: Reading, ended: Reading) -> bool:
        going, gone = self._course(on), self._course(ended)
        if going.start is None:
            return ended.standing == "stopped" or going.asserted <= gone.stopped_by
        return going.start.since < gone.stopped_by


def _doses(group: Bucket) -> Iterator[FactConflict]:
    """Different doses among statements of one course: in whatever part several state, or in any step of several."""
    said = {each.place: steps(_directions(each)) for each in group}

    def part(number: int) -> Callable[[Reading], Hashable | None]:
        return lambda each: said[each.place][0][number] or None if said[each.place] else None

    def whole(each: Reading) -> Hashable | None:
        return frozenset(said[each.place]) or None

    in_steps = any(len(each) > 1 for each in said.values())
    compared = [whole] if in_steps else [part(number) for number in range(len(DoseStep._fields))]
    found = [each for value in compared for each in differing("dose", _DOSE, group, value)]
    yield from found[:1]
    if not found and not all(said.values()):
        yield from differing("dose-wording", _WORDING, group, lambda each: wording(_directions(each)))


def _directions(reading: Reading) -> object:
    return one_of(reading.content, "dosageInstruction", "dosage")


def _ended(said: Bucket, goes_on: Bucket) -> Bucket:
    """Those that are over, by sources that do not say themselves that it goes on."""
    current = {each.source for each in goes_on}
    return [each for each in said if each.standing in ("stopped", "completed") and each.source not in current]


def _standing(group: Bucket, *standings: str) -> Bucket:
    return [each for each in group if each.standing in standings and not each.negative]


def _one_code(group: Bucket) -> bool:
    return bool(frozenset.intersection(*[each.codes for each in group]))


def _of_two_sources(one: Reading, other: Reading) -> bool:
    return one.source != other.source


def _course(reading: Reading) -> Course:
    content = reading.content
    effective = first(content.get("effectivePeriod"))
    supply = first(first(content.get("dispenseRequest")).get("validityPeriod"))
    start = _first_span(
        content.get("effectiveDateTime"), effective.get("start"), supply.get("start"), content.get("authoredOn")
    )
    end = _first_span(effective.get("end"), supply.get("end"))
    said = _first_span(content.get("dateAsserted"))
    asserted = said.since if said else microseconds(reading.said.recorded_at)
    current = reading.standing in ("current", "paused") and end is None
    return Course(start, end, asserted, current, reading.negative)


def _first_span(*values: object) -> ClinicalSpan | None:
    return next((found for value in values if (found := span(value))), None)

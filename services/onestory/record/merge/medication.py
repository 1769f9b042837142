"""Merges MedicationRequests and MedicationStatements: one fact for one course. Rule `same-medicine`.

A request and the statement that it is taken are not joined; they are related facts, shown next to each other. Courses
overlap when both are current, or when their stated times overlap. A course that is over and has no stated end counts
only at its beginning. Dose directions: http://hl7.org/fhir/R4/dosage.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from onestory.record.medicines.directions import Regimen
from onestory.record.medicines.medicine import MedicineEntry, concurrent
from onestory.record.medicines.products import Product
from onestory.record.medicines.regimen import DoseComparison, compare
from onestory.record.merge.conflicts import conflict, negation_conflict, two_sided_conflict, value_conflict
from onestory.record.merge.model import Certainty, FactConflict
from onestory.record.merge.pairs import Bucket, Clusters, buckets, joinable_pairs
from onestory.record.merge.reading import Reading
from onestory.record.merge.values import ClinicalSpan, microseconds, reference_id, span
from onestory.shared.fhir.json import first_object, objects, text

RULE = "same-medicine"
_FOR_EVER = 1 << 62
MAX_COMPARED = 12
"""Different doses of one course that others are compared with; further ones are sides of their own unless equal."""
_NEGATED = "One says that this is taken or to be given, another that it is not."
_STATUS = "One says that this goes on, another that it was stopped or has ended."
_PAUSED = "One says that this goes on, another that it is on hold."
_DOSE = "The doses differ."
_WORDING = "The directions have other words in each source: read both."


@dataclass(frozen=True, slots=True)
class Course:
    """When a medicine was or is taken. `start` and `end` are as stated.

    `asserted` is when the source made the statement, in microseconds since 1970 UTC. `negative`: it denies the course,
    and the denial holds at least until `asserted`.
    """

    start: ClinicalSpan | None
    end: ClinicalSpan | None
    asserted: int
    current: bool
    negative: bool

    @property
    def window(self) -> tuple[int, int] | None:
        """The time in which the course surely went on, in microseconds since 1970 UTC; None if no time is stated."""
        if self.negative and not (self.current or self.end):
            since = self.start.since if self.start else self.asserted
            return since, max(self.start.before if self.start else 0, self.asserted + 1)
        if self.start is None:
            return (self.asserted, _FOR_EVER) if self.current else None
        return self.start.since, self.end.before if self.end else _FOR_EVER if self.current else self.start.before

    @property
    def latest_end(self) -> int:
        """The end, or if none is stated the time of the statement; in microseconds since 1970 UTC."""
        return self.end.before if self.end else self.asserted


class Medicines:
    """Joins the medicines of one person, and finds their conflicts."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self.readings = [each for each in readings if each.comparable and each.none_known is None]
        """The readings that are compared."""
        self._buckets = list(buckets(self.readings, lambda each: each.codes).values())
        self._courses: dict[int, Course] = {}
        self._medicines: dict[int, MedicineEntry] = {}

    def join(self, clusters: Clusters) -> None:
        """Joins requests, and joins statements, of one course."""
        for one, other in joinable_pairs(self._buckets, clusters):
            if self._may_join(one, other):
                clusters.join(one.ordinal, other.ordinal, RULE, Certainty.LIKELY)

    def related_pairs(self) -> Iterator[tuple[Reading, Reading]]:
        """Yields the pairs of a MedicationRequest and a MedicationStatement of one course."""
        for bucket in self._buckets:
            requests = [each for each in bucket if each.statement.resource_type == "MedicationRequest"]
            taken = [each for each in bucket if each.statement.resource_type == "MedicationStatement"]
            for one in requests:
                for other in taken:
                    alike = one.negative is other.negative and self.overlap(one, other)
                    if alike and not self.concurrent(one, other):
                        yield one, other

    def conflicts(self, clusters: Clusters, related_pairs: Sequence[tuple[Reading, Reading]]) -> Iterator[FactConflict]:
        """Yields conflicts about whether a medicine is taken, paused or stopped, and about its dose."""
        # Statements joined by identifier or judgement need not share a code.
        uncoded = [group for group in clusters.joined_groups(self.readings) if not _share_a_code(group)]
        for bucket in [*self._buckets, *uncoded]:
            yield from negation_conflict(_NEGATED, bucket, self.overlap)
            positive = [reading for reading in bucket if not reading.negative]
            current = [reading for reading in positive if reading.phase == "current"]
            yield from two_sided_conflict(
                "status", _STATUS, current, _ended(positive, current), self._other_source_stopped
            )
            paused = [reading for reading in positive if reading.phase == "paused"]
            yield from two_sided_conflict("status", _PAUSED, current, paused, self._other_source_paused)
        for group in clusters.joined_groups(self.readings):
            # In one fact, two statements of one source could hide that the medicine was stopped.
            going_on, over = _in_phase(group, "current"), _in_phase(group, "stopped", "completed")
            yield from two_sided_conflict("status", _STATUS, going_on, over, self._same_source_stopped)
        for group in self._read_together(clusters, related_pairs):
            yield from _dose_conflicts(group, self.entry)

    def _read_together(self, clusters: Clusters, related_pairs: Sequence[tuple[Reading, Reading]]) -> Iterator[Bucket]:
        """Yields the statements that are read together: those of a fact, with those of a related fact."""
        members: dict[int, Bucket] = {}
        for reading in self.readings:
            members.setdefault(clusters.root(reading.ordinal), []).append(reading)
        roots = ({clusters.root(one.ordinal), clusters.root(other.ordinal)} for one, other in related_pairs)
        root_pairs = {tuple(sorted(pair)) for pair in roots if members.keys() >= pair and len(pair) == 2}
        pairs = sorted(root_pairs)
        alone = members.keys() - {root for pair in pairs for root in pair}
        yield from (members[one] + members[other] for one, other in pairs)
        yield from (members[root] for root in sorted(alone) if len(members[root]) > 1)

    def _may_join(self, one: Reading, other: Reading) -> bool:
        if one.statement.resource_type != other.statement.resource_type:
            return False
        same_intent = text(one.content.get("intent")) == text(other.content.get("intent"))
        return same_intent and self.overlap(one, other) and not self.concurrent(one, other)

    def concurrent(self, one: Reading, other: Reading) -> bool:
        """Whether two entries are regimens that go on side by side."""
        return concurrent(self.entry(one), self.entry(other))

    def entry(self, reading: Reading) -> MedicineEntry:
        """The reading as an entry of a medicine."""
        if reading.ordinal not in self._medicines:
            self._medicines[reading.ordinal] = MedicineEntry(reading.content)
        return self._medicines[reading.ordinal]

    def overlap(self, one: Reading, other: Reading) -> bool:
        """Whether two courses go on at one time."""
        a, b = self.course(one), self.course(other)
        if a.current and b.current:
            return True
        if a.window is None or b.window is None:
            return False
        return a.window[0] < b.window[1] and b.window[0] < a.window[1]

    def course(self, reading: Reading) -> Course:
        """When the medicine of the reading is taken."""
        if reading.ordinal not in self._courses:
            self._courses[reading.ordinal] = _course(reading)
        return self._courses[reading.ordinal]

    def _other_source_stopped(self, current: Reading, ended: Reading) -> bool:
        """Whether another source ended the course, and the current statement does not begin after that end."""
        return (
            _differ_in_source(current, ended)
            and self.began_before_end(current, ended)
            and not self.concurrent(current, ended)
        )

    def _other_source_paused(self, current: Reading, paused: Reading) -> bool:
        return _differ_in_source(current, paused) and not self.concurrent(current, paused)

    def _same_source_stopped(self, current: Reading, ended: Reading) -> bool:
        """The same for two statements of one source. A plan that continues after one issue ended is no conflict."""
        same_intent = text(current.content.get("intent")) == text(ended.content.get("intent"))
        return current.source == ended.source and same_intent and self.began_before_end(current, ended)

    def began_before_end(self, current: Reading, ended: Reading) -> bool:
        """Whether a current course began before another ended, so that the end may be about it."""
        current_course, ended_course = self.course(current), self.course(ended)
        if current_course.start is None:
            return ended.phase == "stopped" or current_course.asserted <= ended_course.latest_end
        return current_course.start.since < ended_course.latest_end


def issues_of_plans(readings: Sequence[Reading]) -> dict[int, list[Reading]]:
    """For the ordinal of each repeat (a MedicationRequest that is a plan), its issues: orders of its source.

    An issue refers to its plan by `basedOn`; without a reference, a completed order of the same code is an issue.
    """
    requests = [each for each in readings if each.statement.resource_type == "MedicationRequest" and not each.withdrawn]
    plans = [each for each in requests if text(each.content.get("intent")) == "plan"]
    by_id = {each.statement.shared_id: each for each in plans}
    by_code = {(each.source, each.codes): each for each in plans if each.codes}
    found: dict[int, list[Reading]] = {}
    for reading in requests if plans else ():
        if text(reading.content.get("intent")) == "plan":
            continue
        referred = [by_id.get(reference_id(each)) for each in objects(reading.content.get("basedOn"))]
        plan = next((each for each in referred if each), None)
        if plan is None and reading.phase == "completed":
            plan = by_code.get((reading.source, reading.codes))
        if plan is not None and plan.source == reading.source:
            found.setdefault(plan.ordinal, []).append(reading)
    return found


def _ended(positive: Bucket, current: Bucket) -> Bucket:
    """The statements that are over, of sources that do not also state that the medicine is current.

    A completed MedicationRequest is a supply, or an issue of a repeat, and ends nothing.
    """
    current_sources = {reading.source for reading in current}
    over = [reading for reading in positive if reading.phase == "stopped" or _completed_course(reading)]
    return [reading for reading in over if reading.source not in current_sources]


def _completed_course(reading: Reading) -> bool:
    return reading.phase == "completed" and reading.statement.resource_type == "MedicationStatement"


def _in_phase(group: Bucket, *phases: str) -> Bucket:
    return [reading for reading in group if reading.phase in phases and not reading.negative]


def _share_a_code(group: Bucket) -> bool:
    return bool(frozenset.intersection(*[each.codes for each in group]))


def _differ_in_source(one: Reading, other: Reading) -> bool:
    return one.source != other.source


def _course(reading: Reading) -> Course:
    content = reading.content
    effective = first_object(content.get("effectivePeriod"))
    supply = first_object(first_object(content.get("dispenseRequest")).get("validityPeriod"))
    start = _first_span(
        content.get("effectiveDateTime"), effective.get("start"), supply.get("start"), content.get("authoredOn")
    )
    end = _first_span(effective.get("end"), supply.get("end"))
    stated = _first_span(content.get("dateAsserted"))
    asserted = stated.since if stated else microseconds(reading.statement.recorded_at)
    current = reading.phase in ("current", "paused") and end is None
    return Course(start, end, asserted, current, reading.negative)


def _first_span(*values: object) -> ClinicalSpan | None:
    return next((found for value in values if (found := span(value))), None)


def _dose_conflicts(group: Bucket, medicine: Callable[[Reading], MedicineEntry]) -> Iterator[FactConflict]:
    """Yields at most one conflict between the doses of one course: `dose` if they differ, else `dose-wording`.

    `dose-wording` means that the directions have other words and cannot be compared.
    """
    read = [each for each in group if medicine(each).regimen.steps or medicine(each).directions_text]
    product = _fullest(medicine(each).product for each in group)
    sides: list[Bucket] = []
    others: dict[Regimen, Bucket] = {}
    unknown = False
    for reading in read:
        compared = [compare(medicine(side[0]).regimen, medicine(reading).regimen, product, product) for side in sides]
        unknown = unknown or DoseComparison.UNKNOWN in compared
        alike = next((n for n, found in enumerate(compared) if found is not DoseComparison.DIFFERENT), None)
        if alike is not None:
            sides[alike].append(reading)
        elif len(sides) < MAX_COMPARED:
            sides.append([reading])
        else:
            others.setdefault(medicine(reading).regimen, []).append(reading)
    if len(sides) > 1:
        yield conflict("dose", _DOSE, *sides, *others.values())
    elif unknown:
        yield from value_conflict("dose-wording", _WORDING, read, lambda each: medicine(each).directions_text or None)


def _fullest(products: Iterable[Product]) -> Product:
    """The product that states its strength; all name one medicine."""
    found = list(products)
    return next((each for each in found if each.strengths), found[0])

"""MedicationRequest and MedicationStatement: one line for one course, from different sources. Rule `same-medicine`.

A prescription and the word that it is taken are not one: they are shown `beside` each other. Courses overlap when both
are current, or when their stated times do. A course that is over and whose end nobody states has only its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from onestory.record.domain.merge.clusters import Clusters
from onestory.record.domain.merge.contradiction import differing, opposed, two_sided
from onestory.record.domain.merge.dose import Step, steps, wording
from onestory.record.domain.merge.fact import Certainty, Conflict
from onestory.record.domain.merge.likeness import Bucket, buckets, offered
from onestory.record.domain.merge.reading import Reading, one_of
from onestory.record.domain.merge.shape import first, text
from onestory.record.domain.merge.when import Span, microseconds, span

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

    start: Span | None
    end: Span | None
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

    def conflicts(self, clusters: Clusters, beside: Sequence[tuple[Reading, Reading]]) -> Iterator[Conflict]:
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


def _doses(group: Bucket) -> Iterator[Conflict]:
    """Different doses among statements of one course: in whatever part several state, or in any step of several."""
    said = {each.place: steps(_directions(each)) for each in group}

    def part(number: int) -> Callable[[Reading], Hashable | None]:
        return lambda each: said[each.place][0][number] or None if said[each.place] else None

    def whole(each: Reading) -> Hashable | None:
        return frozenset(said[each.place]) or None

    in_steps = any(len(each) > 1 for each in said.values())
    compared = [whole] if in_steps else [part(number) for number in range(len(Step._fields))]
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


def _first_span(*values: object) -> Span | None:
    return next((found for value in values if (found := span(value))), None)

"""Merges DiagnosticReports, and finds the earlier copies of results and reports that a laboratory corrected.

Rule `same-report`: one code, one time, and the same conclusion; a copy without a conclusion matches too. Results of a
report stay facts of their own. http://hl7.org/fhir/R4/diagnosticreport.html
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

from onestory.record.merge.conflicts import conflict
from onestory.record.merge.finding import Finding, finding_of
from onestory.record.merge.model import Certainty, FactConflict
from onestory.record.merge.observation import (
    CANCELLED_WORDS,
    CORRECTED,
    CORRECTED_WORDS,
    MINUTE,
    effective_start,
    measured_codes,
)
from onestory.record.merge.pairs import Bucket, Clusters, buckets, joinable_pairs
from onestory.record.merge.reading import Reading
from onestory.record.merge.rules import MergeRules
from onestory.record.merge.units import measurement_named
from onestory.record.merge.values import ClinicalSpan, exclude, worded
from onestory.shared.fhir.json import concept_texts, objects, text

RULE = "same-report"
_WITHDRAWN = "Withdrawn by its source as an error. Do not use the copy."
_CORRECTIONS = {
    "corrected": CORRECTED_WORDS,
    "amended": CORRECTED_WORDS,
    "cancelled": CANCELLED_WORDS,
    "entered-in-error": _WITHDRAWN,
}
_MANY_COPIES = 50


class Reports:
    """Joins the DiagnosticReports of one person."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        comparable = [each for each in readings if each.comparable]
        self._buckets = list(buckets(comparable, _keys).values())

    def join(self, clusters: Clusters) -> None:
        """Joins copies of one report."""
        alike = [group for bucket in self._buckets for group in _by_conclusion(bucket)]
        for one, other in joinable_pairs(alike, clusters):
            if certainty := _join_certainty(one, other):
                clusters.join(one.ordinal, other.ordinal, RULE, certainty)


def _by_conclusion(bucket: Bucket) -> Iterator[Bucket]:
    """Yields the reports of one day with the same conclusion, each time with those that have none."""
    silent = [each for each in bucket if not _conclusion(each)]
    groups: dict[str, Bucket] = {}
    for each in bucket:
        if conclusion := _conclusion(each):
            groups.setdefault(conclusion, []).append(each)
    if len(groups) != 1:
        # Without a conclusion it could be a copy of any of these.
        yield from (group for group in groups.values() if len(group) > 1)
    elif len(bucket) > 1:
        yield sorted([*silent, *next(iter(groups.values()))], key=lambda each: each.ordinal)


def _join_certainty(one: Reading, other: Reading) -> Certainty | None:
    mine, theirs = effective_start(one.content), effective_start(other.content)
    if mine is None or theirs is None or not mine.overlaps(theirs):
        return None
    # The conclusions are equal, or one is missing; a report without one may be of another part of the day.
    exact = mine.moment and theirs.moment
    if not (exact or (_conclusion(one) and _conclusion(other))):
        return None
    return Certainty.EXACT if exact and _conclusion(one) == _conclusion(other) else Certainty.LIKELY


def _conclusion(reading: Reading) -> str:
    return worded(reading.content.get("conclusion"))


def _keys(reading: Reading) -> Iterator[Hashable]:
    when = effective_start(reading.content)
    if when is not None and when.day is not None:
        for code in reading.codes:
            yield when.day, code


def correction_conflicts(readings: Sequence[Reading], clusters: Clusters, rules: MergeRules) -> Iterator[FactConflict]:
    """Yields a conflict for each result or report that was corrected, cancelled or withdrawn, with its earlier copies.

    A copy has the same code, and the same time or the same number of the laboratory, and another value. `readings` are
    the Observations and DiagnosticReports.
    """
    corrected = [
        each for each in readings if _correction(each) and not each.has_modifier and each.plan_decision is None
    ]
    if not corrected:
        return
    wanted = {key for each in corrected for key in _copy_keys(each)}
    copies: dict[tuple[Hashable, ...], _Copies] = {}
    for each in readings:
        if not (_correction(each) or each.withdrawn or each.negative or each.plan_decision is not None):
            for key in wanted.intersection(_copy_keys(each)):
                copies.setdefault(key, _Copies()).add(each)
    crowds = _crowds(corrected, copies)
    for group, possible in crowds.values():
        yield conflict(CORRECTED, _words(group[0]), group, possible)
    differ = _Difference(rules)
    for each in corrected:
        stale: dict[int, Reading] = {}
        for key in _copy_keys(each):
            if key in copies and not (each.negative and _is_day(key)) and _sample(key, each) not in crowds:
                possible = copies[key].of_sample(key, each)
                differing = (other for other in possible if differ.between(each, other))
                # A cancelled result contradicts what was observed at its time in any case.
                stale |= {other.ordinal: other for other in differing if not (each.negative and _overlap(each, other))}
        apart = [other for other in stale.values() if not clusters.are_joined(each, other)]
        if apart:
            yield conflict(CORRECTED, _words(each), [each], apart)


def _crowds(
    corrected: Sequence[Reading], copies: Mapping[tuple[Hashable, ...], _Copies]
) -> Mapping[Hashable, tuple[list[Reading], Sequence[Reading]]]:
    """The corrected statements of one sample with so many possible copies that nobody can tell which are of which.

    Each comes with all those copies: they are marked without a comparison, which would take too long.
    """
    found: dict[Hashable, tuple[list[Reading], Sequence[Reading]]] = {}
    for each in corrected:
        for key in dict.fromkeys(_copy_keys(each)):
            if key in copies and not (each.negative and _is_day(key)):
                possible = copies[key].of_sample(key, each)
                if len(possible) > _MANY_COPIES:
                    found.setdefault(_sample(key, each), ([], possible))[0].append(each)
    return {sample: crowd for sample, crowd in found.items() if len(crowd[0]) > _MANY_COPIES}


def _sample(key: tuple[Hashable, ...], corrected: Reading) -> Hashable:
    return key, effective_start(corrected.content), _words(corrected)


class _Copies:
    """Possible copies of one code on one day, by the minute of their time."""

    def __init__(self) -> None:
        self.every: Bucket = []
        self._timeless: Bucket = []
        self._by_minute: dict[int, Bucket] = {}
        self._same_time: dict[ClinicalSpan | None, Sequence[Reading]] = {}

    def add(self, reading: Reading) -> None:
        """Adds a possible copy."""
        self.every.append(reading)
        when = effective_start(reading.content)
        group = self._by_minute.setdefault(when.since // MINUTE, []) if when and when.moment else self._timeless
        group.append(reading)

    def of_sample(self, key: tuple[Hashable, ...], corrected: Reading) -> Sequence[Reading]:
        """Those of the same sample as the corrected one: of its laboratory number, or of its time.

        A day without a time is the day of this sample only if no other sample of that day is known.
        """
        if not _is_day(key):
            return self.every
        when = effective_start(corrected.content)
        if when not in self._same_time:
            self._same_time[when] = self._at(when)
        return self._same_time[when]

    def _at(self, when: ClinicalSpan | None) -> Sequence[Reading]:
        if when is None or not when.moment:
            return self.every if len(self._by_minute) <= 1 else self._timeless
        at_this_time = self._by_minute.get(when.since // MINUTE, [])
        same = [each for each in at_this_time if (time := effective_start(each.content)) and time.overlaps(when)]
        other_times = len(self._by_minute) - (1 if at_this_time else 0)
        return same if other_times else [*same, *self._timeless]


class _Difference:
    """Tells whether a copy differs from the corrected statement, so that it must be marked."""

    def __init__(self, rules: MergeRules) -> None:
        self._rules = rules
        self._findings: dict[int, Finding] = {}

    def between(self, corrected: Reading, other: Reading) -> bool:
        """Whether the copy has another value; or the same, if the value itself was withdrawn."""
        if exclude(corrected.codes, other.codes):
            return False
        keeps_value = _words(corrected) is CORRECTED_WORDS
        if corrected.statement.resource_type == "DiagnosticReport":
            mine, theirs = _conclusion(corrected), _conclusion(other)
            return bool(theirs) and ((mine != theirs and bool(mine)) if keeps_value else mine in ("", theirs))
        found, copied = self._finding(corrected), self._finding(other)
        if not keeps_value:
            # The withdrawn value itself is copied, or the source no longer says which it was.
            return bool(copied) and (not found or found.match(copied) is not None)
        return bool(found) and bool(copied) and found.match(copied) is None

    def _finding(self, reading: Reading) -> Finding:
        if reading.ordinal not in self._findings:
            self._findings[reading.ordinal] = finding_of(reading.content, measured_codes(reading), self._rules)
        return self._findings[reading.ordinal]


def _overlap(one: Reading, other: Reading) -> bool:
    mine, theirs = effective_start(one.content), effective_start(other.content)
    return mine is not None and theirs is not None and mine.overlaps(theirs)


def _is_day(key: tuple[Hashable, ...]) -> bool:
    return len(key) == len(("kind", "code", "day"))


def _words(reading: Reading) -> str:
    return _CORRECTIONS[_correction(reading)]


def _correction(reading: Reading) -> str:
    status = text(reading.content.get("status"))
    return status if status in _CORRECTIONS else ""


def _copy_keys(reading: Reading) -> Iterator[tuple[Hashable, ...]]:
    kind = reading.statement.resource_type
    when = effective_start(reading.content)
    numbers = [
        (text(each.get("system")), text(each.get("value"))) for each in objects(reading.content.get("identifier"))
    ]
    # A copy may have lost the code, so that only its name is left.
    named = {worded(each) for each in concept_texts(reading.content, "code")} - {""}
    known = {each for name in named if (each := measurement_named(name))} if kind == "Observation" else set()
    for code in (*reading.codes, *named, *known):
        if when is not None and when.day is not None:
            yield kind, code, when.day
        yield from ((kind, code, *number) for number in numbers if all(number))

"""Merges DiagnosticReports, and finds the earlier copies of results and reports that a laboratory corrected.

Rule `same-report`: one code, one time, and the same conclusion; a copy without a conclusion matches too. Results of a
report stay facts of their own. http://hl7.org/fhir/R4/diagnosticreport.html
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from onestory.record.merge.conflicts import conflict
from onestory.record.merge.finding import finding_of
from onestory.record.merge.model import Certainty, FactConflict
from onestory.record.merge.observation import CANCELLED_WORDS, CORRECTED, CORRECTED_WORDS, effective_start
from onestory.record.merge.pairs import Bucket, Clusters, buckets, joinable_pairs
from onestory.record.merge.reading import Reading
from onestory.record.merge.rules import MergeRules
from onestory.record.merge.values import ClinicalSpan, exclude, worded
from onestory.shared.fhir.json import objects, text

RULE = "same-report"
_WITHDRAWN = "Withdrawn by its source as an error. Do not use the copy."
_CORRECTIONS = {
    "corrected": CORRECTED_WORDS,
    "amended": CORRECTED_WORDS,
    "cancelled": CANCELLED_WORDS,
    "entered-in-error": _WITHDRAWN,
}


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
    copies: dict[Hashable, Bucket] = {}
    for each in readings:
        if not (_correction(each) or each.withdrawn or each.negative or each.plan_decision is not None):
            for key in wanted.intersection(_copy_keys(each)):
                copies.setdefault(key, []).append(each)
    for each in corrected:
        stale = {
            other.ordinal: other
            for key in _copy_keys(each)
            for other in _same_time(each, key, copies.get(key, ()))
            if _differs(each, other, rules) and not (clusters.are_joined(each, other) or _is_denied(each, other))
        }
        if stale:
            yield conflict(CORRECTED, _CORRECTIONS[_correction(each)], [each], stale.values())


def _correction(reading: Reading) -> str:
    status = text(reading.content.get("status"))
    return status if status in _CORRECTIONS else ""


def _copy_keys(reading: Reading) -> Iterator[tuple[Hashable, ...]]:
    kind = reading.statement.resource_type
    when = effective_start(reading.content)
    numbers = [
        (text(each.get("system")), text(each.get("value"))) for each in objects(reading.content.get("identifier"))
    ]
    for code in reading.codes:
        if when is not None and when.day is not None:
            yield kind, code, when.day
        yield from ((kind, code, *number) for number in numbers if all(number))


def _same_time(corrected: Reading, key: tuple[Hashable, ...], group: Sequence[Reading]) -> Iterator[Reading]:
    """Yields those of the group that are of the same sample as the corrected one."""
    if len(key) > len(("kind", "code", "day")):
        yield from group
        return
    when = effective_start(corrected.content)
    times = {each.ordinal: effective_start(each.content) for each in group}
    # A day without a time is the day of this sample only if no other sample of the day is known.
    only = all(time is None or when is None or time.overlaps(when) for time in times.values())
    for each in group:
        time = times[each.ordinal]
        if when and time and time.overlaps(when) and (only or _are_moments(time, when)):
            yield each


def _are_moments(one: ClinicalSpan, other: ClinicalSpan) -> bool:
    return one.moment and other.moment


def _differs(corrected: Reading, other: Reading, rules: MergeRules) -> bool:
    if exclude(corrected.codes, other.codes):
        return False
    if corrected.statement.resource_type == "DiagnosticReport":
        mine, theirs = _conclusion(corrected), _conclusion(other)
        return bool(theirs) and ((mine != theirs and bool(mine)) if _keeps_value(corrected) else mine in ("", theirs))
    found, copied = (finding_of(each.content, each.codes, rules) for each in (corrected, other))
    if not _keeps_value(corrected):
        # The withdrawn value itself is copied, or the source no longer says which it was.
        return bool(copied) and (not found or found.match(copied) is not None)
    return bool(found) and bool(copied) and found.match(copied) is None


def _is_denied(corrected: Reading, other: Reading) -> bool:
    """Whether the result was cancelled at this time: then the two contradict each other in any case."""
    mine, theirs = effective_start(corrected.content), effective_start(other.content)
    return corrected.negative and mine is not None and theirs is not None and mine.overlaps(theirs)


def _keeps_value(corrected: Reading) -> bool:
    return _CORRECTIONS[_correction(corrected)] is CORRECTED_WORDS

"""Merges Observations: one fact for one measurement. Rule `same-observation`.

Code, time, value with unit, and components must be the same; a value that was rounded or converted to another unit is
the same with `likely` certainty. Body site, method and specimen must not differ where both state them. A date without
a time matches a time on that day with `likely` certainty. An Observation without a value matches nothing. One without a
code is compared by its name, with `likely` certainty. See http://hl7.org/fhir/R4/observation.html.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from onestory.record.merge.conflicts import conflict
from onestory.record.merge.finding import Finding, finding_of
from onestory.record.merge.model import Certainty, Fact, FactConflict, Statement
from onestory.record.merge.pairs import Bucket, Clusters, buckets, has_several_sources, joinable_pairs
from onestory.record.merge.reading import Reading, first_present
from onestory.record.merge.rules import MergeRules
from onestory.record.merge.units import code_by_name
from onestory.record.merge.values import ClinicalSpan, codes, exclude, reference_id, span, worded
from onestory.shared.fhir.json import Code, first_object, objects, text

RULE = "same-observation"
_VALUE = "The values differ."
_NO_CODES: frozenset[Code] = frozenset()
CORRECTED = "corrected"
"""The kind of a conflict between a corrected result and an earlier copy of it."""
CORRECTED_WORDS = "Corrected by the laboratory: do not use the earlier value."
CANCELLED_WORDS = "Cancelled by the laboratory. Do not use."
MINUTE = 60_000_000
"""Microseconds of a minute."""


class Specimen(NamedTuple):
    """The specimen of an observation; `numbers` are its identifiers, keyed by system."""

    reference: str
    numbers: Mapping[str, str]
    types: frozenset[Code]


class Observed(NamedTuple):
    """The values of an Observation that are compared. `until` is the end of an effectivePeriod."""

    when: ClinicalSpan | None
    until: ClinicalSpan | None
    finding: Finding
    site: frozenset[Code]
    method: frozenset[Code]
    specimen: Specimen | None


class _Moments:
    """Statements of one day by the minute of their time; those without one, or over a period, match any minute."""

    def __init__(self, group: Bucket, compared: Callable[[Reading], Observed]) -> None:
        self._all = group
        self._timeless = [each for each in group if not _has_moment(compared(each))]
        self._by_minute: dict[int, Bucket] = {}
        for each in group:
            when = compared(each).when
            if when is not None:
                self._by_minute.setdefault(when.since // MINUTE, []).append(each)

    def near(self, observed: Observed) -> Iterable[Reading]:
        """The statements that may be of the same time."""
        if observed.when is None or not _has_moment(observed):
            return self._all
        return chain(self._timeless, self._by_minute.get(observed.when.since // MINUTE, ()))


class Observations:
    """Joins the Observations of one person, and finds their conflicts. They may refer to the given Specimens."""

    def __init__(self, readings: Sequence[Reading], specimens: Sequence[Reading], rules: MergeRules) -> None:
        self._readings = [each for each in readings if each.comparable]
        self._specimens = {each.statement.shared_id: each.content for each in specimens}
        self._rules = rules
        self._observed: dict[int, Observed] = {}
        # Names are read only where a code is missing.
        self._by_name = any(not each.codes for each in self._readings)
        of_code = buckets(self._readings, self._codes).values()
        compared = {each.ordinal: each for bucket in of_code if _worth_comparing(bucket) for each in bucket}
        self._of_day = list(buckets([compared[ordinal] for ordinal in sorted(compared)], self._day_keys).values())

    def _codes(self, reading: Reading) -> Collection[Code]:
        """The codes, and the code that stands for the name if results are compared by names."""
        name = code_by_name(reading.content) if self._by_name else None
        return reading.codes | {name} if name else reading.codes

    def _day_keys(self, reading: Reading) -> Iterator[Hashable]:
        when = effective_start(reading.content)
        if when is not None and when.day is not None:
            for code in self._codes(reading):
                yield when.day, code

    def join(self, clusters: Clusters) -> None:
        """Joins observations of one measurement."""
        same_value = [group for bucket in self._of_day if has_several_sources(bucket) for group in self._alike(bucket)]
        for one, other in joinable_pairs(same_value, clusters):
            if certainty := self._join_certainty(one, other):
                clusters.join(one.ordinal, other.ordinal, RULE, certainty)

    def _alike(self, bucket: Bucket) -> Iterator[Bucket]:
        """Yields the groups of a day within which two statements can be one measurement."""
        if len(bucket) == 2:
            yield bucket
            return
        # Only a date without a time can match several times of its day.
        by_day = any(not _has_moment(self._compared(each)) for each in bucket)

        def keys(reading: Reading) -> Iterator[Hashable]:
            observed = self._compared(reading)
            when = observed.when
            minute = 0 if by_day or when is None else when.since // MINUTE
            for key in observed.finding.bucket_keys():
                yield minute, reading.negative, key

        yield from buckets(bucket, keys).values()

    def conflicts(self, clusters: Clusters) -> Iterator[FactConflict]:
        """Yields conflicts between observed and not observed, and between values of one fact."""
        for bucket in self._of_day:
            negative = [reading for reading in bucket if reading.negative]
            if negative and len(negative) < len(bucket):
                yield from self._negation(negative, [reading for reading in bucket if not reading.negative])
        for group in clusters.joined_groups(self._readings):
            # Statements that only this rule joined have equal values.
            if all(join.rule == RULE for join in clusters.joins[clusters.root(group[0].ordinal)]):
                continue
            by_value = self._by_value(group)
            if len(by_value) > 1:
                corrected = any(each.content.get("status") in ("corrected", "amended") for each in group)
                yield (
                    conflict(CORRECTED, CORRECTED_WORDS, *by_value)
                    if corrected
                    else conflict("value", _VALUE, *by_value)
                )

    def _negation(self, negative: Bucket, positive: Bucket) -> Iterator[FactConflict]:
        """Yields at most one conflict between the denials of one day and the measurements at their times."""
        denials, stated = _Moments(negative, self._compared), _Moments(positive, self._compared)
        against = [each for each in negative if self._any_at_one_time(each, stated)]
        if against:
            sides = [each for each in positive if self._any_at_one_time(each, denials)]
            yield conflict("negation", CANCELLED_WORDS, sides, against)

    def _any_at_one_time(self, one: Reading, others: _Moments) -> bool:
        near = (other for other in others.near(self._compared(one)) if _may_be_of_one_kind(one, other))
        return any(self._certainty_of_time(one, other) is not None for other in near)

    def _join_certainty(self, one: Reading, other: Reading) -> Certainty | None:
        when = self._certainty_of_time(one, other)
        if when is None or not _may_be_of_one_kind(one, other):
            return None
        a, b = self._compared(one), self._compared(other)
        match = a.finding.match(b.finding)
        if match is None or exclude(a.site, b.site) or exclude(a.method, b.method):
            return None
        by_name = one.codes.isdisjoint(other.codes)
        if by_name or match is Certainty.LIKELY or a.site != b.site or (a.specimen is None) is not (b.specimen is None):
            when = Certainty.LIKELY
        if a.specimen and b.specimen:
            return _specimen_certainty(a.specimen, b.specimen, when)
        return when

    def _certainty_of_time(self, one: Reading, other: Reading) -> Certainty | None:
        """How certain it is that both were made at one time; None if they were not."""
        a, b = self._compared(one), self._compared(other)
        if a.when is None or b.when is None or (a.until is None) is not (b.until is None):
            return None
        if a.until and b.until and not a.until.overlaps(b.until):
            return None
        if not a.when.overlaps(b.when):
            return None
        return Certainty.EXACT if a.when.moment and b.when.moment else Certainty.LIKELY

    def _by_value(self, group: Bucket) -> list[Bucket]:
        """The statements that have a value, grouped by it."""
        by_value: list[Bucket] = []
        for reading in group:
            finding = self._compared(reading).finding
            if not finding:
                continue
            same = next((other for other in by_value if self._compared(other[0]).finding.match(finding)), None)
            if same is None:
                by_value.append([reading])
            else:
                same.append(reading)
        return by_value

    def _compared(self, reading: Reading) -> Observed:
        if reading.ordinal not in self._observed:
            self._observed[reading.ordinal] = self._parse(reading)
        return self._observed[reading.ordinal]

    def _parse(self, reading: Reading) -> Observed:
        content = reading.content
        aliases = self._rules.system_aliases
        return Observed(
            effective_start(content),
            span(first_object(content["effectivePeriod"]).get("end")) if "effectivePeriod" in content else None,
            finding_of(content, measured_codes(reading), self._rules),
            frozenset(codes(content["bodySite"], aliases)) if "bodySite" in content else _NO_CODES,
            frozenset(codes(content["method"], aliases)) if "method" in content else _NO_CODES,
            self._specimen(content["specimen"]) if "specimen" in content else None,
        )

    def _specimen(self, reference: object) -> Specimen:
        target = reference_id(reference)
        found = self._specimens.get(target, {})
        stated = [*objects(first_object(reference).get("identifier")), *objects(found.get("identifier"))]
        stated += objects(found.get("accessionIdentifier"))
        numbers = {text(each.get("system")): text(each.get("value")) for each in stated}
        return Specimen(target, numbers, frozenset(codes(found.get("type"), self._rules.system_aliases)))


def _has_moment(observed: Observed) -> bool:
    return observed.when is not None and observed.when.moment


def measured_codes(reading: Reading) -> frozenset[Code]:
    """The codes by which values on two scales are compared: also the code that stands for the name."""
    name = code_by_name(reading.content)
    return reading.codes | {name} if name else reading.codes


def _may_be_of_one_kind(one: Reading, other: Reading) -> bool:
    """Whether they share a code; a name is enough where one of them has no code."""
    return not (one.codes and other.codes) or not one.codes.isdisjoint(other.codes)


def with_usual_units(facts: Sequence[Fact], rules: MergeRules) -> tuple[Fact, ...]:
    """The facts; of one measurement in two units, the statement with the unit that the UK uses is shown."""
    return tuple([_with_usual_unit(fact, rules) if len(fact.members) > 1 else fact for fact in facts])


def _with_usual_unit(fact: Fact, rules: MergeRules) -> Fact:
    first, *others = fact.members
    if fact.resource_type != "Observation" or fact.conflicts or fact.withdrawn or _has_usual_unit(first, rules):
        return fact
    lead = next((each for each in others if _has_usual_unit(each, rules)), None)
    if lead is None or lead.content.get("status") != first.content.get("status"):
        return fact
    return msgspec.structs.replace(fact, members=(lead, *(each for each in fact.members if each is not lead)))


def _has_usual_unit(statement: Statement, rules: MergeRules) -> bool:
    found = first_object(statement.content.get("valueQuantity"))
    unit = {each for each in (text(found.get("code")).casefold(), worded(found.get("unit"))) if each}
    name = code_by_name(statement.content)
    own = {*codes(statement.content.get("code"), rules.system_aliases), *([name] if name else [])}
    return rules.units.are_usual(unit, own)


def _worth_comparing(bucket: Bucket) -> bool:
    return has_several_sources(bucket) or any(each.negative for each in bucket)


def effective_start(content: Mapping[str, Any]) -> ClinicalSpan | None:
    """The time of an Observation or DiagnosticReport, or the beginning of its period; None if it states none."""
    stated = first_present(content, "effectiveDateTime", "effectiveInstant")
    return span(stated) or span(first_object(content.get("effectivePeriod")).get("start"))


def _specimen_certainty(a: Specimen, b: Specimen, when: Certainty) -> Certainty | None:
    if a.reference and a.reference == b.reference:
        return when
    shared = [(a.numbers[system], b.numbers[system]) for system in a.numbers.keys() & b.numbers.keys() if system]
    if exclude(a.types, b.types) or (shared and all(mine != theirs for mine, theirs in shared)):
        return None
    return when if shared else Certainty.LIKELY

"""Observation: one line for one measurement. Rule `same-observation`.

Code, time, value with unit, and components have to be the same; body site, method and specimen must not differ where
both are said. A day without a time meets a time on it, less surely. What has no value is compared with nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from onestory.record.domain.merge.clusters import Clusters
from onestory.record.domain.merge.contradiction import conflict, opposed
from onestory.record.domain.merge.fact import Certainty, Conflict
from onestory.record.domain.merge.likeness import Bucket, buckets, offered, several_sources
from onestory.record.domain.merge.measured import Finding, finding
from onestory.record.domain.merge.reading import Reading, one_of
from onestory.record.domain.merge.rules import Rules
from onestory.record.domain.merge.shape import Code, codes, exclude, first, objects, reference_id, text
from onestory.record.domain.merge.when import Span, span

RULE = "same-observation"
_NOT_DONE = "One says that this was observed, another that it was not."
_VALUE = "The values differ."
_NOWHERE: frozenset[Code] = frozenset()


class Specimen(NamedTuple):
    """What was looked at; `numbers` are its identifiers by system."""

    reference: str
    numbers: Mapping[str, str]
    types: frozenset[Code]


class Observed(NamedTuple):
    """An observation as the rule compares it. `until` is the end of a period."""

    when: Span | None
    until: Span | None
    finding: Finding
    site: frozenset[Code]
    method: frozenset[Code]
    specimen: Specimen | None


class Observations:
    """The observations of one person, with the specimens that they may refer to."""

    def __init__(self, readings: Sequence[Reading], specimens: Sequence[Reading], rules: Rules) -> None:
        self._readings = [each for each in readings if each.comparable]
        self._specimens = {each.said.shared_id: each.content for each in specimens}
        self._rules = rules
        self._observed: dict[int, Observed] = {}
        of_code = buckets(self._readings, lambda each: each.codes).values()
        compared = {each.place: each for bucket in of_code if _worth_comparing(bucket) for each in bucket}
        self._buckets = list(buckets([compared[place] for place in sorted(compared)], _keys).values())

    def join(self, clusters: Clusters) -> None:
        for one, other in offered(self._buckets, clusters):
            if certainty := self._same(one, other):
                clusters.join(one.place, other.place, RULE, certainty)

    def conflicts(self, clusters: Clusters) -> Iterator[Conflict]:
        for bucket in self._buckets:
            yield from opposed(_NOT_DONE, bucket, lambda one, other: self._when(one, other) is not None)
        for group in clusters.groups(self._readings):
            # What this rule joined has one value.
            if all(join.rule == RULE for join in clusters.joins[clusters.root(group[0].place)]):
                continue
            values = self._by_value(group)
            if len(values) > 1:
                yield conflict("value", _VALUE, *values)

    def _same(self, one: Reading, other: Reading) -> Certainty | None:
        when = self._when(one, other)
        if when is None:
            return None
        a, b = self._read(one), self._read(other)
        if exclude(a.site, b.site) or exclude(a.method, b.method) or not a.finding.is_same(b.finding):
            return None
        if a.site != b.site or (a.specimen is None) is not (b.specimen is None):
            when = Certainty.LIKELY
        if a.specimen and b.specimen:
            return _one_specimen(a.specimen, b.specimen, when)
        return when

    def _when(self, one: Reading, other: Reading) -> Certainty | None:
        """How surely two were at one time."""
        a, b = self._read(one), self._read(other)
        if a.when is None or b.when is None or (a.until is None) is not (b.until is None):
            return None
        if a.until and b.until and not a.until.overlaps(b.until):
            return None
        if not a.when.overlaps(b.when):
            return None
        return Certainty.EXACT if a.when.moment and b.when.moment else Certainty.LIKELY

    def _by_value(self, group: Bucket) -> list[Bucket]:
        kinds: list[Bucket] = []
        for reading in group:
            found = self._read(reading).finding
            if not found:
                continue
            alike = (kind for kind in kinds if self._read(kind[0]).finding.is_same(found))
            kind = next(alike, None)
            if kind is None:
                kinds.append([reading])
            else:
                kind.append(reading)
        return kinds

    def _read(self, reading: Reading) -> Observed:
        if reading.place not in self._observed:
            self._observed[reading.place] = self._look(reading.content)
        return self._observed[reading.place]

    def _look(self, content: Mapping[str, Any]) -> Observed:
        same = self._rules.same_system
        return Observed(
            _when(content),
            span(first(content["effectivePeriod"]).get("end")) if "effectivePeriod" in content else None,
            finding(content, self._rules),
            frozenset(codes(content["bodySite"], same)) if "bodySite" in content else _NOWHERE,
            frozenset(codes(content["method"], same)) if "method" in content else _NOWHERE,
            self._specimen(content["specimen"]) if "specimen" in content else None,
        )

    def _specimen(self, reference: object) -> Specimen:
        target = reference_id(reference)
        found = self._specimens.get(target, {})
        stated = [*objects(first(reference).get("identifier")), *objects(found.get("identifier"))]
        stated += objects(found.get("accessionIdentifier"))
        numbers = {text(each.get("system")): text(each.get("value")) for each in stated}
        return Specimen(target, numbers, frozenset(codes(found.get("type"), self._rules.same_system)))


def _worth_comparing(bucket: Bucket) -> bool:
    return several_sources(bucket) or any(each.negative for each in bucket)


def _when(content: Mapping[str, Any]) -> Span | None:
    stated = one_of(content, "effectiveDateTime", "effectiveInstant")
    return span(stated) or span(first(content.get("effectivePeriod")).get("start"))


def _keys(reading: Reading) -> Iterator[Hashable]:
    when = _when(reading.content)
    if when is not None and when.day is not None:
        for code in reading.codes:
            yield when.day, code


def _one_specimen(a: Specimen, b: Specimen, when: Certainty) -> Certainty | None:
    if a.reference and a.reference == b.reference:
        return when
    shared = [(a.numbers[system], b.numbers[system]) for system in a.numbers.keys() & b.numbers.keys() if system]
    if exclude(a.types, b.types) or (shared and all(mine != theirs for mine, theirs in shared)):
        return None
    return when if shared else Certainty.LIKELY

"""Condition: one line for one illness, not for all illnesses of one name.

Rules `same-condition`, and `same-condition-undated` where a day of onset is missing.
Onsets are near when they are at most `NEAR` days apart. An episode counts as long as its end is stated: one without an
end is not taken to last, or a second fracture years later would be the first. A date known to the month or the year
meets what overlaps it, and no date meets what is not over; but where that could be either of two, it is neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from onestory.record.merge.conflicts import opposed, two_sided
from onestory.record.merge.dates import ClinicalSpan, span
from onestory.record.merge.model import Certainty, FactConflict
from onestory.record.merge.pairs import Bucket, Clusters, buckets, neighbours, offered
from onestory.record.merge.reading import Reading, one_of
from onestory.record.merge.rules import Rules
from onestory.record.merge.values import Code, codes, first, objects, text, worded

# Where in the body: by code, and by the words for a side. Left and right are never one.

_WORD = re.compile(r"[a-z]+")


class Site(NamedTuple):
    """Body sites by code, else by their words, and the sides that the wording names. What differs is another place."""

    codes: frozenset[Code]
    words: frozenset[str]
    sides: frozenset[str]

    def is_same(self, other: Site) -> bool:
        if self.sides != other.sides or self.words != other.words:
            return False
        return not self.codes.isdisjoint(other.codes) or self.codes == other.codes


def site(content: Mapping[str, Any], rules: Rules) -> Site:
    """Where a resource says that it is; everything empty where it does not say."""
    sites = content.get("bodySite")
    found = frozenset(codes(sites, rules.same_system))
    words = frozenset(filter(None, (worded(each.get("text")) for each in objects(sites))))
    return Site(found, frozenset() if found else words, frozenset(_sides(content, rules)))


def _sides(content: Mapping[str, Any], rules: Rules) -> Iterator[str]:
    for element in ("code", "bodySite"):
        for concept in objects(content.get(element)):
            displays = {text(each.get("display")) for each in objects(concept.get("coding"))}
            # A side that the code itself names is in the comparison of the codes.
            if not any(_named(display, rules) for display in displays):
                yield from _named(text(concept.get("text")), rules)


def _named(words: str, rules: Rules) -> set[str]:
    return {rules.sides[word] for word in _WORD.findall(words[:2000].casefold()) if word in rules.sides}


NEAR = 14
"""Days between two onsets of one illness. Infections come back after more."""

RULE = "same-condition"
UNDATED = "same-condition-undated"
_REFUTED = "One says that the person has this, another that the person does not."
_STATUS = "One says that this is there, another that it is over."


@dataclass(frozen=True, slots=True)
class Episode:
    """When and where an illness was. `dated`: its onset is known to the day."""

    onset: ClinicalSpan | None
    end: ClinicalSpan | None
    over: bool
    site: Site
    dated: bool


class Conditions:
    """The conditions of one person."""

    def __init__(self, readings: Sequence[Reading], rules: Rules) -> None:
        self._readings = [each for each in readings if each.comparable]
        self._buckets = list(buckets(self._readings, lambda each: each.codes).values())
        self._episodes = {reading.place: _episode(reading, rules) for reading in self._readings}

    def join(self, clusters: Clusters) -> None:
        for one, other in offered(self._buckets, clusters):
            if certainty := self._same(one, other):
                clusters.join(one.place, other.place, RULE, certainty)
        unsure = self._could_be_two()
        for one, other in offered(self._buckets, clusters):
            if unsure.isdisjoint((one.place, other.place)) and self._perhaps(one, other):
                clusters.join(one.place, other.place, UNDATED, Certainty.LIKELY)

    def conflicts(self, clusters: Clusters) -> Iterator[FactConflict]:
        def clash(one: Reading, other: Reading) -> bool:
            alike = self._episodes[one.place].site.is_same(self._episodes[other.place].site)
            return clusters.together(one, other) or (alike and not self._told_apart(one, other))

        def disagree(one: Reading, other: Reading) -> bool:
            # On one line, the one that says nothing of an end would hide that there was one.
            alike = clash(one, other) if one.standing == "current" else clusters.together(one, other)
            return alike and (one.source != other.source or clusters.together(one, other))

        for bucket in [*self._buckets, *clusters.groups(self._readings)]:
            yield from opposed(_REFUTED, bucket, clash)
            said = [each for each in bucket if not each.negative]
            over = [each for each in said if self._episodes[each.place].over]
            there = [each for each in said if each.standing == "current" or self._stands(each)]
            yield from two_sided("status", _STATUS, there, over, disagree)

    def _stands(self, reading: Reading) -> bool:
        """Whether nothing is said of its status, nor of an end."""
        return not (reading.standing or self._episodes[reading.place].over)

    def _same(self, one: Reading, other: Reading) -> Certainty | None:
        a, b = self._episodes[one.place], self._episodes[other.place]
        if not (a.dated and b.dated and a.site.is_same(b.site)):
            return None
        if a.onset == b.onset:
            return Certainty.EXACT
        return Certainty.LIKELY if _near(a, b) or _overlap(a, b) else None

    def _perhaps(self, one: Reading, other: Reading) -> bool:
        """Whether two may be one illness as far as a date that is not known to the day can tell."""
        a, b = self._episodes[one.place], self._episodes[other.place]
        if one.negative is not other.negative or not a.site.is_same(b.site) or (a.dated and b.dated):
            return False
        if a.onset and b.onset:
            return a.onset.overlaps(b.onset) or _overlap(a, b)
        return not (a.over or b.over)

    def _could_be_two(self) -> set[int]:
        """The places of statements without a day that could be of either of two illnesses."""
        near = neighbours(self._buckets)
        # What is alike in all that is compared meets the same: thousands of undated entries are asked once.
        met: dict[tuple[int, bool, Episode], bool] = {}
        unsure = set()
        for one in self._readings:
            episode, group = self._episodes[one.place], near.get(one.place)
            if group and not episode.dated:
                key = (id(group), one.negative, episode)
                if key not in met:
                    met[key] = self._meets_two(one, group)
                if met[key]:
                    unsure.add(one.place)
        return unsure

    def _meets_two(self, one: Reading, group: Bucket) -> bool:
        met = [each for each in group if self._episodes[each.place].onset and self._perhaps(one, each)]
        by_onset = sorted(met, key=lambda each: (self._episodes[each.place].onset, each.place))
        return bool(met) and self._told_apart(by_onset[0], by_onset[-1])

    def _told_apart(self, one: Reading, other: Reading) -> bool:
        """Whether dates show that these are two illnesses."""
        a, b = self._episodes[one.place], self._episodes[other.place]
        if not (a.onset and b.onset):
            return False
        return not (_near(a, b) or a.onset.overlaps(b.onset) or _overlap(a, b))


def _episode(reading: Reading, rules: Rules) -> Episode:
    content = reading.content
    onset = span(content.get("onsetDateTime")) or span(first(content.get("onsetPeriod")).get("start"))
    end = span(content.get("abatementDateTime")) or span(first(content.get("abatementPeriod")).get("end"))
    abated = one_of(
        content, "abatementDateTime", "abatementPeriod", "abatementAge", "abatementRange", "abatementString"
    )
    over = reading.standing == "completed" or abated is not None
    return Episode(onset, end, over, site(content, rules), onset is not None and onset.day is not None)


def _near(a: Episode, b: Episode) -> bool:
    if a.onset is None or b.onset is None or a.onset.day is None or b.onset.day is None:
        return False
    return abs(a.onset.day - b.onset.day) <= NEAR


def _overlap(a: Episode, b: Episode) -> bool:
    """Whether the one that began first is said to have ended only after the other began."""
    if a.onset is None or b.onset is None:
        return False
    earlier, later = (a, b) if a.onset.since <= b.onset.since else (b, a)
    return earlier.end is not None and later.onset is not None and earlier.end.before > later.onset.since


# What one source took back as entered in error, and another still says: it may have been copied from there.

_SAYS = "One source took this back as entered in error, another still says it."
_BY_CODE = ("AllergyIntolerance", "Condition")


def withdrawal_conflicts(readings: Sequence[Reading], named: Sequence[Bucket]) -> Iterator[FactConflict]:
    """By identifier for every type, by code where a wrong entry is most likely to have been believed."""
    of_code = [each for each in readings if each.said.resource_type in _BY_CODE]
    for group in [*named, *buckets(of_code, lambda each: each.codes).values()]:
        taken_back = [each for each in group if each.withdrawn]
        if taken_back:
            standing = [each for each in group if not (each.withdrawn or each.negative)]
            yield from two_sided("withdrawn", _SAYS, standing, taken_back, _may_be_one)


def _may_be_one(one: Reading, other: Reading) -> bool:
    if one.source == other.source:
        return False
    mine, theirs = span(one.content.get("onsetDateTime")), span(other.content.get("onsetDateTime"))
    if mine is None or theirs is None or mine.day is None or theirs.day is None:
        return True
    return abs(mine.day - theirs.day) <= NEAR

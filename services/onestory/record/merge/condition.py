"""Merges Conditions: one fact for one episode of illness, not for all episodes with the same name.

Rules, for statements with a code in common: `same-lasting-condition` for a disease that does not go away (see
`diseases.py`), `same-condition`, and `same-condition-undated` where an onset is not known to the day. Onsets are near
when they are at most `NEAR_DAYS` apart. An episode lasts until its stated end. Without a stated end it is not assumed
to last, or a second fracture years later would be joined with the first. An onset known to the month or year matches
the episodes that overlap it; a missing onset matches the episodes that are not over. If it could match two different
episodes, it matches neither. Rule `same-condition-words`: the same, for the whole words of a statement without a code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from onestory.record.merge.conflicts import negation_conflict, two_sided_conflict
from onestory.record.merge.diseases import Answers, Disease, disease_named, disease_of, opposite_conflicts
from onestory.record.merge.model import Certainty, FactConflict
from onestory.record.merge.pairs import SMALL, Bucket, Clusters, buckets, by_ordinal, candidates, joinable_pairs
from onestory.record.merge.qualifiers import RULED_OUT, texts_of
from onestory.record.merge.reading import Reading, first_present
from onestory.record.merge.rules import MergeRules
from onestory.record.merge.values import ClinicalSpan, bare_codes, codes, microseconds, span, worded
from onestory.record.text_cache import MAX_CACHED_LENGTH
from onestory.shared.fhir.json import Code, first_object, objects, text

RULE = "same-condition"
UNDATED_RULE = "same-condition-undated"
LASTING_RULE = "same-lasting-condition"
WORDS_RULE = "same-condition-words"


NEAR_DAYS = 14
"""Days between two onsets of one episode. Infections come back after more."""
_REFUTED = "One says that the person has this, another that the person does not."
_STATUS = "One says that this is there, another that it is over."


_WITHDRAWN = "One source marked this as entered in error, another still states it."
_BY_CODE = ("AllergyIntolerance", "Condition")

_DAY = 86_400_000_000
_REMISSION = "One says that this is active, another that it is in remission."
# A letter is no side beside a digit, a stroke or another letter: L4/5, R/O.
_WORD = re.compile(r"(?<![\w/])(?:l|lt|r|rt)(?![\w/])|[a-z]{3,}")


class Site(NamedTuple):
    """Body sites by code, else by their words, and the sides named in words. Left and right are never the same."""

    codes: frozenset[Code]
    words: frozenset[str]
    sides: frozenset[str]

    def is_same(self, other: Site) -> bool:
        """Whether both are the same place: same sides, same words, and a code in common or no codes at all."""
        if self.sides != other.sides or self.words != other.words:
            return False
        return not self.codes.isdisjoint(other.codes) or self.codes == other.codes


def site_of(content: Mapping[str, Any], rules: MergeRules) -> Site:
    """The body site that a resource states; all parts are empty if it states none."""
    sides = frozenset().union(*[_sides(content[each], rules) for each in ("code", "bodySite") if each in content])
    if "bodySite" not in content:
        return Site(frozenset(), frozenset(), sides)
    sites = content["bodySite"]
    found = frozenset(codes(sites, rules.system_aliases))
    words = frozenset(filter(None, (worded(each.get("text")) for each in objects(sites))))
    return Site(found, frozenset() if found else words, sides)


def _sides(concepts: object, rules: MergeRules) -> frozenset[str]:
    found: set[str] = set()
    for concept in objects(concepts):
        named = _sides_named(text(concept.get("text")), rules)
        # A side that the code itself names is compared with the codes.
        if named and not any(_sides_named(text(each.get("display")), rules) for each in objects(concept.get("coding"))):
            found |= named
    return frozenset(found)


def _sides_named(words: str, rules: MergeRules) -> set[str]:
    return (
        {rules.sides[word] for word in _WORD.findall(words[:2000].casefold()) if word in rules.sides}
        if words
        else set()
    )


@dataclass(frozen=True, slots=True)
class Episode:
    """When and where an illness was. `known_to_day`: its onset is known to the day."""

    onset: ClinicalSpan | None
    end: ClinicalSpan | None
    ended: bool
    site: Site
    known_to_day: bool


class Conditions:
    """Joins the Conditions of one person, and finds their conflicts."""

    def __init__(self, readings: Sequence[Reading], rules: MergeRules) -> None:
        self._readings = [each for each in readings if each.comparable]
        of_code = buckets(self._readings, lambda each: each.codes).values()
        self._buckets = [*of_code, *_alike_in_words(self._readings)]
        self._episodes = {reading.ordinal: _episode(reading, rules) for reading in self._readings}
        self._diseases = {reading.ordinal: _disease(reading) for reading in self._readings}
        self._answers = Answers(self._readings)

    def join(self, clusters: Clusters) -> None:
        """Joins conditions of one episode: first those with onset days, then those without, then lasting diseases."""
        episodes = self._episodes
        of_day = [[each for each in bucket if episodes[each.ordinal].known_to_day] for bucket in self._buckets]
        for one, other in joinable_pairs(self._near_in_time(of_day, NEAR_DAYS + 1), clusters):
            if certainty := self._join_certainty(one, other):
                _join(clusters, one, other, RULE, certainty)
        ambiguous = self._ambiguous()
        clear = [[each for each in bucket if each.ordinal not in ambiguous] for bucket in self._buckets]
        for one, other in joinable_pairs(self._near_in_time(clear, 0), clusters):
            if self._may_be_same(one, other):
                _join(clusters, one, other, UNDATED_RULE, Certainty.LIKELY)
        lasting = [[each for each in bucket if self._is_lasting(each)] for bucket in self._buckets]
        for one, other in joinable_pairs(lasting, clusters):
            if self._same_site(one, other):
                _join(clusters, one, other, LASTING_RULE, Certainty.LIKELY)

    def _near_in_time(self, groups: Sequence[Bucket], days: int) -> Iterator[Bucket]:
        """Yields the parts of each group within which two statements can be one episode.

        A statement without an onset can be any, so a group with one stays whole. Otherwise a part ends where no earlier
        onset or end is within so many days of the next onset.
        """
        for group in groups:
            if len(group) <= SMALL or any(self._episodes[each.ordinal].onset is None for each in group):
                yield group
                continue
            spans = sorted((*self._near_span(each, days), each.ordinal, each) for each in group)
            part: Bucket = []
            latest = spans[0][0]
            for since, before, _, each in spans:
                if part and since >= latest:
                    yield sorted(part, key=by_ordinal)
                    part = []
                part.append(each)
                latest = max(latest, before)
            yield sorted(part, key=by_ordinal)

    def _near_span(self, reading: Reading, days: int) -> tuple[int, int]:
        """The time within which the onset of the same episode can be, when it begins first. Needs an onset."""
        episode = self._episodes[reading.ordinal]
        if episode.onset is None:
            return 0, 0
        ends = max(each.before for each in (episode.onset, episode.end) if each)
        return episode.onset.since, ends + days * _DAY

    def conflicts(self, clusters: Clusters) -> Iterator[FactConflict]:
        """Yields conflicts of a condition with its denial, and of a current condition with one that is over."""

        def contradict(one: Reading, other: Reading) -> bool:
            alike = self._episodes[one.ordinal].site.is_same(self._episodes[other.ordinal].site)
            return clusters.are_joined(one, other) or (alike and not self._dates_differ(one, other))

        def status_contradicts(one: Reading, other: Reading) -> bool:
            # In one fact, the statement without an end would hide the stated end.
            alike = contradict(one, other) if one.phase == "current" else clusters.are_joined(one, other)
            return alike and (one.source != other.source or clusters.are_joined(one, other))

        for bucket in [*self._buckets, *clusters.joined_groups(self._readings)]:
            # A suspicion, a past event or an illness of the family contradicts no exclusion.
            plain = [reading for reading in bucket if reading.qualifier in ("", RULED_OUT)]
            yield from negation_conflict(_REFUTED, plain, contradict)
            positive = [reading for reading in plain if not (reading.negative or self._is_sudden(reading))]
            ended = [reading for reading in positive if self._episodes[reading.ordinal].ended]
            current = [reading for reading in positive if self._is_current(reading)]
            remission = all("remission" in bare_codes(each.content.get("clinicalStatus")) for each in ended)
            explanation = _REMISSION if ended and remission else _STATUS
            yield from two_sided_conflict("status", explanation, current, ended, status_contradicts)
        present = [each for each in self._readings if not (each.qualifier or each.negative) and self._is_current(each)]
        yield from opposite_conflicts(present)
        yield from self._answers.conflicts(self._is_meant)

    def related_pairs(self) -> list[tuple[Reading, Reading]]:
        """Pairs of a qualified condition and another one of the same topic, to be shown next to each other."""
        return self._answers.related_pairs()

    def _is_current(self, reading: Reading) -> bool:
        return reading.phase == "current" or self._assumed_current(reading)

    def _is_lasting(self, reading: Reading) -> bool:
        """Whether this is a lasting disease that is stated as present."""
        disease, episode = self._diseases[reading.ordinal], self._episodes[reading.ordinal]
        return disease is not None and disease.lasting and not (episode.ended or reading.negative or reading.qualifier)

    def _is_sudden(self, reading: Reading) -> bool:
        """Whether this is an event of a moment, which some sources close and others keep as significant."""
        disease = self._diseases[reading.ordinal]
        return disease is not None and disease.sudden

    def _same_site(self, one: Reading, other: Reading) -> bool:
        return self._episodes[one.ordinal].site.is_same(self._episodes[other.ordinal].site)

    def _is_meant(self, one: Reading, other: Reading) -> bool:
        """Whether the first is present and began before the second was stated, and was not over by then."""
        onset, stated = self._episodes[one.ordinal].onset, self._episodes[other.ordinal].onset
        stated_at = stated.before if stated else microseconds(other.statement.recorded_at)
        if onset is None or not self._is_current(one):
            return self._is_current(one)
        disease = self._diseases[one.ordinal]
        lasts = disease.days * _DAY if disease and disease.days else stated_at
        return onset.since < stated_at <= onset.since + lasts

    def _assumed_current(self, reading: Reading) -> bool:
        """Whether the statement gives neither a status nor an end, so that it counts as current."""
        return not (reading.phase or self._episodes[reading.ordinal].ended)

    def _join_certainty(self, one: Reading, other: Reading) -> Certainty | None:
        a, b = self._episodes[one.ordinal], self._episodes[other.ordinal]
        if not (a.known_to_day and b.known_to_day and a.site.is_same(b.site)):
            return None
        if a.onset == b.onset:
            return Certainty.EXACT
        return Certainty.LIKELY if _near(a, b) or _overlap(a, b) else None

    def _may_be_same(self, one: Reading, other: Reading) -> bool:
        """Whether two may be one episode, when at least one onset is not known to the day."""
        a, b = self._episodes[one.ordinal], self._episodes[other.ordinal]
        if one.negative is not other.negative or not a.site.is_same(b.site) or (a.known_to_day and b.known_to_day):
            return False
        if a.onset and b.onset:
            return a.onset.overlaps(b.onset) or _overlap(a, b)
        return not (a.ended or b.ended)

    def _ambiguous(self) -> set[int]:
        """The ordinals of statements without an onset day that could belong to two different episodes."""
        group_of = candidates(self._buckets)
        dated = [[each for each in bucket if self._episodes[each.ordinal].onset] for bucket in self._buckets]
        near = candidates(self._near_in_time(dated, 0))
        # Equal episodes in one bucket have equal results, so thousands of undated entries are compared only once.
        results: dict[tuple[int, bool, Episode], bool] = {}
        ambiguous = set()
        for one in self._readings:
            episode = self._episodes[one.ordinal]
            group = (near if episode.onset else group_of).get(one.ordinal)
            if group and not episode.known_to_day:
                key = (id(group), one.negative, episode)
                if key not in results:
                    results[key] = self._matches_two(one, group)
                if results[key]:
                    ambiguous.add(one.ordinal)
        return ambiguous

    def _matches_two(self, one: Reading, group: Bucket) -> bool:
        """Whether a statement could be the same as two others whose dates differ."""
        matches = [other for other in group if self._episodes[other.ordinal].onset and self._may_be_same(one, other)]
        by_onset = sorted(matches, key=lambda reading: (self._episodes[reading.ordinal].onset, reading.ordinal))
        return bool(matches) and self._dates_differ(by_onset[0], by_onset[-1])

    def _dates_differ(self, one: Reading, other: Reading) -> bool:
        """Whether the dates show two different episodes."""
        a, b = self._episodes[one.ordinal], self._episodes[other.ordinal]
        if not (a.onset and b.onset):
            return False
        return not (_near(a, b) or a.onset.overlaps(b.onset) or _overlap(a, b))


def _join(clusters: Clusters, one: Reading, other: Reading, rule: str, certainty: Certainty) -> None:
    if one.codes.isdisjoint(other.codes):
        rule, certainty = WORDS_RULE, Certainty.LIKELY
    clusters.join(one.ordinal, other.ordinal, rule, certainty)


def _alike_in_words(readings: Sequence[Reading]) -> Iterator[Bucket]:
    """Yields the groups of statements with the same whole words, of which one at least has no code."""
    uncoded = {word for each in readings if not each.codes for word in _whole_words(each)}
    if not uncoded:
        return
    for bucket in buckets(readings, lambda each: uncoded.intersection(_whole_words(each))).values():
        if any(not each.codes for each in bucket):
            yield bucket


def _whole_words(reading: Reading) -> set[str]:
    named = {worded(said).strip(" .:;-") for said in texts_of(reading.content)}
    # A longer text is a note, and no name.
    return {words for words in named if 1 < len(words) <= MAX_CACHED_LENGTH}


def _disease(reading: Reading) -> Disease | None:
    if reading.codes:
        return disease_of(reading.codes)
    return next(filter(None, map(disease_named, texts_of(reading.content))), None)


def _episode(reading: Reading, rules: MergeRules) -> Episode:
    content = reading.content
    onset = span(content.get("onsetDateTime")) or span(first_object(content.get("onsetPeriod")).get("start"))
    end = span(content.get("abatementDateTime")) or span(first_object(content.get("abatementPeriod")).get("end"))
    abated = first_present(
        content, "abatementDateTime", "abatementPeriod", "abatementAge", "abatementRange", "abatementString"
    )
    ended = reading.phase == "completed" or abated is not None
    return Episode(onset, end, ended, site_of(content, rules), onset is not None and onset.day is not None)


def _near(a: Episode, b: Episode) -> bool:
    if a.onset is None or b.onset is None or a.onset.day is None or b.onset.day is None:
        return False
    return abs(a.onset.day - b.onset.day) <= NEAR_DAYS


def _overlap(a: Episode, b: Episode) -> bool:
    """Whether the earlier episode has a stated end that is after the onset of the later one."""
    if a.onset is None or b.onset is None:
        return False
    earlier, later = (a, b) if a.onset.since <= b.onset.since else (b, a)
    return earlier.end is not None and later.onset is not None and earlier.end.before > later.onset.since


def withdrawal_conflicts(readings: Sequence[Reading], named: Sequence[Bucket]) -> Iterator[FactConflict]:
    """Yields conflicts where one source marked a statement as entered in error and another still asserts it.

    The other source may have copied it. Statements match by identifier, for every type, and by code for allergies and
    conditions, where a copied error does most harm.
    """
    of_code = [reading for reading in readings if reading.statement.resource_type in _BY_CODE]
    for group in [*named, *buckets(of_code, lambda reading: reading.codes).values()]:
        withdrawn = [reading for reading in group if reading.withdrawn]
        if withdrawn:
            asserted = [reading for reading in group if not (reading.withdrawn or reading.negative)]
            yield from two_sided_conflict("withdrawn", _WITHDRAWN, asserted, withdrawn, _may_be_copy)


def _may_be_copy(one: Reading, other: Reading) -> bool:
    if one.source == other.source:
        return False
    mine, theirs = span(one.content.get("onsetDateTime")), span(other.content.get("onsetDateTime"))
    if mine is None or theirs is None or mine.day is None or theirs.day is None:
        return True
    return abs(mine.day - theirs.day) <= NEAR_DAYS

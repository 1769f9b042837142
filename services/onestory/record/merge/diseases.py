"""Knows how diseases run, which are opposites of each other, and finds the conflicts that follow.

The diseases are data in `schemas/merge/chronic.yaml`, the opposites in `schemas/merge/opposites.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.conflicts import conflict
from onestory.record.merge.model import FactConflict
from onestory.record.merge.qualifiers import HISTORY, RESOLVED, RULED_OUT, SUSPECTED, qualification, texts_of, topics_of
from onestory.record.merge.reading import Reading
from onestory.record.text_cache import MAX_READ_LENGTH, cache_texts
from onestory.shared.errors import Misconfigured
from onestory.shared.fhir.json import Code

_SNOMED = "http://snomed.info/sct"
_AGAINST = {
    RESOLVED: ("status", "One says that this is there, another that it has resolved."),
    RULED_OUT: ("negation", "One says that the person has this, another that it was ruled out."),
}
_WORD = re.compile(r"[\w#&'-]+")
_STAGE = re.compile(r"(?:stage|grade|[a-z]) ?g?([1-5][ab]?)\b")
_LISTED = re.compile(r"[,;/&+:.\n]|\band\b")
_NEAR = (SUSPECTED, RULED_OUT, RESOLVED, HISTORY)


@dataclass(frozen=True, slots=True)
class Disease:
    """A disease and how it runs.

    `days`: it is over so many days after it began; None: it lasts. `sudden`: it is the event of a moment.
    """

    name: str
    days: int | None
    sudden: bool

    @property
    def lasting(self) -> bool:
        """Whether it does not go away."""
        return self.days is None


class Opposites(NamedTuple):
    """Two diagnoses that cannot both be true: codes and words of each."""

    explanation: str
    sides: tuple[tuple[frozenset[str], re.Pattern[str] | None], ...]


@dataclass(frozen=True, slots=True)
class DiseaseRules:
    """Diseases by SNOMED CT code and by topic of their words, the stages of codes from 1 upwards, and the opposites."""

    by_code: Mapping[str, Disease]
    by_topic: Mapping[frozenset[str], Disease]
    fillers: frozenset[str]
    stages: Mapping[str, int]
    opposites: Sequence[Opposites]
    list_heading: re.Pattern[str]
    no_diagnosis: frozenset[str]
    stage_words: Mapping[str, Mapping[str, int]]


@clinical_table
def disease_rules() -> DiseaseRules:
    """The rules, read once. Raises `Misconfigured` when a file lacks something."""
    try:
        table = read_clinical_data("merge/chronic")
        by_code: dict[str, Disease] = {}
        by_topic: dict[frozenset[str], Disease] = {}
        fillers = frozenset(table["fillers"])
        stages: dict[str, int] = {}
        for each in (*table["lasting"], *table["events"]):
            disease = Disease(each["name"], each.get("days"), each.get("sudden", False))
            by_code.update(dict.fromkeys([*each["codes"], *each.get("stages", ())], disease))
            stages.update({code: place for place, code in enumerate(each.get("stages", ()), start=1)})
            by_topic.update({_words(name) - fillers: disease for name in (each["name"], *each.get("words", ()))})
        headings = "|".join(map(re.escape, sorted(table["list-headings"], key=len, reverse=True)))
        return DiseaseRules(
            by_code,
            by_topic,
            fillers,
            stages,
            [_opposites(each) for each in read_clinical_data("merge/opposites")],
            re.compile(rf"^\W*(?:{headings})\b(?: of\b)?"),
            frozenset(table["no-diagnosis"]),
            {each["name"]: each["stage-words"] for each in table["lasting"] if "stage-words" in each},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Misconfigured(f"schemas/merge/chronic.yaml or opposites.yaml cannot be used: {error!r}.") from error


def _opposites(each: Mapping[str, Any]) -> Opposites:
    return Opposites(each["explanation"], (_side(each["one"]), _side(each["other"])))


def _side(side: Mapping[str, Any]) -> tuple[frozenset[str], re.Pattern[str] | None]:
    words = "|".join(re.escape(word) for word in side["words"])
    return frozenset(side["codes"]), re.compile(rf"(?<!\w)(?:{words})(?!\w)") if words else None


def disease_of(codes: Iterable[Code]) -> Disease | None:
    """The disease that a code of a Condition names; None if the files do not list it."""
    by_code = disease_rules().by_code
    return next((by_code[code] for system, code in codes if system == _SNOMED and code in by_code), None)


@cache_texts(4096, read=MAX_READ_LENGTH)
def disease_named(name: str) -> Disease | None:
    """The disease that a whole text names; None if it says more, or names none that the files list."""
    return disease_rules().by_topic.get(_words(qualification(name).rest) - disease_rules().fillers)


@cache_texts(4096, read=MAX_READ_LENGTH)
def lists_lasting_disease(words: str) -> bool:
    """Whether a text is a list of past and present diseases, such as "PMH: T2DM, HTN", and one of them lasts."""
    folded = words.casefold()
    heading = disease_rules().list_heading.match(folded)
    listed = _LISTED.split(folded[heading.end() :]) if heading else ()
    return any((disease := disease_named(each)) is not None and disease.lasting for each in listed)


def names_no_diagnosis(words: str) -> bool:
    """Whether a whole text names no diagnosis: "None", "See notes"."""
    return " ".join(words.casefold().split()).strip(" .") in disease_rules().no_diagnosis


def _words(name: str) -> frozenset[str]:
    return frozenset(_WORD.findall(name.casefold()))


def stage_of(codes: Iterable[Code]) -> int:
    """The stage of the disease that a code names, from 1 upwards; 0 if it names none."""
    stages = disease_rules().stages
    return max((stages.get(code, 0) for system, code in codes if system == _SNOMED), default=0)


@cache_texts(4096, read=MAX_READ_LENGTH)
def stage_named(words: str) -> int:
    """The stage of the disease that a whole text names in words, from 1 upwards; 0 if it names none."""
    disease = disease_named(words)
    known = disease_rules().stage_words.get(disease.name) if disease else None
    found = _STAGE.findall(words.casefold()) if known else []
    return known.get(found[-1], 0) if known and found else 0


def opposite_conflicts(readings: Sequence[Reading]) -> Iterator[FactConflict]:
    """Yields conflicts between present conditions that cannot both be true."""
    found: dict[tuple[int, int], list[Reading]] = {}
    for reading in readings:
        for place in _sides_of(reading):
            found.setdefault(place, []).append(reading)
    for index, opposites in enumerate(disease_rules().opposites):
        one, other = (found.get((index, side), []) for side in (0, 1))
        both = {each.ordinal for each in one} & {each.ordinal for each in other}
        sides = [[each for each in side if each.ordinal not in both] for side in (one, other)]
        if all(sides):
            yield conflict("opposite", opposites.explanation, *sides)


def _sides_of(reading: Reading) -> frozenset[tuple[int, int]]:
    codes = frozenset(code for system, code in reading.codes if system == _SNOMED)
    return _sides_named(codes, " | ".join(texts_of(reading.content)).casefold())


@cache_texts(4096, read=MAX_READ_LENGTH)
def _sides_named(codes: frozenset[str], words: str) -> frozenset[tuple[int, int]]:
    return frozenset(
        (index, place)
        for index, opposites in enumerate(disease_rules().opposites)
        for place, (side_codes, pattern) in enumerate(opposites.sides)
        if not side_codes.isdisjoint(codes) or (pattern is not None and pattern.search(words))
    )


class Answers:
    """Pairs of a qualified condition and another one of the same topic, such as a suspicion and its exclusion.

    They are shown next to each other, and never joined.
    """

    def __init__(self, readings: Iterable[Reading]) -> None:
        readings = list(readings)
        self._pairs: list[tuple[Reading, Reading]] = []
        qualified = [each for each in readings if each.qualifier in _NEAR]
        if not qualified:
            return
        by_topic: dict[str, list[Reading]] = {}
        for reading in readings:
            if not reading.qualifier or reading.qualifier == RULED_OUT:
                for topic in topics_of(reading.content):
                    by_topic.setdefault(topic, []).append(reading)
        for one in qualified:
            alike = {other.ordinal: other for topic in topics_of(one.content) for other in by_topic.get(topic, ())}
            others = [other for other in alike.values() if other.qualifier != one.qualifier]
            self._pairs += [(one, other) for _, other in sorted((each.ordinal, each) for each in others)]

    def related_pairs(self) -> list[tuple[Reading, Reading]]:
        """The pairs, the qualified statement first."""
        return self._pairs

    def conflicts(self, is_meant: Callable[[Reading, Reading], bool]) -> Iterator[FactConflict]:
        """Yields conflicts of a present condition with a statement that it has resolved or was ruled out.

        `is_meant`: whether the first is present, and began before the second was stated. Statements with one code, or
        with the same words, are compared by `Conditions`.
        """
        for one, other in self._pairs:
            if other.qualifier or one.qualifier not in _AGAINST or not is_meant(other, one):
                continue
            if _same_words(one, other):
                continue
            if one.codes.isdisjoint(other.codes) or one.qualifier == RESOLVED:
                kind, explanation = _AGAINST[one.qualifier]
                yield conflict(kind, explanation, [one], [other])


def _same_words(one: Reading, other: Reading) -> bool:
    """Whether two statements, of which one at least has no code, have the same name."""
    if one.codes and other.codes:
        return False
    names = {" ".join(said.casefold().split()) for said in texts_of(one.content)}
    return any(" ".join(said.casefold().split()) in names for said in texts_of(other.content))

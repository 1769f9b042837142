"""The words that tell of an allergy in any text, and what a text tells by them.

The words and codes are in `schemas/merge/allergy-words.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.allergens import allergens_in, known_allergens, phrase_pattern
from onestory.record.merge.qualifiers import (
    FAMILY_HISTORY,
    RELATIVE,
    RULED_OUT,
    SUSPECTED,
    denies_allergy,
    qualification,
)
from onestory.record.merge.qualifiers import RESOLVED as QUALIFIED_RESOLVED
from onestory.record.text_cache import MAX_READ_LENGTH, cache_texts
from onestory.shared.errors import Misconfigured
from onestory.shared.fhir.json import Code

ACTIVE, QUERIED, RESOLVED, REFUTED, DENIED = "active", "queried", "resolved", "refuted", "denied"
FAMILY = "family"
UNKNOWN = "unknown"
WARNING = "warning"
"""The standings of an allergy. `DENIED`: the source says that there is none, of a category or at all. `FAMILY`: a
relative has it. `UNKNOWN`: the source says that it does not know. `WARNING`: no allergy, but a
reason not to give something."""
_SNOMED = "http://snomed.info/sct"
_OF_RELATIVES = frozenset([FAMILY_HISTORY, RELATIVE])
_BY_QUALIFIER = {RULED_OUT: REFUTED, SUSPECTED: QUERIED, QUALIFIED_RESOLVED: RESOLVED}
_MAX_REACTION_LENGTH = 120
# A quick look that most statements do not pass.
_MENTION = re.compile(
    r"allerg|anaphyla|adverse|hypersens|intoler|sensitiv|due to|caused by|secondary to|nka|nkda|nkfa|degraded"
    r"|\breact|\badr\b|side effect|tolerate|must not|not give|never give"
)

_REASON = re.compile(r"\s*(?:[,;:(\u2013]|\s-+\s|\b(?:as|because|due to|since)\b)")
"""Where the reason begins for which a source does not know."""
_DATE = re.compile(r"\b(?:\d{1,2}/){0,2}(?:19|20)\d\d\b")
_NO_SUCH_ALLERGY = re.compile(
    r"\b(?:no|nil|denies|denied|denies any|never had|does not have)(?: known)? (?:an? )?(?:[\w'-]+ ){1,2}"
    r"allerg(?:y|ies)\b"
)
"""A denial of one allergy, such as "no known latex allergy"."""


@dataclass(frozen=True, slots=True)
class AllergyWords:
    """The content of `schemas/merge/allergy-words.yaml`, which explains each part.

    `denial_codes` are those of `none-known.yaml`, with the categories that they deny.
    """

    codes: frozenset[Code]
    denial_codes: Mapping[Code, frozenset[str]]
    heading_codes: frozenset[Code]
    patterns: Mapping[str, re.Pattern[str]]
    nothing: frozenset[str]
    unknown: frozenset[str]
    unknown_codes: frozenset[Code]
    headings: frozenset[str]
    component_headings: frozenset[str]
    categories: Mapping[str, frozenset[str]]


class Told(NamedTuple):
    """What a text tells: whether of an allergy, with which standing, and whether of a reaction."""

    standing: str
    is_reaction: bool


class AllergyReading(NamedTuple):
    """What a statement tells of an allergy.

    `words`: what it is about, as the source wrote it. `allergens`: names of known allergens. `categories`: FHIR
    categories that it names or denies; empty: any. `is_reaction`: it tells of a reaction, which may be long over.
    `is_aside`: the statement is about something else too, so it stays in the section of its type.
    """

    words: str
    standing: str
    allergens: frozenset[str]
    categories: frozenset[str]
    is_reaction: bool
    is_aside: bool = False

    @property
    def asserts(self) -> bool:
        """Whether it says that the person has the allergy, or may have it."""
        return self.standing in (ACTIVE, QUERIED)


def reading_of(
    words: str, named: str, found_codes: Iterable[Code], standing: str, *, is_reaction: bool, is_aside: bool = False
) -> AllergyReading:
    """The reading of a statement with these words; `named` is the text that may name allergens."""
    known = known_allergens()
    by_code = {known.names_by_code[code] for code in found_codes if code in known.names_by_code}
    # The code names the allergen better than words, which may name what was tolerated instead.
    allergens = frozenset(by_code) or _allergens_named(named)
    folded = named.casefold()
    stated = [values for word, values in allergy_words().categories.items() if word in folded]
    by_words: frozenset[str] = frozenset[str]().union(*stated)
    by_allergen = known.categories_of(allergens)
    # "No drug allergies" covers all drugs; "drug allergy: latex" is about latex.
    categories = (by_words or by_allergen) if standing == DENIED else (by_allergen or by_words)
    return AllergyReading(words, standing, allergens, categories, is_reaction, is_aside)


def _allergens_named(words: str) -> frozenset[str]:
    """The allergens that a text names, without those that were given instead or tolerated."""
    found = allergens_in(words)
    if len(found) > 1 and (then := allergy_words().patterns["then"].search(words.casefold())):
        return allergens_in(words[: then.start()]) or found
    return found


@clinical_table
def allergy_words() -> AllergyWords:
    """The words, read once. Raises `Misconfigured` when the file lacks a part."""
    try:
        raw = read_clinical_data("merge/allergy-words")
        phrases = (
            "allergy",
            "sensitivity",
            "reactions",
            "drug-reactions",
            "connecting",
            "causes",
            "other",
            "denials",
            "queried",
            "resolved",
            "refuted",
        )
        return AllergyWords(
            codes=frozenset((_SNOMED, code) for code in raw["codes"]) | known_allergens().names_by_code.keys(),
            denial_codes={
                (each["system"], each["code"]): frozenset(each.get("of", ()))
                for each in read_clinical_data("merge/none-known")["AllergyIntolerance"]
            },
            heading_codes=_written(raw["heading-codes"]),
            patterns={name: phrase_pattern(raw[name]) for name in (*phrases, "family", "never")}
            | {"then": phrase_pattern(read_clinical_data("merge/allergy-mentions")["then"])},
            nothing=frozenset(each.casefold() for each in raw["nothing"]),
            unknown=frozenset(each.casefold() for each in raw["unknown"]),
            unknown_codes=_written(raw["unknown-codes"]),
            headings=frozenset(each.casefold() for each in raw["headings"]),
            component_headings=frozenset(raw["component-headings"]),
            categories={word: frozenset(values) for word, values in raw["categories"].items()},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Misconfigured(f"schemas/merge/allergy-words.yaml cannot be used: {error!r}.") from error


def _written(system_and_code: list[str]) -> frozenset[Code]:
    """Codes that are written as `system|code`."""
    return frozenset((each.partition("|")[0], each.partition("|")[2]) for each in system_and_code)


def is_empty_word(words: str) -> bool:
    """Whether a text names no allergen: "Nil", "Unknown"."""
    plain = words.strip(" .:-").casefold()
    return plain in allergy_words().nothing or plain in allergy_words().unknown


def says_unknown(words: str) -> bool:
    """Whether a text says only that the source does not know, with or without the reason ("not asked, in a coma")."""
    plain = words.strip(" .:-").casefold()
    if plain in allergy_words().unknown:
        return True
    said, mark, why = (each.strip() for each in _REASON.sub("|", plain, count=1).partition("|"))
    patterns = allergy_words().patterns
    tells_more = _MENTION.search(why) or patterns["reactions"].search(why) or patterns["drug-reactions"].search(why)
    return bool(mark) and said in allergy_words().unknown and not tells_more and not allergens_in(why)


def is_family_history(words: str) -> bool:
    """Whether a text tells of the allergy of a relative."""
    in_words = allergy_words().patterns["family"].search(words.casefold())
    return in_words is not None or not _OF_RELATIVES.isdisjoint(qualification(words).kinds)


def qualified(told: Told, words: str) -> Told:
    """The same, unless its text says that it was ruled out, is suspected or has gone."""
    if told.standing != ACTIVE:
        return told
    kinds = qualification(words).kinds
    if not denies_allergy(words):
        kinds -= {RULED_OUT}
    standing = next((standing for kind, standing in _BY_QUALIFIER.items() if kind in kinds), ACTIVE)
    return told._replace(standing=standing)


def _split_heading(folded: str) -> tuple[str, str]:
    """A heading such as "drug allergies:" and the words after it; both are "" if the text has none."""
    heading, mark, after = (each.strip() for each in re.sub(r"\s+[-\u2013]\s+", ":", folded, count=1).partition(":"))
    return (heading, after.strip(" .")) if mark and heading in allergy_words().headings else ("", "")


def may_tell(folded: str) -> bool:
    """Whether a text in lower case has a word that may tell of an allergy. A quick look that most texts do not pass."""
    return _MENTION.search(folded) is not None


@cache_texts(16384, read=MAX_READ_LENGTH)
def tell(words: str) -> Told | None:
    """What a text tells of an allergy; None if it tells of none, of a disease or test, or of a relative's allergy."""
    folded = words.casefold()
    if not _MENTION.search(folded):
        return Told(ACTIVE, is_reaction=True) if _is_drug_reaction(folded) else None
    patterns = allergy_words().patterns
    if is_family_history(words) or patterns["never"].search(folded):
        return None
    heading, after = _split_heading(folded)
    if heading and after in allergy_words().nothing:
        return Told(DENIED, is_reaction=False)
    if heading and after in allergy_words().unknown:
        return None
    cleaned = patterns["other"].sub(" ", folded)
    rest = _NO_SUCH_ALLERGY.sub(" ", patterns["denials"].sub(" ", cleaned))
    is_denied = heading and rest != cleaned and not _tells(rest.replace(heading, " ", 1))
    if is_denied or not (_tells(rest) or _is_drug_reaction(rest)):
        return Told(DENIED, is_reaction=False) if rest != cleaned else None
    is_reaction = not any(
        word in rest for word in ("allergy", "allergies", "allergic to", "intoler", "hypersensitivity to")
    )
    for standing, name in ((REFUTED, "refuted"), (RESOLVED, "resolved"), (QUERIED, "queried")):
        if patterns[name].search(folded):
            return Told(standing, is_reaction)
    return Told(QUERIED if folded.lstrip().startswith("?") else ACTIVE, is_reaction)


def _is_drug_reaction(words: str) -> bool:
    """Whether the text has a reaction and a medicine, and else only words that connect them."""
    patterns = allergy_words().patterns
    words = words.replace("-induced", " induced")
    if len(words) > _MAX_REACTION_LENGTH or not patterns["drug-reactions"].search(words):
        return False
    if "medication" not in known_allergens().categories_of(allergens_in(words)):
        return False
    return all(_only_connecting(part) for part in words.split(" | ") if patterns["drug-reactions"].search(part))


def _only_connecting(words: str) -> bool:
    patterns = allergy_words().patterns
    rest = patterns["drug-reactions"].sub(
        " ", known_allergens().word_pattern.sub(" ", words.replace("-induced", " induced"))
    )
    return not re.search(r"\w", patterns["connecting"].sub(" ", _DATE.sub(" ", rest)))


def _tells(words: str) -> bool:
    patterns = allergy_words().patterns
    if patterns["allergy"].search(words):
        return True
    if not allergens_in(words):
        return False
    has_reaction = patterns["causes"].search(words) and patterns["reactions"].search(words)
    return bool(has_reaction or patterns["sensitivity"].search(words))

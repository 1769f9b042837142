"""Finds what qualifies a statement: family history, a suspicion, something ruled out or over.

Many sources write the qualifier only in the text of a code that says the plain thing, such as "FH: breast cancer" with
the code of breast cancer. The words and codes are data in `schemas/merge/qualifiers.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from onestory.record.clinical_data import alternatives as _alternatives
from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.values import bare_codes
from onestory.record.text_cache import MAX_READ_LENGTH, cache_texts
from onestory.shared.errors import Misconfigured
from onestory.shared.fhir.resource import NOTHING, CodedConcept, concept_at, read_once

FAMILY_HISTORY = "family-history"
RULED_OUT = "ruled-out"
REFUSED = "refused"
SUSPECTED = "suspected"
RESOLVED = "resolved"
HISTORY = "history"
REMISSION = "remission"
RISK = "risk"
RELATIVE = "relative"
"""The text begins with a relative; in a Condition, Flag or AllergyIntolerance that is family history."""
MIXED = "mixed"
"""Part of the text is qualified, but not clearly the thing itself."""

_SNOMED = "http://snomed.info/sct"
_OF_RELATIVES = ("AllergyIntolerance", "Condition", "Flag")
"""Types in which a text that begins with a relative tells of an illness of that person."""
_ELEMENTS = ("code", "vaccineCode", "medicationCodeableConcept")
_PARTS = re.compile(r"([,;.:()\[\]\n]|\s-+\s|\b(?:with|but|and)\b)")
_CONNECTED = ("with", "but", "and")
_PLAIN_CHARACTERS = str.maketrans({"\u2013": "-", "\u2014": "-", "\u2019": "'"})
# Read codes have a chapter mark before their term, such as "[V]Family history of asthma".
_MARK = re.compile(r"^\s*\[\w{1,2}\]")
_LEAD = r"^[\s(\"'\[*\u2022-]*"
_WORD = re.compile(r"[\w/]+")
_MAX_LENGTH = 500
# A quick look, because most observations tell of no relative.
_MAY_BE_FAMILY = re.compile(
    r"famil|\bfam hx|\bf\.?/?h|father|mother|sister|brother|parent|ternal (?:hx|hist)|\b(?:mum|dad|aunt|uncle|cousin)",
    re.IGNORECASE,
)


class Qualification(NamedTuple):
    """The kinds of qualifiers of a text, and the text without them, in lower case."""

    kinds: frozenset[str]
    rest: str


@dataclass(frozen=True, slots=True)
class QualifierRules:
    """The content of `schemas/merge/qualifiers.yaml`, with its words as expressions."""

    types: Mapping[str, Sequence[str]]
    before: re.Pattern[str]
    relative: re.Pattern[str]
    relative_first: re.Pattern[str]
    family_headings: frozenset[str]
    of_person: re.Pattern[str]
    lacking: re.Pattern[str]
    never_so: re.Pattern[str]
    allergy_denials: re.Pattern[str]
    after: re.Pattern[str]
    anywhere: re.Pattern[str]
    no_words: re.Pattern[str]
    kinds_before: Mapping[str, str]
    kinds_after: Mapping[str, str]
    verification: Mapping[str, str]
    codes: Mapping[str, str]
    about: Mapping[str, frozenset[str]]
    same_words: re.Pattern[str]
    word_for: Mapping[str, str]
    fillers: frozenset[str]


@clinical_table
def qualifier_rules() -> QualifierRules:
    """The rules, read once. Raises `Misconfigured` when the file lacks something."""
    table = read_clinical_data("merge/qualifiers")
    try:
        relatives = [f"{side} {each}".strip() for side in ("", *table["relatives-side"]) for each in table["relatives"]]
        before = {
            word: kind for kind, words in table["words"].items() for word in _expanded(words["before"], relatives)
        }
        after = {word: kind for kind, words in table["words"].items() for word in _expanded(words["after"], relatives)}
        stop = rf"(?:[\s,/]*(?:\d[\d/]*|{_alternatives(table['stop'])})(?!\w))*"
        stop += r"(?:\s+(?:by|on|after|following|via|from|at)(?:\s+[\w/+-]+){1,4})?"
        word_for = {other: word for word, others in table["same-words"].items() for other in others}
        telling = [word for word in {*before, *after} - {*table["quiet"]} if len(word) > 4 or "/" in word]
        sides = _alternatives(table["relatives-side"])
        anyone = rf"(?:(?:{sides})\s+)*(?:{_alternatives(table['relatives'])})(?:s|'s)?(?: x ?\d)?"
        never_so = table["never-so"]
        return QualifierRules(
            types=table["types"],
            before=re.compile(rf"{_LEAD}({_alternatives(before)}){_END}"),
            relative=re.compile(rf"(?:in )?{anyone}(?!\w)(?: at \d+| aged? \d+| \d+)?s?"),
            # A hyphen that joins words makes another word: "mother-child relationship".
            relative_first=re.compile(rf"{_LEAD}{anyone}(?![\w/]|-\w)"),
            family_headings=frozenset(table["family-headings"]),
            of_person=re.compile(rf"{_BEGIN}(?:{_alternatives(table['relatives-of-person'])})(?!\w)"),
            lacking=re.compile(
                rf"no (?:left |right )?(?:{_alternatives(table['lacking'])})(?!\w)"
                r"(?:\W*$|\W+(?:in|on|of|from|left|right|since|due|following|after|post)\b)"
            ),
            never_so=re.compile(
                rf"(?:{_alternatives(never_so['before'])})(?:\s+|(?<=-))(?:{_alternatives(never_so['adjectives'])})"
            ),
            allergy_denials=re.compile(rf"{_BEGIN}(?:{_alternatives(table['allergy-denials'])}){_END}"),
            after=re.compile(rf"(?:{_BEGIN}|(?=\?))({_alternatives(after)}){_END}{stop}\W*$"),
            anywhere=re.compile(rf"{_BEGIN}(?:{_alternatives(telling)}){_END}|{_QUERY}"),
            no_words=re.compile(rf"(?<![\w/])(?:{_alternatives(table['no-words'])})(?!\w)"),
            kinds_before=before,
            kinds_after=after,
            verification=table["verification"],
            codes={each["code"]: each["kind"] for each in table["codes"]},
            about={each["code"]: frozenset(each["about"]) for each in table["codes"] if "about" in each},
            same_words=re.compile(rf"(?<!\w)(?:{_alternatives(word_for)})(?!\w)"),
            word_for=word_for,
            fillers=frozenset(table["fillers"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Misconfigured(f"schemas/merge/qualifiers.yaml cannot be used: {error!r}.") from error


# A word ends where no letter follows; a question mark may stand before a word, and within one it is a broken character.
_BEGIN = r"(?<![\w/])"
_END = r"(?:(?<=\?)|(?![\w/]))"
_QUERY = r"(?<!\w)\?|\?(?!\w)"


def _expanded(words: Iterable[str], relatives: Sequence[str]) -> Iterator[str]:
    """Yields the words, those with `{relative}` once for each relative."""
    for word in words:
        if "{relative}" in word:
            yield from (word.replace("{relative}", relative) for relative in relatives)
        else:
            yield word


def qualifier_of(resource_type: str, content: Mapping[str, Any]) -> str:
    """What qualifies the statement: a kind of `qualifiers.yaml`, or "" if nothing does.

    A `mixed` statement has its text behind the kind, so that it equals only the same text.
    """
    rules = qualifier_rules()
    kinds_of_type = rules.types.get(resource_type)
    if kinds_of_type is None:
        return ""
    if resource_type == "FamilyMemberHistory":
        return FAMILY_HISTORY
    found = set(_kinds_of_concept(_named(content)))
    if resource_type == "Condition" and "verificationStatus" in content:
        stated = bare_codes(content["verificationStatus"])
        found.update(kind for code in stated if (kind := rules.verification.get(code)))
    if RULED_OUT in found and resource_type == "AllergyIntolerance" and not any(map(denies_allergy, texts_of(content))):
        found.discard(RULED_OUT)
    if not found:
        return ""
    if RELATIVE in found and resource_type in _OF_RELATIVES:
        found.add(FAMILY_HISTORY)
    if kind := next((kind for kind in kinds_of_type if kind in found), ""):
        return kind
    return (
        f"{MIXED} {' '.join(texts_of(content)).casefold()}" if MIXED in found and resource_type == "Condition" else ""
    )


@read_once
def _kinds_of_concept(concept: CodedConcept) -> frozenset[str]:
    """The kinds of the words and codes."""
    kinds = qualifier_rules().codes
    by_code = {kinds[code] for code in _snomed_codes(concept) if code in kinds}
    return frozenset(by_code).union(*[qualification(name).kinds for name in concept.names])


def denies_allergy(said: str) -> bool:
    """Whether a text that rules something out may rule out an allergy, and does not forbid a medicine."""
    return bool(qualifier_rules().allergy_denials.search(said.casefold()))


def tells_of_relative(content: Mapping[str, Any]) -> bool:
    """Whether an Observation tells of the family, by its words or code, or answers for a relative ("Father": "MI")."""
    concept = _named(content)
    if ("valueString" in content or "valueCodeableConcept" in content) and _is_family_heading(concept):
        return True
    return _may_be_family(concept) and qualifier_of("Observation", content) == FAMILY_HISTORY


@read_once
def _is_family_heading(concept: CodedConcept) -> bool:
    rules = qualifier_rules()
    names = (" ".join(name.casefold().split()).strip(" :") for name in concept.names)
    return any(name in rules.family_headings or rules.relative.fullmatch(name) for name in names)


@read_once
def _may_be_family(concept: CodedConcept) -> bool:
    return any(map(_MAY_BE_FAMILY.search, concept.names))


def topics_of(content: Mapping[str, Any]) -> frozenset[str]:
    """What the statement is about without its qualifiers: SNOMED CT codes, and its words in an order of their own."""
    about = qualifier_rules().about
    codes = list(_snomed_codes(_named(content)))
    found = {code for own in codes for code in about.get(own, (own,))}
    return frozenset(found | {topic for said in texts_of(content) if (topic := _topic(qualification(said).rest))})


@cache_texts(4096, read=MAX_READ_LENGTH)
def _topic(name: str) -> str:
    rules = qualifier_rules()
    plain = rules.same_words.sub(lambda found: rules.word_for[_worded(found[0])], name)
    return " ".join(sorted({word for word in _WORD.findall(plain) if word not in rules.fillers}))


@cache_texts(16384, read=MAX_READ_LENGTH)
def qualification(said: str) -> Qualification:
    """The qualifiers in a text."""
    rules = qualifier_rules()
    plain = _MARK.sub("", " ".join(said[:_MAX_LENGTH].casefold().translate(_PLAIN_CHARACTERS).split()))
    if rules.lacking.match(plain):
        return Qualification(frozenset(), plain)
    rest = rules.no_words.sub(" ", plain)
    kinds = set()
    while (found := rules.before.match(rest)) and rest[found.end() :].strip(" ?:-"):
        kinds.add(rules.kinds_before[_worded(found[1])])
        rest = rest[found.end() :].lstrip(" :-")
    after = rest[found.end() :].strip(" ?:-,.") if (found := rules.relative_first.match(rest)) else ""
    if after and found and not rules.of_person.search(_PARTS.split(after, maxsplit=1)[0]):
        # "Mother: asthma" tells of her illness in any type; "Wife helpful" may be about anything.
        is_heading = rest[found.end() :].lstrip()[:1] in (":", "-")
        kinds.add(FAMILY_HISTORY if is_heading else RELATIVE)
        rest = after
    split = _PARTS.split(rest)
    parts, separators = [part.strip() for part in split[::2]], ["", *split[1::2]]
    kept = []
    for place, part in enumerate(parts):
        if place and separators[place] not in _CONNECTED and rules.relative.fullmatch(part):
            kinds.add(FAMILY_HISTORY)
            continue
        if separators[place] in ("", ":") and rules.never_so.fullmatch(part):
            kinds.add(RULED_OUT)
        found = rules.after.search(part)
        if found is None or (place and part[: found.start()].strip()):
            kept.append(part)
        elif part[: found.start()].strip() or place:
            kinds.add(rules.kinds_after[_worded(found[1])])
            if part.endswith("?"):
                kinds.add(SUSPECTED)
            kept.append(part[: found.start()].strip())
        else:
            kept.append(part)
    name = next((part for part in kept if part), "")
    # A qualifier that is left over may belong to another thing than the one that the text names.
    if any(rules.anywhere.search(part) for part in kept):
        kinds.add(MIXED)
    return Qualification(frozenset(kinds), name)


def _worded(found: str) -> str:
    return " ".join(found.split())


def texts_of(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts and displays of the code of a statement."""
    return _named(content).names


def _snomed_codes(concept: CodedConcept) -> Iterator[str]:
    return (code for system, code in concept.codes if system.startswith(_SNOMED) and code)


def _named(content: Mapping[str, Any]) -> CodedConcept:
    """What the statement is about."""
    for element in _ELEMENTS:
        if element in content:
            return concept_at(content, element)
    return NOTHING

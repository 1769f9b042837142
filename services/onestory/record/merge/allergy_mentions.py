"""What the words of any resource tell of an allergy in passing: a procedure, a letter, an answer, a note on a medicine.

The elements that are read are those of `schemas/merge/allergy-mentions.yaml`. Warnings against a medicine, such as
"Avoid NSAIDs", are found by `medicine_warnings`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.allergens import allergens_in, known_allergens, phrase_pattern
from onestory.record.merge.allergy_phrases import (
    ACTIVE,
    DENIED,
    QUERIED,
    REFUTED,
    RESOLVED,
    UNKNOWN,
    WARNING,
    AllergyReading,
    Told,
    allergy_words,
    is_family_history,
    may_tell,
    qualified,
    reading_of,
    says_unknown,
    tell,
)
from onestory.record.merge.answers import QUESTIONNAIRE, answers
from onestory.record.merge.medicine_warnings import CONDITION, RULE, warning_in
from onestory.record.text_cache import cache_texts
from onestory.shared.errors import Misconfigured
from onestory.shared.fhir.json import Code, codes_of, concept_text, concept_texts, objects_at, text_at, values_at
from onestory.shared.fhir.resource import CodedConcept, concept_at, read_once

_ORDER = (ACTIVE, QUERIED, WARNING, REFUTED, RESOLVED, DENIED)
"""What counts where a text tells several things: the most dangerous first."""
_MAX_TEXT, _MAX_WORDS, _MAX_NAME = 20_000, 300, 150
_SENTENCES = re.compile(r"(?<=[.!?])\s+|[\n\r;\u2022|]+")
_MARKUP = re.compile(r"<[^<>]*+>")
_TO_SOMETHING = re.compile(
    r"\b(?:allerg(?:y|ies|ic)(?: reactions?)?|hypersensitiv\w+|intoleran\w+|anaphyla\w+(?: reaction)?)"
    r" (?:to|of|due|caused|from|after|secondary)\b"
    r"|([\w'-]+) allerg(?:y|ies)\b"
)
_BARE = re.compile(r"anaphyla\w+(?: reaction| shock)?")
_AFTER_SOMETHING = re.compile(r"\b(?:after|following|due to|caused by|secondary to|induced|reaction)\b")
_ALLERGY = re.compile(r"allerg|anaphyla|intoleran|drug sensitivit")
_YES = ("yes", "y", "true")
_CANCELLED = "entered-in-error"


class MentionWords(NamedTuple):
    """The content of `schemas/merge/allergy-mentions.yaml` without its warnings; see the file for each part."""

    elements: Mapping[str, Elements]
    not_done: frozenset[str]
    hypothetical: re.Pattern[str]
    not_names: frozenset[str]
    asks_else: re.Pattern[str]
    asks_detail: re.Pattern[str]
    had_anaphylaxis: re.Pattern[str]


class Elements(NamedTuple):
    """The elements of one resource type that are read, as paths, and what counts in them."""

    concepts: tuple[tuple[str, ...], ...]
    texts: tuple[tuple[str, ...], ...]
    about: str
    denials: bool
    warnings: bool


@clinical_table
def mention_words() -> MentionWords:
    """The words, read once. Raises `Misconfigured` when the file lacks a part."""
    raw = read_clinical_data("merge/allergy-mentions")
    try:
        return MentionWords(
            {
                kind: Elements(
                    tuple(tuple(path.split(".")) for path in each.get("concepts", ())),
                    tuple(tuple(path.split(".")) for path in each.get("texts", ())),
                    each.get("about", ""),
                    each.get("denials", False),
                    each.get("warnings", False),
                )
                for kind, each in raw["elements"].items()
            },
            frozenset(raw["not-done"]),
            phrase_pattern(raw["hypothetical"]),
            frozenset(raw["not-names"]),
            phrase_pattern(raw["asks-else"]),
            phrase_pattern(raw["asks-detail"]),
            re.compile(rf"(?:{phrase_pattern(raw['had']).pattern})\W+anaphyla"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Misconfigured(f"schemas/merge/allergy-mentions.yaml cannot be used: {error!r}.") from error


def read_mention(resource_type: str, content: Mapping[str, Any]) -> AllergyReading | None:
    """What a resource tells of an allergy in passing; None if it tells of none."""
    elements = mention_words().elements.get(resource_type)
    if elements is None or content.get("status") == _CANCELLED:
        return None
    found = list(_mentions(resource_type, content, elements))
    if not found:
        return None
    standing = min((each.standing for each in found), key=lambda each: _ORDER.index(each) if each in _ORDER else 9)
    same = [each for each in found if each.standing == standing]
    words = "; ".join(dict.fromkeys(each.words for each in found if each.standing != UNKNOWN or each in same))
    return AllergyReading(
        words if len(words) <= _MAX_WORDS else f"{words[:_MAX_WORDS]} …",
        standing,
        frozenset[str]().union(*(each.allergens for each in same)),
        # A denial or allergy without a category may be of any.
        frozenset[str]().union(*(each.categories for each in same))
        if all(each.categories for each in same)
        else frozenset(),
        all(each.is_reaction for each in same),
        is_aside=True,
    )


def _mentions(kind: str, content: Mapping[str, Any], elements: Elements) -> Iterator[AllergyReading]:
    if kind == QUESTIONNAIRE:
        yield from _answered(content)
    elif kind == "Composition":
        yield from _sections(content)
    elif kind == "FamilyMemberHistory":
        yield from _of_relative(content)
    elif "code" in content and is_long(content):
        for part in _parts(concept_text(content["code"])):
            yield from _of_words(elements, part)
    is_done = text_at(content, "status") not in mention_words().not_done
    for path in elements.concepts:
        if path[0] in content and (is_done or path[0] != "code"):
            if len(path) == 1 and not _may_mention(concept_at(content, path[0])):
                continue
            for concept in values_at(content, *path):
                words = concept_text(concept)
                yield from _of_words(elements, words, codes_of({"code": concept}, "code"))
                if elements.about and words:
                    yield from _of_medicine(content, elements, path[0], words)
    for path in elements.texts:
        if path[0] in content:
            for text in values_at(content, *path):
                for part in _parts(text) if isinstance(text, str) else ():
                    for found in _of_words(elements, part):
                        yield _of_vaccine(content, found) if kind == "Immunization" else found


@read_once
def _may_mention(concept: CodedConcept) -> bool:
    """Whether the words or codes of an element may tell of an allergy, a reaction or a warning. Most do not."""
    known = allergy_words()
    if not known.codes.isdisjoint(concept.codes):
        return True
    reactions = known.patterns["reactions"]
    return any(
        tell(words) or mention_in(words) or warning_in(words) or reactions.search(words.casefold())
        for words in concept.texts
    )


def _of_relative(content: Mapping[str, Any]) -> Iterator[AllergyReading]:
    """Yields warnings for what runs in the family, such as malignant hyperthermia. A relative's allergy is none."""
    relative = concept_text(content.get("relationship")) or "Relative"
    for words in concept_texts(content, "condition", "code"):
        if warning_in(words) == CONDITION:
            shown = f"Family history, {relative}: {words}"
            yield reading_of(shown, shown, (), WARNING, is_reaction=False, is_aside=True)


def is_long(content: Mapping[str, Any]) -> bool:
    """Whether the name of a resource is a letter or a note, which is read sentence by sentence."""
    names = concept_at(content, "code").texts
    return bool(names) and len(names[0]) > _MAX_NAME


def _of_vaccine(content: Mapping[str, Any], found: AllergyReading) -> AllergyReading:
    """The reading of a note on a vaccination, with the vaccine if the note names nothing."""
    if found.allergens or found.standing != ACTIVE:
        return found
    shown = f"{concept_text(content.get('vaccineCode'))}: {found.words}"
    return reading_of(shown, shown, (), ACTIVE, is_reaction=found.is_reaction, is_aside=True)


def _of_medicine(content: Mapping[str, Any], elements: Elements, element: str, words: str) -> Iterator[AllergyReading]:
    """Yields the reaction because of which a medicine or vaccine was not given, where its words name no allergen."""
    folded = words.casefold()
    reactions = allergy_words().patterns["reactions"]
    if not element.startswith("statusReason") or allergens_in(words) or mention_words().hypothetical.search(folded):
        return
    told = tell(words) or Told(ACTIVE, is_reaction=True)
    if (_ALLERGY.search(folded) or reactions.search(folded)) and told.standing == ACTIVE:
        shown = f"{concept_text(content.get(elements.about))}: {words}"
        yield reading_of(shown, shown, (), ACTIVE, is_reaction=True, is_aside=True)


def _parts(words: str) -> list[str]:
    return [part for each in _SENTENCES.split(words[:_MAX_TEXT]) if (part := each.strip().rstrip("."))]


def _of_words(elements: Elements, words: str, codes: Collection[Code] | None = None) -> Iterator[AllergyReading]:
    """Yields what a sentence tells, or a concept with these codes."""
    told = mention_in(words)
    if told is None and codes is not None and not is_family_history(words):
        known = allergy_words().codes
        is_named = tell(words) is not None and _BARE.fullmatch(words.casefold().strip())
        if is_named or not known.isdisjoint(codes):
            told = Told(ACTIVE, is_reaction=False)
    if told is not None:
        found = reading_of(words, words, codes or (), told.standing, is_reaction=told.is_reaction, is_aside=True)
        if told.standing != DENIED or elements.denials or found.allergens:
            yield found
    elif elements.warnings and warning_in(words) in (RULE, CONDITION):
        yield reading_of(words, words, codes or (), WARNING, is_reaction=False, is_aside=True)


@cache_texts(8192)
def mention_in(words: str) -> Told | None:
    """What a sentence tells of an allergy; None if it names no allergen, or tells of what could happen."""
    folded = words.casefold()
    if not may_tell(folded) and not _AFTER_SOMETHING.search(folded):
        return None
    if mention_words().hypothetical.search(folded):
        return None
    told = tell(words)
    if told is None:
        return Told(ACTIVE, is_reaction=True) if _tells_of_drug_reaction(folded) else None
    return qualified(told, words) if told.standing == DENIED or _names_something(folded) else None


def tells_of_cause(words: str) -> bool:
    """Whether a note on a reaction names its cause, and not only what was given for it."""
    return tell(words) is not None or _AFTER_SOMETHING.search(words.casefold()) is not None


def _tells_of_drug_reaction(words: str) -> bool:
    """Whether a reaction followed a medicine: "urticaria after IV contrast"."""
    patterns = allergy_words().patterns
    if not (patterns["reactions"].search(words) and _AFTER_SOMETHING.search(words)) or is_family_history(words):
        return False
    return "medication" in known_allergens().categories_of(allergens_in(words))


def _names_something(words: str) -> bool:
    """Whether the words about an allergy name what it is to."""
    if allergens_in(words):
        return _ALLERGY.search(words) is not None or _AFTER_SOMETHING.search(words) is not None or " with " in words
    if mention_words().had_anaphylaxis.search(words):
        return True
    return any(found[1] not in mention_words().not_names for found in _TO_SOMETHING.finditer(words))


def _answered(content: Mapping[str, Any]) -> Iterator[AllergyReading]:
    """Yields what the answers of a questionnaire tell. A question about details goes on with the one before."""
    is_open = False
    for question, answer in answers(content):
        letters = question.casefold()
        if is_open and mention_words().asks_detail.search(letters) and not _is_nothing(answer):
            yield _as_stated(answer, f"{question}: {answer}")
        else:
            found = _answer(question, answer)
            is_open = found is not None and found.standing == ACTIVE and not found.allergens
            if found:
                yield found
            elif answer.strip(" .").casefold() in _YES and warning_in(question):
                yield reading_of(f"{question}: {answer}", question, (), WARNING, is_reaction=False, is_aside=True)
            else:
                yield from _of_words(mention_words().elements[QUESTIONNAIRE], answer)


def _answer(question: str, answer: str) -> AllergyReading | None:
    """The answer to a question about allergies; None if it asks for something else."""
    letters = question.casefold()
    if not _ALLERGY.search(letters) or mention_words().asks_else.search(letters) or is_family_history(question):
        return None
    shown, asked = f"{question}: {answer}", allergens_in(question)
    plain = answer.strip(" .:-").casefold()
    if says_unknown(answer):
        return AllergyReading(shown, UNKNOWN, frozenset(), frozenset(), is_reaction=False, is_aside=True)
    if _is_nothing(answer):
        return reading_of(shown, question, (), DENIED, is_reaction=False, is_aside=True)
    if plain in _YES or asked:
        return reading_of(shown, shown, (), ACTIVE, is_reaction=False, is_aside=True)
    return _as_stated(answer, shown)


def _as_stated(words: str, shown: str) -> AllergyReading:
    """The reading of words that stand where allergies are asked for: they tell of one unless they deny it."""
    told = qualified(tell(words) or Told(ACTIVE, is_reaction=False), words)
    return reading_of(shown, words, (), told.standing, is_reaction=told.is_reaction, is_aside=True)


def _is_nothing(words: str) -> bool:
    return words.strip(" .:-").casefold() in allergy_words().nothing


def _sections(content: Mapping[str, Any]) -> Iterator[AllergyReading]:
    """Yields what the sections of a document tell: what stands under a heading of allergies, and other sentences."""
    known = allergy_words()
    elements = mention_words().elements["Composition"]
    for section in [*objects_at(content, "section"), *objects_at(content, "section", "section")]:
        title = text_at(section, "title") or concept_text(section.get("code"))
        words = _MARKUP.sub("\n", text_at(section, "text", "div")[:_MAX_TEXT])
        parts = [part for part in _parts(words) if part.casefold().strip(" :.") not in known.headings]
        if title.casefold().strip(" :.") in known.headings or not known.heading_codes.isdisjoint(
            codes_of(section, "code")
        ):
            for part in parts:
                if part.strip(" .:-").casefold() in known.unknown:
                    continue
                shown = f"{title or 'Allergies'}: {part}"
                if _is_nothing(part):
                    yield reading_of(shown, title, (), DENIED, is_reaction=False, is_aside=True)
                else:
                    yield _as_stated(part, shown)
        else:
            for part in parts:
                yield from _of_words(elements, part)

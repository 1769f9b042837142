"""Words of one allergy for the page: its name, danger, type, reactions and conflicts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.allergens import phrase_pattern
from onestory.record.merge.allergy_phrases import (
    DENIED,
    QUERIED,
    REFUTED,
    RESOLVED,
    UNKNOWN,
    AllergyReading,
    is_empty_word,
)
from onestory.record.merge.allergy_reading import read_allergy
from onestory.record.merge.model import Fact, FactConflict, Statement
from onestory.record.summary import sources
from onestory.record.summary.clinical_dates import clinical_date
from onestory.record.summary.conflict_words import MAX_STATEMENTS_PER_SIDE
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.wording import name_of, notes
from onestory.shared.fhir.json import Code, codes_of, concept_text, concept_texts, objects_at, text_at, values_at
from onestory.shared.fhir.resource import read_once

LIFE_THREATENING, HIGH, USUAL, LOW = 3, 2, 1, 0
"""How dangerous an allergy is; the greatest stands first."""
_IN_BRACKETS = re.compile(r"\(([^()]+)\)\s*$")
NOT_NAMED_ALLERGEN = "Allergen not named by its source"
_SNOMED = "http://snomed.info/sct"
_NOT_SURE = ("unconfirmed", "provisional", "differential")
_OWN_CONFLICTS = ("negation", "status", "withdrawn", "none-known")
_SAYS = {
    QUERIED: "says it is possible",
    RESOLVED: "says it has gone",
    REFUTED: "says it was ruled out",
}


class AllergyPageWords(NamedTuple):
    """The content of `schemas/summary/allergies.yaml`."""

    severe_codes: frozenset[Code]
    severe: re.Pattern[str]
    unnamed: tuple[str, ...]
    prefixes: tuple[str, ...]


@clinical_table
def page_words() -> AllergyPageWords:
    """The words, read once from the file."""
    raw = read_clinical_data("summary/allergies")
    return AllergyPageWords(
        frozenset((_SNOMED, code) for code in raw["severe"]["codes"]),
        phrase_pattern(raw["severe"]["words"]),
        tuple(raw["unnamed"]),
        tuple(raw["prefixes"]),
    )


def allergy_name(record: SummaryRecord, fact: Fact) -> str:
    """The allergen as the page names it. A code that lost its meaning in a transfer gives no name; the words do."""
    shown = record.shown(fact).content
    told = record.allergies[fact.id]
    if fact.resource_type != "AllergyIntolerance" or told.standing == UNKNOWN:
        if named := _named_by_code(told, told.words):
            return named
        is_degraded = told.words.casefold().startswith(page_words().unnamed)
        return _name_in_words(shown, told.words) if is_degraded else told.words
    name = name_or_note(shown)
    if name != name_of(shown):
        return name
    if named := _named_by_code(told, name):
        return named
    if is_empty_word(name):
        return next((each for each in _displays(shown) if not is_empty_word(each)), name)
    if text_at(shown, "code", "text"):
        return name
    # One substance has several codes: the shortest of their names is the one that people use.
    valid = [statement.content for statement in record.valid_statements(fact)]
    shown_allergens = told.allergens
    same = [
        each
        for each in valid
        if shown_allergens
        and not text_at(each, "code", "text")
        and (other := read_allergy("AllergyIntolerance", each))
        and other.allergens == shown_allergens
    ]
    return min([name, *map(name_of, same)], key=lambda each: (len(each), each))


def _named_by_code(told: AllergyReading, name: str) -> str:
    """The name of an allergy that is a code without words, where the code is known; "" for another."""
    return f"{', '.join(sorted(told.allergens))} (code {name})" if told.allergens and name.isdigit() else ""


_KINDS = {
    "Condition": "recorded as a problem",
    "Observation": "recorded as an observation",
    "Flag": "recorded as an alert",
    "DetectedIssue": "recorded as a detected issue",
    "AdverseEvent": "recorded as an adverse event",
    "Appointment": "told in an appointment",
    "CarePlan": "told in a care plan",
    "ClinicalImpression": "told in an assessment",
    "Communication": "told in a message",
    "CommunicationRequest": "told in a message",
    "Composition": "told in a document",
    "DiagnosticReport": "told in a report",
    "DocumentReference": "told in a letter or document",
    "Encounter": "reason of a visit or stay",
    "FamilyMemberHistory": "told in the family history",
    "Immunization": "told with a vaccination",
    "MedicationAdministration": "told with a medicine",
    "MedicationDispense": "told with a medicine",
    "MedicationRequest": "told with a medicine",
    "MedicationStatement": "told with a medicine",
    "Procedure": "told with a procedure",
    "QuestionnaireResponse": "answered in a questionnaire",
    "RiskAssessment": "told in a risk assessment",
    "ServiceRequest": "told in a referral or request",
    "Task": "told in a task",
}


def kind_words(fact: Fact) -> str:
    """Where an allergy stands that is no AllergyIntolerance, in small letters; "" for an AllergyIntolerance."""
    return "" if fact.resource_type == "AllergyIntolerance" else _KINDS.get(fact.resource_type, "told elsewhere")


def _displays(content: Mapping[str, Any]) -> list[str]:
    return [each for each in values_at(content, "code", "coding", "display") if isinstance(each, str)]


def name_or_note(content: Mapping[str, Any]) -> str:
    """The name of a statement; where its code lost its meaning in a transfer, the words that its source put instead."""
    name = name_of(content)
    return _name_in_words(content, name) if name.casefold().startswith(page_words().unnamed) else name


def recorded_as_problems(record: SummaryRecord) -> list[Fact]:
    """The Conditions that tell of an allergy of the person, or forbid a medicine, and of nothing else."""
    return [
        fact
        for fact in record.allergy_facts
        if fact.resource_type == "Condition"
        and record.allergies[fact.id].standing != DENIED
        and not record.allergies[fact.id].is_aside
    ]


def _name_in_words(content: Mapping[str, Any], name: str) -> str:
    """The allergen of a statement whose code names none: after the code's name, in the reaction, or in a note."""
    _, colon, rest = name.partition(":")
    if colon and rest.strip():
        return rest.strip()
    if bracketed := _IN_BRACKETS.search(name):
        return bracketed[1]
    described = values_at(content, "reaction", "description")
    for words in [*concept_texts(content, "reaction", "substance"), *notes(content), *described]:
        if isinstance(words, str) and words.strip():
            prefix = next((each for each in page_words().prefixes if words.casefold().startswith(each)), "")
            return words[len(prefix) :].strip() or words
    return NOT_NAMED_ALLERGEN if content.get("resourceType") == "AllergyIntolerance" else name


def danger_of(record: SummaryRecord, fact: Fact) -> int:
    """The danger by the worst reaction and criticality that any source states."""
    contents = [statement.content for statement in record.valid_statements(fact)]
    if any(is_severe(content) for content in contents) or _is_severe_text(record.allergies[fact.id].words):
        return LIFE_THREATENING
    criticalities = {text_at(content, "criticality") for content in contents}
    if "high" in criticalities:
        return HIGH
    is_mild = {"mild"} >= {
        text_at(each, "severity") for content in contents for each in objects_at(content, "reaction")
    }
    only_intolerance = all(content.get("type") == "intolerance" for content in contents)
    return LOW if criticalities == {"low"} or (only_intolerance and is_mild) else USUAL


@read_once
def is_severe(content: Mapping[str, Any]) -> bool:
    """Whether a statement tells of a reaction that threatens life."""
    severe = page_words().severe_codes
    if not severe.isdisjoint(codes_of(content, "code")):
        return True
    return any(is_severe_reaction(each) for each in objects_at(content, "reaction")) or any(
        _is_severe_text(note) for note in notes(content)
    )


def is_severe_reaction(reaction: Mapping[str, Any]) -> bool:
    """Whether a reaction of an AllergyIntolerance threatens life, or is called severe."""
    if text_at(reaction, "severity") == "severe":
        return True
    if not page_words().severe_codes.isdisjoint(codes_of(reaction, "manifestation")):
        return True
    described = [*concept_texts(reaction, "manifestation"), text_at(reaction, "description")]
    return any(_is_severe_text(each) for each in described)


def _is_severe_text(words: str) -> bool:
    return bool(page_words().severe.search(words.casefold()))


def reactions(contents: list[Mapping[str, Any]]) -> Iterator[str]:
    """Yields the reactions as XHTML, those that threaten life first and strong."""
    every = [reaction for content in contents for reaction in objects_at(content, "reaction")]
    for reaction in sorted(every, key=lambda each: not is_severe_reaction(each)):
        if words := _reaction(reaction):
            yield strong(text(words)) if is_severe_reaction(reaction) else text(words)


def _reaction(reaction: Mapping[str, Any]) -> str:
    manifestations = [*concept_texts(reaction, "manifestation"), text_at(reaction, "description")]
    symptoms = ", ".join(each for each in manifestations if each)
    severity = text_at(reaction, "severity")
    by = concept_text(reaction.get("exposureRoute"))
    parts = [f"Reaction: {symptoms}", severity, by] if symptoms else [f"Severity: {severity}" if severity else "", by]
    return ", ".join(part for part in [*parts, *notes(reaction)] if part)


def type_words(record: SummaryRecord, fact: Fact, name: str) -> str:
    """Allergy or intolerance; with who says which, where the sources differ. "" if the name says it already."""
    stated = {
        record.organisation_of(statement): kind
        for statement in record.valid_statements(fact)
        if (kind := text_at(statement.content, "type")) in ("allergy", "intolerance")
    }
    if len(set(stated.values())) > 1:
        said = [
            f"{kind}, says {organisation}" for organisation, kind in sorted(stated.items(), key=lambda each: each[1])
        ]
        return f"Allergy or intolerance: {'; '.join(said)}"
    kind = next(iter(stated.values()), "")
    return "" if kind in name.casefold() else kind.capitalize()


def is_not_confirmed(record: SummaryRecord, fact: Fact) -> bool:
    """Whether no source has confirmed it: each that states its certainty is not sure, or asks."""
    sure = []
    for statement in record.valid_statements(fact):
        stated = values_at(statement.content, "verificationStatus", "coding", "code")
        told = read_allergy(statement.resource_type, statement.content)
        sure.append(not (any(each in _NOT_SURE for each in stated) or (told and told.standing == QUERIED)))
    return not any(sure)


def conflict_paragraphs(record: SummaryRecord, fact: Fact) -> list[str]:
    """Paragraphs of XHTML: for each conflict, what the other sources say, with their dates and notes."""
    shown = record.shown(fact)
    paragraphs = []
    for conflict in fact.conflicts:
        if conflict.kind not in _OWN_CONFLICTS:
            first, *rest = sources.side_paragraphs(record, conflict)
            paragraphs += [f"{strong('Sources disagree:')} {first}", *rest]
        elif said := [statement_words(record, each) for each in _other_side(record, fact, conflict, shown)]:
            paragraphs.append(f"{strong('Sources disagree:')} {'; '.join(said)}")
    return paragraphs


def _other_side(record: SummaryRecord, fact: Fact, conflict: FactConflict, shown: Statement) -> list[Statement]:
    """At most five statements that contradict the fact, newest first; each has a line of its own.

    An older "none known" contradicts nothing newer.
    """
    own = {statement.shared_id for statement in record.valid_statements(fact)}
    mine = next((side for side in conflict.sides if shown.shared_id in side), None)
    mine = mine or next(side for side in conflict.sides if own.intersection(side))
    ids = [each for side in conflict.sides if side != mine for each in side[:MAX_STATEMENTS_PER_SIDE]]
    others = [statement for each in ids if (statement := record.statement(each))]
    if conflict.kind == "none-known":
        since = max(clinical_date(record.statement(each) or shown).begin for each in own)
        others = [each for each in others if clinical_date(each).begin >= since]
    return sorted(others, key=lambda each: (clinical_date(each).begin, each.shared_id), reverse=True)


def statement_words(record: SummaryRecord, statement: Statement) -> str:
    """What a source says of an allergy, with its dates and notes, as XHTML."""
    content = statement.content
    told = read_allergy(statement.resource_type, content)
    if "entered-in-error" in [*values_at(content, "verificationStatus", "coding", "code"), content.get("status")]:
        says = "took this back as entered in error"
    elif told is None or told.standing == DENIED:
        says = f"says “{told.words if told else name_of(content)}”"
    else:
        says = _SAYS.get(told.standing, "says the person has it")
        says += f" (“{told.words}”)" if statement.resource_type != "AllergyIntolerance" else ""
    words = f"{record.organisation_of(statement)} {says}, {sources.recorded_and_sent(statement)}"
    quoted = "; ".join(f"“{note}”" for note in notes(content))
    return text(f"{words}: {quoted}" if quoted else words)

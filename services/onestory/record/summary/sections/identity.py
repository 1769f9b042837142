"""The notices about who the person is: another person's record under this number, a twin, a death, another number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.merge.reading import small_letters
from onestory.record.person.sources_words import words_in
from onestory.record.summary import dates as summary_dates
from onestory.record.summary.around import places_around
from onestory.record.summary.clinical_dates import clinical_date_text
from onestory.record.summary.identity import IdentityDoubt
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.person import name_of_person
from onestory.record.summary.values import value_text
from onestory.record.summary.wording import name_of
from onestory.shared.fhir.json import codes_of, concept_texts, objects_at, text_at, text_of
from onestory.shared.fhir.resource import CodedConcept, concept_at, read_once

_MAX_NAMED = 8
_NOT_HELD = {"refuted", "unconfirmed", "entered-in-error", "registered", "cancelled", "not-done"}
_TYPES_OF_DEATH = ("Condition", "DocumentReference", "Encounter", "Observation", "Procedure")
_ELEMENTS = {"given": "given name", "family": "family name", "name": "name", "gender": "sex", "birthDate": "birth date"}


def identity_notices(record: SummaryRecord) -> Iterator[str]:
    """Yields XHTML, the most dangerous first."""
    doubts = sorted(record.identity_doubts, key=lambda each: not each.is_another)
    for doubt in doubts:
        yield _another_person(record, doubt) if doubt.is_another else _difference(record, doubt)
    yield from _death(record)
    links = objects_at(record.patient, "link")
    if any(each.get("type") == "replaced-by" for each in links):
        yield strong("This NHS number was replaced by another one.")
    if _is_one_of_several(record):
        yield f"{strong('Twin or other multiple birth.')} A sibling has the same birth date: check name and NHS number."


def _another_person(record: SummaryRecord, doubt: IdentityDoubt) -> str:
    source = text(record.organisation_name(doubt.organisation))
    known_as = f"{source} knows this NHS number as: {_person(doubt)}."
    named = _entries(record, doubt.organisation)
    of_source = f" Its entries may be another person’s: {named}." if named else ""
    return f"{strong(f'Check who this is. {known_as}')}{of_source}"


def _difference(record: SummaryRecord, doubt: IdentityDoubt) -> str:
    source = text(record.organisation_name(doubt.organisation))
    differing = " and ".join(_ELEMENTS[each] for each in sorted(doubt.elements))
    stated = f": {_person(doubt)}" if doubt.stated else ""
    return f"{source} states another {differing}{stated}. Check who this is."


def _person(doubt: IdentityDoubt) -> str:
    if not doubt.stated:
        return f"a person with another {' and '.join(_ELEMENTS[each] for each in sorted(doubt.elements))}"
    born = summary_dates.shown(doubt.stated.get("birthDate"))
    parts = [name_of_person(doubt.stated), text_of(doubt.stated, "gender"), f"born {born}" if born else ""]
    return text(", ".join(part for part in parts if part))


def _entries(record: SummaryRecord, organisation: str) -> str:
    """The names of what the source says, allergies first."""
    first = {"AllergyIntolerance": 0, "MedicationRequest": 1, "MedicationStatement": 1, "Condition": 2}
    doubted = [
        (first.get(fact.resource_type, 3), text(name_of(statement.content)))
        for fact in record.all_facts()
        for statement in record.valid_statements(fact)
        if statement.organisation == organisation and record.may_be_anothers(statement)
    ]
    names = list(dict.fromkeys(name for _, name in sorted(doubted)))
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def _death(record: SummaryRecord) -> Iterator[str]:
    """A death is a fact by the word of a demographic authority only; each other source is named with its word."""
    patient = record.patient
    died = patient.get("deceasedDateTime")
    if died or patient.get("deceasedBoolean") is True:
        yield strong(f"This person is recorded as having died{_on(died)}.")
    words = [word for word in words_in(patient) if word.element == "deceased" and word.values]
    no_authority = (
        "The demographic authority says that this person has not died."
        if patient.get("deceasedBoolean") is False
        else "No demographic authority has said so. Ask the source before you act on it."
    )
    for word in words:
        source, (value, *_) = text(record.organisation_name(word.organisation)), word.values
        if value.get("valueBoolean") is False:
            yield f"{source} says that this person has not died."
        else:
            said = f"{source} says that this person died{_on(value.get('valueDateTime'))}."
            yield f"{strong(said)} {no_authority}"
    if not died and patient.get("deceasedBoolean") is not True:
        shown = map(record.shown, record.facts(*_TYPES_OF_DEATH))
        for statement in shown:
            if _tells_death(statement.content):
                when = value_text(statement.content) or _end(statement.content) or clinical_date_text(statement)
                is_stay = statement.resource_type == "Encounter"
                what = "the person died in its care" if is_stay else name_of(statement.content)
                entry = f"{record.organisation_of(statement)} recorded: {what}"
                told = text(f"{entry} ({when})." if when else f"{entry}.")
                yield f"{strong(told)} {no_authority}"


def _tells_death(content: Mapping[str, Any]) -> bool:
    """Whether a statement says that the person died: not that somebody else did, or that it was ruled out."""
    if "valueQuantity" in content or "component" in content:
        return False
    if "code" in content and not _names_death(concept_at(content, "code")):
        # The quick answer for nearly all.
        return False
    data = places_around()
    stated = {text_at(content, "verificationStatus", "coding", "code"), text_at(content, "status")}
    if stated & _NOT_HELD or content.get("valueBoolean") is False:
        return False
    if content.get("resourceType") == "Encounter":
        ends = objects_at(content, "hospitalization", "dischargeDisposition")
        words = {small_letters(each) for end in ends for each in concept_texts({"end": end}, "end")}
        codes = {code for end in ends for code in codes_of({"end": end}, "end")}
        return bool(codes & data.death_dispositions or words & data.death_disposition_words)
    if content.get("resourceType") == "DocumentReference":
        titles = [*concept_texts(content, "type"), *(text_at(each, "title") for each in _attachments(content))]
        return any(small_letters(each) in data.death_documents for each in titles)
    return _names_death(concept_at(content, "code"))


@read_once
def _names_death(concept: CodedConcept) -> bool:
    # Words that say something else than the code count, because an alarm about a death must not be a slip of a code.
    data = places_around()
    if concept.names:
        return any(small_letters(each) in data.death_words for each in concept.texts)
    return not concept.codes.isdisjoint(data.death_codes)


def _attachments(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return objects_at(content, "content", "attachment")


def _end(content: Mapping[str, Any]) -> str:
    end = text_at(content, "period", "end") if content.get("resourceType") == "Encounter" else ""
    return summary_dates.shown(end) if end else ""


def _on(died: Any) -> str:
    return f" on {text(summary_dates.shown(died))}" if died else ""


def _is_one_of_several(record: SummaryRecord) -> bool:
    order = record.patient.get("multipleBirthInteger")
    return record.patient.get("multipleBirthBoolean") is True or (isinstance(order, int) and order > 0)

"""Writes the person of a summary: the shared Patient as IPS requires it, and a header in words.

http://hl7.org/fhir/uv/ips/STU2/StructureDefinition-Patient-uv-ips.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from onestory.record.person.sources_words import SourcesWord, words_in
from onestory.record.summary import dates as summary_dates
from onestory.record.summary.model import summary_codes
from onestory.record.summary.narrative import paragraph, strong, text
from onestory.shared.fhir.json import concept_text, concept_texts, objects_at, text_of, values_at

LANGUAGE_EXTENSION = "https://onestory.nhs.uk/StructureDefinition/stated-language"
"""Extension on a language that is given as text: `valueCodeableConcept` holds the source's coding."""

_ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
_BCP_47 = "urn:ietf:bcp:47"
_UNNAMED = "Name not known"


def ips_patient(patient: bytes) -> bytes:
    """The Patient, with the elements that IPS requires marked as unknown if absent. All others keep their bytes."""
    shown: dict[str, Any] = msgspec.json.decode(patient, type=dict[str, msgspec.Raw])
    if "birthDate" not in shown:
        shown.setdefault("_birthDate", {"extension": [_ABSENT]})
    if not _has_name(shown.get("name")):
        shown["name"] = [{"text": _UNNAMED}]
    if "communication" in shown:
        spoken = msgspec.json.decode(shown["communication"])
        if any(_needs_text(each.get("language")) for each in objects_at(spoken)):
            shown["communication"] = [_language_as_text(each) for each in objects_at(spoken)]
    return msgspec.json.encode(shown)


def patient_header(patient: Mapping[str, Any], organisation_name: Callable[[str], str]) -> str:
    """XHTML: name, NHS number, date of birth, gender, languages.

    Languages that are the word of one source only have its name.
    """
    own = text_of(patient, "id")
    known = len(own) == 10 and own.isdigit()
    number = f"NHS number {own[:3]} {own[3:6]} {own[6:]}" if known else "NHS number not known"
    birth_date = summary_dates.shown(patient.get("birthDate"))
    born = f"born {birth_date}" if birth_date else "date of birth not known"
    gender = text_of(patient, "gender") or "gender not stated"
    lines = [
        strong(text(name_of_person(patient))),
        text(", ".join([number, born, gender])),
        *map(text, _languages(patient)),
        *[
            text(f"{organisation_name(word.organisation)} says: {line}")
            for word in words_in(patient)
            for line in _languages_in_word(word)
        ],
    ]
    return paragraph("<br/>".join(lines))


def name_of_person(resource: Mapping[str, Any]) -> str:
    """The usual name of a Patient, Practitioner or RelatedPerson, or the name of an Organization."""
    if name_text := text_of(resource, "name"):
        return name_text
    names = objects_at(resource, "name")
    official = [name for name in names if name.get("use") in ("official", "usual", None)] or names
    for name in official:
        parts = [
            *values_at(name, "prefix"),
            *values_at(name, "given"),
            *values_at(name, "family"),
            *values_at(name, "suffix"),
        ]
        if full_name := text_of(name, "text") or " ".join(part for part in parts if isinstance(part, str)):
            return full_name
    return _UNNAMED


def _languages(patient: Mapping[str, Any]) -> Iterator[str]:
    if spoken := concept_texts(patient, "communication", "language"):
        yield f"Languages: {', '.join(spoken)}"
    for extension in objects_at(patient, "extension"):
        if text_of(extension, "url").endswith("interpreterRequired") and extension.get("valueBoolean") is True:
            yield "Interpreter required"


def _languages_in_word(word: SourcesWord) -> Iterator[str]:
    if word.element == "communication":
        languages = [part for part in objects_at([*word.values], "extension") if text_of(part, "url") == "language"]
        if spoken := concept_texts(languages, "valueCodeableConcept"):
            yield f"Languages: {', '.join(spoken)}"
    if word.element == "extension":
        for value in word.values:
            url, *others = objects_at(value, "extension")
            is_interpreter = text_of(url, "valueUri").endswith("interpreterRequired")
            if is_interpreter and others and others[0].get("valueBoolean") is True:
                yield "Interpreter required"


def _has_name(names: Any) -> bool:
    found = msgspec.json.decode(names) if names is not None else []
    return bool(found) and all(isinstance(name, dict) and name.keys() & {"family", "given", "text"} for name in found)


def _needs_text(language: Any) -> bool:
    codings = objects_at(language, "coding")
    common = summary_codes().languages
    return any(coding.get("system") != _BCP_47 or coding.get("code") not in common for coding in codings)


def _language_as_text(communication: Mapping[str, Any]) -> Mapping[str, Any]:
    language = communication.get("language")
    if not _needs_text(language):
        return communication
    stated = {"url": LANGUAGE_EXTENSION, "valueCodeableConcept": language}
    language_text = concept_text(language) or "Language not named"
    return {**communication, "language": {"extension": [stated], "text": language_text}}

"""The person of a summary: the shared Patient as IPS takes it, and who it is in words.

http://hl7.org/fhir/uv/ips/STU2/StructureDefinition-Patient-uv-ips.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from onestory.record.summary import moments
from onestory.record.summary.model import reviewed
from onestory.record.summary.narrative import paragraph, strong, text
from onestory.shared.fhir.json import all_named, each, named, objects, text_of

LANGUAGE = "https://onestory.nhs.uk/StructureDefinition/stated-language"
"""Extension on a language that is said in words: `valueCodeableConcept`, as the source codes it."""

_ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
_BCP_47 = "urn:ietf:bcp:47"
_UNNAMED = "Name not known"


def as_ips(patient: bytes) -> bytes:
    """The Patient with what IPS requires and nobody has said, marked as unknown. Everything else keeps its bytes."""
    shown: dict[str, Any] = msgspec.json.decode(patient, type=dict[str, msgspec.Raw])
    if "birthDate" not in shown:
        shown.setdefault("_birthDate", {"extension": [_ABSENT]})
    if not _has_name(shown.get("name")):
        shown["name"] = [{"text": _UNNAMED}]
    if "communication" in shown:
        spoken = msgspec.json.decode(shown["communication"])
        if any(_uncommon(each.get("language")) for each in objects(spoken)):
            shown["communication"] = [_in_words(each) for each in objects(spoken)]
    return msgspec.json.encode(shown)


def in_words(patient: Mapping[str, Any]) -> str:
    """XHTML: who it is."""
    own = text_of(patient, "id")
    known = len(own) == 10 and own.isdigit()
    number = f"NHS number {own[:3]} {own[3:6]} {own[6:]}" if known else "NHS number not known"
    born = f"born {moments.shown(patient.get('birthDate'))}" if patient.get("birthDate") else "date of birth not known"
    gender = text_of(patient, "gender") or "gender not stated"
    lines = [
        strong(text(name_of_person(patient))),
        text(", ".join([number, born, gender])),
        *map(text, _languages(patient)),
    ]
    return paragraph("<br/>".join(lines))


def name_of_person(resource: Mapping[str, Any]) -> str:
    """The name that a Patient, Practitioner or RelatedPerson goes by."""
    names = objects(resource, "name")
    official = [name for name in names if name.get("use") in ("official", "usual", None)] or names
    for name in official:
        parts = [*each(name, "prefix"), *each(name, "given"), *each(name, "family"), *each(name, "suffix")]
        if told := text_of(name, "text") or " ".join(part for part in parts if isinstance(part, str)):
            return told
    return _UNNAMED


def _languages(patient: Mapping[str, Any]) -> Iterator[str]:
    if spoken := all_named(patient, "communication", "language"):
        yield f"Languages: {', '.join(spoken)}"
    for extension in objects(patient, "extension"):
        if text_of(extension, "url").endswith("interpreterRequired") and extension.get("valueBoolean") is True:
            yield "Interpreter required"


def _has_name(names: Any) -> bool:
    found = msgspec.json.decode(names) if names is not None else []
    return bool(found) and all(isinstance(name, dict) and name.keys() & {"family", "given", "text"} for name in found)


def _uncommon(language: Any) -> bool:
    codings = objects(language, "coding")
    common = reviewed().languages
    return any(coding.get("system") != _BCP_47 or coding.get("code") not in common for coding in codings)


def _in_words(communication: Mapping[str, Any]) -> Mapping[str, Any]:
    language = communication.get("language")
    if not _uncommon(language):
        return communication
    stated = {"url": LANGUAGE, "valueCodeableConcept": language}
    told = named(language) or "A language that is not named"
    return {**communication, "language": {"extension": [stated], "text": told}}

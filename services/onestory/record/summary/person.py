"""Writes the shared Patient as IPS requires it, and the names of people.

http://hl7.org/fhir/uv/ips/STU2/StructureDefinition-Patient-uv-ips.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from onestory.record.summary.places import summary_codes
from onestory.shared.fhir.json import concept_text, objects_at, text_of, values_at

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


def name_of_person(resource: Mapping[str, Any]) -> str:
    """The usual name of a Patient, Practitioner or RelatedPerson, or the name of an Organization."""
    if name_text := text_of(resource, "name"):
        return name_text
    names = objects_at(resource, "name")
    official = [name for name in names if name.get("use") in ("official", "usual", None)] or names
    return next((full_name for name in official if (full_name := human_name(name))), _UNNAMED)


def human_name(name: Mapping[str, Any]) -> str:
    """A HumanName as text; "" if it is empty."""
    parts = [part for element in ("prefix", "given", "family", "suffix") for part in values_at(name, element)]
    return text_of(name, "text") or " ".join(part for part in parts if isinstance(part, str))


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

"""FHIR R4 data types, built as plain dicts: what every resource here is made of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from html import escape
from typing import Any

import orjson

from onestory.sample.codes.code import Code
from onestory.sample.network import Source

Json = dict[str, Any]

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
ODS_CODE = "https://fhir.nhs.uk/Id/ods-organization-code"
SDS_USER = "https://fhir.nhs.uk/Id/sds-user-id"
UCUM = "http://unitsofmeasure.org"
HL7 = "http://terminology.hl7.org/CodeSystem/"
UK_CORE = "https://fhir.hl7.org.uk/StructureDefinition/"
CONFIDENTIALITY = HL7 + "v3-Confidentiality"


def coding(code: Code) -> Json:
    return {"system": code.system, "code": code.code, "display": code.display}


def concept(code: Code, text: str = "") -> Json:
    """A CodeableConcept: the code, and how the source says it."""
    return {"coding": [coding(code)], "text": text or code.display}


def term(system: str, code: str, display: str = "") -> Json:
    """A CodeableConcept of an HL7 code system (`system` is its last part) or of a full URL."""
    shown = {"display": display} if display else {}
    return {"coding": [{"system": system if "://" in system else HL7 + system, "code": code, **shown}]}


def identifier(system: str, value: str) -> Json:
    return {"system": system, "value": value}


def known_as(kind: str, system: str, value: str, display: str = "") -> Json:
    """A logical reference: the thing is known by an identifier, and this source has no address for it."""
    shown = {"display": display} if display else {}
    return {"type": kind, "identifier": identifier(system, value), **shown}


def organisation(source: Source) -> Json:
    return known_as("Organization", ODS_CODE, source.ods, source.name)


def exactly(number: float, decimals: int) -> orjson.Fragment:
    """A decimal with its trailing zeros: `4.00` says more than `4.0`, and FHIR keeps the difference."""
    return orjson.Fragment(f"{number:.{decimals}f}".encode())


def quantity(number: float, decimals: int, unit: str, ucum: str) -> Json:
    return {"value": exactly(number, decimals), "unit": unit, "system": UCUM, "code": ucum}


def period(start: date, end: date | None = None) -> Json:
    return {"start": start.isoformat(), **({"end": end.isoformat()} if end else {})}


def narrative(text: str) -> Json:
    lines = "<br/>".join(escape(line) for line in text.splitlines())
    return {"status": "additional", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{lines}</p></div>'}


def labels(*confidentiality: str) -> list[Json]:
    return [{"system": CONFIDENTIALITY, "code": code} for code in confidentiality]


def present(fields: Mapping[str, Any]) -> Json:
    """These fields without the empty ones: FHIR has no empty strings, lists or objects."""
    return {
        name: value
        for name, value in fields.items()
        if value is not None and value != "" and value != [] and value != {}
    }

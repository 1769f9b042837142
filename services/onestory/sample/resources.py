"""FHIR R4 data types and Bundles as plain dicts: the parts of every published resource of the sample.

Each Bundle has tags that name its source (http://hl7.org/fhir/R4/bundle.html).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from html import escape
from typing import Any

import orjson

from onestory.sample.chance import fhir_instant, stable_uuid
from onestory.sample.codes import Code
from onestory.sample.network import SourceSystem

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
    """A CodeableConcept: the code, and the source's own text for it."""
    return {"coding": [coding(code)], "text": text or code.display}


def concept_from(system: str, code: str, display: str = "") -> Json:
    """A CodeableConcept of an HL7 code system (`system` is its last part) or of a full URL."""
    shown = {"display": display} if display else {}
    return {"coding": [{"system": system if "://" in system else HL7 + system, "code": code, **shown}]}


def identifier(system: str, value: str) -> Json:
    return {"system": system, "value": value}


def logical_reference(kind: str, system: str, value: str, display: str = "") -> Json:
    """A logical reference: by identifier, because this source has no address for the resource."""
    shown = {"display": display} if display else {}
    return {"type": kind, "identifier": identifier(system, value), **shown}


def organisation(source: SourceSystem) -> Json:
    return logical_reference("Organization", ODS_CODE, source.ods, source.name)


def fixed_decimal(number: float, decimals: int) -> orjson.Fragment:
    """A decimal with its trailing zeros: FHIR keeps the difference between `4.00` and `4.0`."""
    return orjson.Fragment(f"{number:.{decimals}f}".encode())


def quantity(number: float, decimals: int, unit: str, ucum: str) -> Json:
    return {"value": fixed_decimal(number, decimals), "unit": unit, "system": UCUM, "code": ucum}


def period(start: date, end: date | None = None) -> Json:
    return {"start": start.isoformat(), **({"end": end.isoformat()} if end else {})}


def narrative(text: str) -> Json:
    lines = "<br/>".join(escape(line) for line in text.splitlines())
    return {"status": "additional", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{lines}</p></div>'}


def security_labels(*confidentiality: str) -> list[Json]:
    return [{"system": CONFIDENTIALITY, "code": code} for code in confidentiality]


def without_empty(fields: Mapping[str, Any]) -> Json:
    """The fields without the empty ones: FHIR has no empty strings, lists or objects."""
    return {
        name: value
        for name, value in fields.items()
        if value is not None and value != "" and value != [] and value != {}
    }


SOURCE_SYSTEM = "https://onestory.nhs.uk/CodeSystem/source-system"
COMPLETE_TYPE = "https://onestory.nhs.uk/CodeSystem/complete-type"


@dataclass(frozen=True, slots=True)
class TroubleCase:
    """An example of a trouble for the manifest: the person, the source and the resource that show it."""

    trouble: str
    nhs_number: str
    source: SourceSystem
    resource: str
    """`Type/local id`, or `Type?identifier=system|value` where the source gives no ids."""
    note: str


@dataclass(frozen=True, slots=True)
class SampleSubmission:
    """One published Bundle. `body` holds its exact bytes, one line of JSON."""

    source: SourceSystem
    body: bytes
    entries: int
    """How many entries the Bundle has."""
    cases: tuple[TroubleCase, ...] = ()


def make_submission(source: SourceSystem, bundle: Json, cases: Iterable[TroubleCase] = ()) -> SampleSubmission:
    return SampleSubmission(source, orjson.dumps(bundle), len(bundle["entry"]), tuple(cases))


def transaction_bundle(
    source: SourceSystem, at: datetime, entries: Sequence[Json], *, complete: Sequence[str] = ()
) -> Json:
    """A transaction. `complete`: types of which this Bundle is the source's whole list for its person."""
    return _bundle("transaction", source, at, entries, complete)


def batch_bundle(source: SourceSystem, at: datetime, entries: Sequence[Json]) -> Json:
    return _bundle("batch", source, at, entries)


def collection_bundle(source: SourceSystem, at: datetime, entries: Sequence[Json]) -> Json:
    return _bundle("collection", source, at, entries)


def document_bundle(source: SourceSystem, at: datetime, entries: Sequence[Json]) -> Json:
    """A document: its first entry is the Composition (bdl-11); it has identifier and timestamp (bdl-9, bdl-10)."""
    bundle = _bundle("document", source, at, entries)
    document_id = identifier("urn:ietf:rfc:3986", f"urn:uuid:{stable_uuid('document', entries[0]['fullUrl'])}")
    return {"resourceType": "Bundle", "meta": bundle["meta"], "identifier": document_id, **bundle}


def resource_entry(url: str, resource: Json) -> Json:
    """An entry of a document or collection."""
    return {"fullUrl": url, "resource": resource}


def put_entry(url: str, resource: Json) -> Json:
    return _requested(url, resource, {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"})


def post_entry(url: str, resource: Json, if_none_exist: Json | None = None) -> Json:
    """A create. `if_none_exist`: the business identifier that makes it conditional."""
    request = {"method": "POST", "url": resource["resourceType"]}
    if if_none_exist:
        request["ifNoneExist"] = f"identifier={if_none_exist['system']}|{if_none_exist['value']}"
    return _requested(url, resource, request)


def delete_entry(kind: str, local_id: str, nhs_number: str) -> Json:
    """A retraction by the source's local id. The query names the person, because a DELETE has no body."""
    return {"request": {"method": "DELETE", "url": f"{kind}/{local_id}?patient={nhs_number}"}}


def _requested(url: str, resource: Json, request: Json) -> Json:
    return {"fullUrl": url, "resource": resource, "request": request}


def _bundle(
    kind: str, source: SourceSystem, at: datetime, entries: Sequence[Json], complete: Sequence[str] = ()
) -> Json:
    tags = [{"system": ODS_CODE, "code": source.ods}, {"system": SOURCE_SYSTEM, "code": source.system}]
    tags += [{"system": COMPLETE_TYPE, "code": name} for name in complete]
    return {
        "resourceType": "Bundle",
        "meta": {"tag": tags},
        "type": kind,
        "timestamp": fhir_instant(at, source.system),
        "entry": list(entries),
    }

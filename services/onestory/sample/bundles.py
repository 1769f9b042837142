"""FHIR Bundles as the sources publish them, with the tags that name the source (FHIR R4, http://hl7.org/fhir/R4/bundle.html)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from onestory.sample import calendar
from onestory.sample.chance import uuid_of
from onestory.sample.elements import ODS_CODE, Json, identifier
from onestory.sample.network import Source

SOURCE_SYSTEM = "https://onestory.nhs.uk/CodeSystem/source-system"
COMPLETE_TYPE = "https://onestory.nhs.uk/CodeSystem/complete-type"


@dataclass(frozen=True, slots=True)
class Case:
    """An example of a difficulty, for the manifest: who shows it, and in which resource of which source."""

    trouble: str
    nhs_number: str
    source: Source
    resource: str
    """`Type/local id`, or `Type?identifier=system|value` where the source gives no ids."""
    note: str


@dataclass(frozen=True, slots=True)
class Submission:
    """One published Bundle: the exact bytes, one line."""

    source: Source
    body: bytes
    entries: int
    cases: tuple[Case, ...] = ()


def submission(source: Source, bundle: Json, cases: Iterable[Case] = ()) -> Submission:
    return Submission(source, orjson.dumps(bundle), len(bundle["entry"]), tuple(cases))


def transaction(source: Source, at: datetime, entries: Sequence[Json], *, complete: Sequence[str] = ()) -> Json:
    """`complete`: types of which this Bundle is the source's whole list for its person."""
    return _bundle("transaction", source, at, entries, complete)


def batch(source: Source, at: datetime, entries: Sequence[Json]) -> Json:
    return _bundle("batch", source, at, entries)


def collection(source: Source, at: datetime, entries: Sequence[Json]) -> Json:
    return _bundle("collection", source, at, entries)


def document(source: Source, at: datetime, entries: Sequence[Json]) -> Json:
    """The first entry is the Composition (bdl-11); the document has an identifier and a timestamp (bdl-9, bdl-10)."""
    bundle = _bundle("document", source, at, entries)
    named = identifier("urn:ietf:rfc:3986", f"urn:uuid:{uuid_of('document', entries[0]['fullUrl'])}")
    return {"resourceType": "Bundle", "meta": bundle["meta"], "identifier": named, **bundle}


def entry(url: str, resource: Json) -> Json:
    """An entry of a document or collection."""
    return {"fullUrl": url, "resource": resource}


def put(url: str, resource: Json) -> Json:
    return _requested(url, resource, {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"})


def post(url: str, resource: Json, if_none_exist: Json | None = None) -> Json:
    """`if_none_exist`: the business identifier that makes the create conditional."""
    request = {"method": "POST", "url": resource["resourceType"]}
    if if_none_exist:
        request["ifNoneExist"] = f"identifier={if_none_exist['system']}|{if_none_exist['value']}"
    return _requested(url, resource, request)


def delete(kind: str, local_id: str, nhs_number: str) -> Json:
    """A retraction by the source's local id; the query names the person, whom no resource body can name here."""
    return {"request": {"method": "DELETE", "url": f"{kind}/{local_id}?patient={nhs_number}"}}


def _requested(url: str, resource: Json, request: Json) -> Json:
    return {"fullUrl": url, "resource": resource, "request": request}


def _bundle(kind: str, source: Source, at: datetime, entries: Sequence[Json], complete: Sequence[str] = ()) -> Json:
    tags = [{"system": ODS_CODE, "code": source.ods}, {"system": SOURCE_SYSTEM, "code": source.system}]
    tags += [{"system": COMPLETE_TYPE, "code": name} for name in complete]
    return {
        "resourceType": "Bundle",
        "meta": {"tag": tags},
        "type": kind,
        "timestamp": calendar.instant(at, source.system),
        "entry": list(entries),
    }

"""The directory of each organisation: itself, its places, services and staff. It is about no person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from onestory.sample import bundles, calendar
from onestory.sample.bundles import Submission
from onestory.sample.chance import stream
from onestory.sample.codes.code import Code
from onestory.sample.elements import ODS_CODE, SDS_USER, Json, concept, identifier, present, term
from onestory.sample.network import SOURCES, Source
from onestory.sample.staff import Worker, workers

ODS_SITE = "https://fhir.nhs.uk/Id/ods-site-code"
JOB_ROLE = "https://fhir.hl7.org.uk/CodeSystem/UKCore-SDSJobRoleName"

_SERVICES: dict[str, tuple[Json, ...]] = {
    "gp": (concept(Code("788007007", "General practice service")),),
    "community": ({"text": "District nursing"}, {"text": "Health visiting"}),
    "social-care": ({"text": "Adult social care"},),
    "mental-health": (concept(Code("788002001", "Adult mental health service")),),
    "hospital": (
        concept(Code("789718008", "Cardiology service")),
        concept(Code("310161006", "Orthopaedic service")),
    ),
}


def submissions() -> Iterator[Submission]:
    """One transaction for each organisation; the authority for demographics has no directory."""
    for source in SOURCES:
        if source.kind != "demographics":
            at = calendar.moment(calendar.days_ago(900), stream("directory", source.ods))
            entries = [_entry(resource) for resource in _resources(source, at)]
            yield bundles.submission(source, bundles.transaction(source, at, entries))


def _resources(source: Source, at: datetime) -> Iterator[Json]:
    yield _resource(source, at, "Organization", source.ods, _organisation(source))
    yield _resource(source, at, "Location", f"{source.ods}-site", _location(source))
    for place, kind in enumerate(_SERVICES.get(source.kind, ())):
        yield _resource(source, at, "HealthcareService", f"{source.ods}-service-{place}", _service(source, kind))
    for worker in workers(source):
        yield _resource(source, at, "Practitioner", f"{source.ods}-{worker.key}", _practitioner(worker))
        yield _resource(source, at, "PractitionerRole", f"{source.ods}-{worker.key}-role", _role(source, worker))


def _organisation(source: Source) -> Json:
    return {
        "identifier": [identifier(ODS_CODE, source.ods)],
        "active": True,
        "name": source.name,
        "address": [{"line": ["1 Civic Square"], "city": "Harbourton", "postalCode": source.postcode}],
        "telecom": [{"system": "phone", "value": "01632 960000", "use": "work"}],
    }


def _location(source: Source) -> Json:
    return {
        "identifier": [identifier(ODS_SITE, f"{source.ods}A")],
        "status": "active",
        "name": f"{source.name}, main site",
        "address": {"city": "Harbourton", "postalCode": source.postcode},
        "managingOrganization": {"reference": f"Organization/{source.ods}"},
    }


def _service(source: Source, kind: Json) -> Json:
    return {
        "active": True,
        "providedBy": {"reference": f"Organization/{source.ods}"},
        "type": [kind],
        "name": f"{kind['text']}, {source.name}",
        "location": [{"reference": f"Location/{source.ods}-site"}],
    }


def _practitioner(worker: Worker) -> Json:
    return {
        "identifier": [identifier(SDS_USER, worker.user_id)],
        "active": True,
        "name": [{"family": worker.family, "given": [worker.given]}],
    }


def _role(source: Source, worker: Worker) -> Json:
    return {
        "active": True,
        "practitioner": {"reference": f"Practitioner/{source.ods}-{worker.key}"},
        "organization": {"reference": f"Organization/{source.ods}"},
        "code": [term(JOB_ROLE, *worker.role)],
    }


def _resource(source: Source, at: datetime, kind: str, local_id: str, fields: Json) -> Json:
    meta = {"lastUpdated": calendar.instant(at, source.system)}
    return {"resourceType": kind, "id": local_id, "meta": meta, **present(fields)}


def _entry(resource: Json) -> Json:
    # Full URLs are addresses here, so that the relative references between these entries resolve.
    kind, local_id = resource["resourceType"], resource["id"]
    return bundles.put(f"https://directory.example.org/fhir/{kind}/{local_id}", resource)

"""The directory of each organisation: itself, its places, services and staff. It is about no person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from onestory.sample import chance, resources
from onestory.sample.chance import stream
from onestory.sample.network import SOURCES, SourceSystem
from onestory.sample.resources import (
    ODS_CODE,
    SDS_USER,
    Json,
    PublishedBundle,
    identifier,
    known_as,
    period,
    present,
    term,
)
from onestory.sample.staff import Post, SampleTeam, Worker, posts, teams, workers

ODS_SITE = "https://fhir.nhs.uk/Id/ods-site-code"
DOS_SERVICE = "https://fhir.nhs.uk/Id/dos-service-id"
ONESTORY = "https://onestory.nhs.uk"
JOB_ROLE = "https://fhir.hl7.org.uk/CodeSystem/UKCore-SDSJobRoleName"


def directory_submissions() -> Iterator[PublishedBundle]:
    """One transaction for each organisation; the authority for demographics has no directory."""
    for source in SOURCES:
        if source.kind != "demographics":
            at = chance.moment(chance.days_ago(900), stream("directory", source.ods))
            entries = [_entry(resource) for resource in _resources(source, at)]
            yield resources.submission(source, resources.transaction(source, at, entries))


def _resources(source: SourceSystem, at: datetime) -> Iterator[Json]:
    yield _resource(source, at, "Organization", source.ods, _organisation(source))
    yield _resource(source, at, "Location", f"{source.ods}-site", _location(source))
    for team in teams(source):
        yield _resource(source, at, "HealthcareService", team.local_id, _service(source, team))
    for worker in workers(source):
        yield _resource(source, at, "Practitioner", f"{source.ods}-{worker.key}", _practitioner(worker))
    for post in posts(source):
        yield _resource(source, at, "PractitionerRole", post.local_id, _role(source, post))


def _organisation(source: SourceSystem) -> Json:
    return {
        "identifier": [identifier(ODS_CODE, source.ods)],
        "active": True,
        "name": source.name,
        "address": [{"line": ["1 Civic Square"], "city": "Harbourton", "postalCode": source.postcode}],
        "telecom": [{"system": "phone", "value": "01632 960000", "use": "work"}],
    }


def _location(source: SourceSystem) -> Json:
    return {
        "identifier": [identifier(ODS_SITE, f"{source.ods}A")],
        "status": "active",
        "name": f"{source.name}, main site",
        "address": {"city": "Harbourton", "postalCode": source.postcode},
        "managingOrganization": {"reference": f"Organization/{source.ods}"},
    }


def _service(source: SourceSystem, team: SampleTeam) -> Json:
    return {
        "extension": list(_extensions(source, team)),
        "identifier": [identifier(DOS_SERVICE, team.dos_service_id)],
        "active": True,
        "providedBy": {"reference": f"Organization/{source.ods}"},
        "category": [term(f"{ONESTORY}/CodeSystem/team-kind", team.kind.code)],
        "type": [team.kind.type],
        "name": team.name,
        "location": [{"reference": f"Location/{source.ods}-site"}],
    }


def _extensions(source: SourceSystem, team: SampleTeam) -> Iterator[Json]:
    if team.network:
        yield {"url": f"{ONESTORY}/StructureDefinition/team-network", "valueString": team.network}
    for practice in team.practices:
        served = identifier(ODS_CODE, practice)
        yield {"url": f"{ONESTORY}/StructureDefinition/practice-served", "valueIdentifier": served}
    contact = {
        "name": f"Duty manager, {source.name}",
        "telecom": [
            {"system": "phone", "value": team.phone},
            {"system": "email", "value": f"duty.{source.ods.lower()}@example.org"},
        ],
    }
    yield {"url": f"{ONESTORY}/StructureDefinition/escalation-contact", "valueContactDetail": contact}


def _practitioner(worker: Worker) -> Json:
    return {
        "identifier": [identifier(SDS_USER, worker.user_id)],
        "active": True,
        "name": [{"family": worker.family, "given": [worker.given]}],
    }


def _role(source: SourceSystem, post: Post) -> Json:
    worker = post.worker
    return {
        "active": True,
        "period": period(post.start, post.end),
        # Who comes from elsewhere has no Practitioner in this organisation's own directory.
        "practitioner": {"reference": f"Practitioner/{source.ods}-{worker.key}"}
        if worker in workers(source)
        else known_as("Practitioner", SDS_USER, worker.user_id, worker.display),
        "organization": {"reference": f"Organization/{source.ods}"},
        "code": [term(JOB_ROLE, *worker.role)],
        "healthcareService": [{"reference": f"HealthcareService/{team.local_id}"} for team in post.teams],
    }


def _resource(source: SourceSystem, at: datetime, kind: str, local_id: str, fields: Json) -> Json:
    meta = {"lastUpdated": chance.instant(at, source.system)}
    return {"resourceType": kind, "id": local_id, "meta": meta, **present(fields)}


def _entry(resource: Json) -> Json:
    # Full URLs are addresses here, so that the relative references between these entries resolve.
    kind, local_id = resource["resourceType"], resource["id"]
    return resources.put(f"https://directory.example.org/fhir/{kind}/{local_id}", resource)

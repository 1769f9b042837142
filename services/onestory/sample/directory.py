"""The directory of each organisation: its site, teams and staff, and the Bundle that publishes them.

It holds no statement about a person, and it is the same for every seed. References to staff come from here too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

from onestory.sample.chance import days_ago, fhir_instant, fingerprint, random_stream, working_time
from onestory.sample.network import DIRECTORY, FEDERATION, PRACTICES, SOURCES, SourceSystem
from onestory.sample.networks import ORGANISATION_KIND, networks, providers
from onestory.sample.people import NAMES
from onestory.sample.resources import (
    ODS_CODE,
    SDS_USER,
    Json,
    SampleSubmission,
    concept_from,
    identifier,
    logical_reference,
    make_submission,
    period,
    put_entry,
    transaction_bundle,
    without_empty,
)
from onestory.sample.teams import DOS_SERVICE, ONESTORY, SampleTeam, teams

ODS_SITE = "https://fhir.nhs.uk/Id/ods-site-code"
_KIND_OF_ORGANISATION = {
    "gp": "practice",
    "community": "trust",
    "mental-health": "trust",
    "hospital": "trust",
    "social-care": "council",
    "directory": "integrated-care-board",
    "charity": "charity",
    "federation": "company",
    "ambulance": "ambulance",
}
JOB_ROLE = "https://fhir.hl7.org.uk/CodeSystem/UKCore-SDSJobRoleName"


_MAX_ENTRIES = 40


def directory_submissions() -> Iterator[SampleSubmission]:
    """One transaction for each organisation, more for a large one. The demographic authority has no directory."""
    for source in SOURCES:
        if source.kind != "demographics":
            at = working_time(days_ago(900), random_stream("directory", source.ods))
            entries = [_entry(resource) for resource in _resources(source, at)]
            for first in range(0, len(entries), _MAX_ENTRIES):
                yield make_submission(source, transaction_bundle(source, at, entries[first : first + _MAX_ENTRIES]))


def _resources(source: SourceSystem, at: datetime) -> Iterator[Json]:
    yield _resource(source, at, "Organization", source.ods, _organisation(source))
    yield _resource(source, at, "Location", f"{source.ods}-site", _location(source))
    for team in teams(source):
        yield _resource(source, at, "HealthcareService", team.local_id, _service(source, team))
    for worker in workers(source):
        yield _resource(source, at, "Practitioner", f"{source.ods}-{worker.key}", _practitioner(worker))
    for post in posts(source):
        yield _resource(source, at, "PractitionerRole", post.local_id, _role(source, post))
    if source == DIRECTORY:
        for kind, local_id, fields in [*networks(), *providers()]:
            yield _resource(source, at, kind, local_id, fields)


def _organisation(source: SourceSystem) -> Json:
    return {
        "identifier": [identifier(ODS_CODE, source.ods)],
        "active": True,
        "type": [concept_from(ORGANISATION_KIND, _KIND_OF_ORGANISATION[source.kind])],
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
        "category": [concept_from(f"{ONESTORY}/CodeSystem/team-kind", team.kind.code)],
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
        "availableTime": [{"daysOfWeek": list(post.weekdays)}] if post.weekdays else [],
        # A worker of another organisation has no Practitioner in this directory.
        "practitioner": {"reference": f"Practitioner/{source.ods}-{worker.key}"}
        if worker in workers(source)
        else logical_reference("Practitioner", SDS_USER, worker.user_id, worker.display),
        "organization": {"reference": f"Organization/{source.ods}"},
        "code": [concept_from(JOB_ROLE, *worker.role)],
        "healthcareService": [{"reference": f"HealthcareService/{team.local_id}"} for team in post.teams],
    }


def _resource(source: SourceSystem, at: datetime, kind: str, local_id: str, fields: Json) -> Json:
    meta = {"lastUpdated": fhir_instant(at, source.system)}
    return {"resourceType": kind, "id": local_id, "meta": meta, **without_empty(fields)}


def _entry(resource: Json) -> Json:
    # Full URLs are addresses here, so that the relative references between these entries resolve.
    kind, local_id = resource["resourceType"], resource["id"]
    return put_entry(f"https://directory.example.org/fhir/{kind}/{local_id}", resource)


class Worker(NamedTuple):
    """A member of staff. `key` names the worker within the organisation; `user_id` is the SDS user id."""

    key: str
    given: str
    family: str
    user_id: str
    role: tuple[str, str]
    """NHS job role code and name."""

    @property
    def display(self) -> str:
        return f"{self.given} {self.family}"


class Post(NamedTuple):
    """A PractitionerRole: a worker at teams of one organisation, as that organisation states it.

    Without an `end` it is open. With `weekdays` (`mon` to `sun`) it is for these days only.
    """

    local_id: str
    worker: Worker
    teams: tuple[SampleTeam, ...]
    start: date
    end: date | None = None
    weekdays: tuple[str, ...] = ()


_ROLES: dict[str, tuple[tuple[str, str], ...]] = {
    "gp": (
        ("R0260", "General Medical Practitioner"),
        ("R0600", "Specialist Nurse Practitioner"),
        ("R0260", "General Medical Practitioner"),
    ),
    "community": (("R0570", "Community Nurse"), ("R0560", "Health Visitor"), ("R8003", "Health professional")),
    "social-care": (("R1690", "Social Worker"),),
    "mental-health": (("R0050", "Consultant"), ("R0550", "Community Mental Health Nurse")),
    "hospital": (("R0050", "Consultant"), ("R0600", "Specialist Nurse Practitioner")),
    "demographics": (),
    "directory": (),
    "charity": (("R8003", "Health professional"),),
    "federation": (("R8003", "Health professional"), ("R0260", "General Medical Practitioner")),
    "ambulance": (("R8003", "Health professional"),),
}


@functools.cache
def workers(source: SourceSystem) -> tuple[Worker, ...]:
    """The staff of this organisation, in the order of its directory."""
    return tuple(_worker(source, index, role) for index, role in enumerate(_ROLES[source.kind]))


def _worker(source: SourceSystem, index: int, role: tuple[str, str]) -> Worker:
    chance = random_stream("staff", source.ods, index)
    english = NAMES[0]
    number = int.from_bytes(fingerprint("user", source.ods, index)[:4]) % 1_000_000
    given = chance.choice(english.female + english.male)
    return Worker(f"staff-{index}", given, chance.choice(english.family), f"555{number:09d}", role)


def posts(source: SourceSystem) -> Iterator[Post]:
    """The roles in this organisation's teams: its own staff, each in all teams of one kind, then visiting staff."""
    offered = teams(source)
    kinds = list(dict.fromkeys(team.kind.code for team in offered))
    for index, worker in enumerate(workers(source)):
        own_teams = tuple(team for team in offered if team.kind.code == kinds[index % len(kinds)])
        start = _FIRST_POST_START.replace(year=_FIRST_POST_START.year + index)
        yield Post(f"{source.ods}-{worker.key}-role", worker, own_teams, start)
    for visitor, practice, first_day, last_day in _SECOND_POSTS:
        if practice == source:
            yield Post(f"{source.ods}-visitor-{visitor.key}-role", visitor, offered[:1], first_day, last_day)
    for doctor, practice, weekdays in _SESSIONS:
        if practice == source:
            local_id = f"{source.ods}-session-{doctor.key}-role"
            yield Post(local_id, doctor, offered[:1], date(2026, 4, 1), weekdays=weekdays)


def staff_reference(source: SourceSystem, index: int = 0) -> Json:
    """A logical reference to a Practitioner by SDS user id: no source knows another system's Practitioner ids."""
    worker = workers(source)[index]
    return logical_reference("Practitioner", SDS_USER, worker.user_id, worker.display)


PHARMACIST = _worker(PRACTICES[0], 9, ("R8003", "Health professional"))
"""Works in all practices of one network, and is on the staff of none of them."""
SESSIONAL_GP = workers(PRACTICES[0])[2]
"""Also works at a second practice, for a limited period."""
FORMER_LOCUM = workers(PRACTICES[2])[2]
"""Worked at a practice of another network, and has left it."""

POOL_DOCTOR = workers(FEDERATION)[1]
"""Of the sessional doctors: works at two practices of two networks, each on its own weekdays."""

_SESSIONS: tuple[tuple[Worker, SourceSystem, tuple[str, ...]], ...] = (
    (POOL_DOCTOR, PRACTICES[1], ("tue",)),
    (POOL_DOCTOR, PRACTICES[3], ("thu", "fri")),
)
_FIRST_POST_START = date(2019, 9, 2)
_SECOND_POSTS: tuple[tuple[Worker, SourceSystem, date, date | None], ...] = (
    *((PHARMACIST, practice, date(2024, 4, 2), None) for practice in PRACTICES[:3]),
    (SESSIONAL_GP, PRACTICES[1], date(2026, 1, 6), date(2027, 12, 31)),
    (FORMER_LOCUM, PRACTICES[4], date(2025, 10, 1), date(2026, 3, 31)),
)

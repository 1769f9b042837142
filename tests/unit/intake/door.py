"""Intake for tests: prepare a submission with fixed ids and a fixed clock."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from onestory.intake.domain.conditions import NO_CONDITIONS, DecidedConditions
from onestory.intake.domain.parse import parse_submission
from onestory.intake.domain.prepare import prepare
from onestory.intake.domain.request import (
    Deployment,
    KnownResource,
    PreparedSubmission,
    PublisherClaims,
    RequestContext,
    Submission,
    apply_claims,
)
from onestory.shared.errors import OneStoryError
from onestory.shared.events import DirectoryChanged, Entry, RecordChanged, Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier

AMINA = "9990000018"
BEN = "9990000026"
ORGANISATION = "A81001"
SOURCE = Source(ORGANISATION, "emis-web")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEYS = Keys(b"a secret of the tests, long enough")
DOOR = Deployment(KEYS, "http://door/fhir", frozenset({"X26/pds"}), {"A81001/emis-web": "old-system"})
NOTHING_SAID = PublisherClaims()

Json = dict[str, Any]


def person(nhs_number: str) -> PersonIdentifier:
    return PersonIdentifier(NHS_NUMBER_SYSTEM, nhs_number)


def shared_id(nhs_number: str, resource_type: str, local_id: str, source: Source = SOURCE) -> str:
    key = KEYS.person_key(person(nhs_number))
    return KEYS.shared_id(key, source.organisation, source.system, resource_type, local_id)


def directory_id(resource_type: str, local_id: str) -> str:
    return KEYS.resource_hash(SOURCE.organisation, SOURCE.system, resource_type, local_id)


def decide(
    submission: Submission,
    *,
    organisation: str = ORGANISATION,
    system: str = SOURCE.system,
    key: str = "",
    said: PublisherClaims = NOTHING_SAID,
    known: Mapping[str, KnownResource] | None = None,
    number: int = 1,
    role: str = "",
    conditions: DecidedConditions = NO_CONDITIONS,
) -> PreparedSubmission:
    """Prepare the submission as intake does. Each `number` gives other ids."""
    arrival = RequestContext(DOOR, organisation, system, NOW, UUID(int=number), "correlation", key, role)
    opened = parse_submission(submission, DOOR.base_url)
    return prepare(
        opened, apply_claims(arrival, said, opened.claims()), known or {}, _ids(number).__next__, conditions=conditions
    )


def _ids(number: int) -> Iterator[UUID]:
    return (UUID(int=each) for each in itertools.count(number * 1000))


def post(bundle: Json) -> Submission:
    return Submission("POST", json.dumps(bundle).encode())


def put(resource: Json) -> Submission:
    return Submission("PUT", json.dumps(resource).encode(), resource["resourceType"], resource["id"])


def refused(submission: Submission, **options: Any) -> OneStoryError:
    """The error by which intake refuses the submission."""
    with pytest.raises(OneStoryError) as raised:
        decide(submission, **options)
    return raised.value


def place(error: OneStoryError) -> str:
    """The expression of the first issue."""
    return error.issues[0].expression


def statement(prepared: PreparedSubmission) -> RecordChanged:
    """The only event, which is about a person."""
    (event,) = prepared.events
    assert isinstance(event, RecordChanged)
    return event


def directory(prepared: PreparedSubmission) -> list[Entry]:
    """The entries of events that are all about the directory."""
    assert all(isinstance(event, DirectoryChanged) for event in prepared.events)
    return [event.entry for event in prepared.events if isinstance(event, DirectoryChanged)]


def content(entry: Entry) -> Json:
    """The resource of an entry."""
    assert entry.content is not None
    resource: Json = json.loads(entry.content)
    return resource


def contents(prepared: PreparedSubmission) -> list[Json]:
    return [content(entry) for entry in statement(prepared).entries]


def bundle(kind: str, *resources: Json, **elements: Any) -> Json:
    """A Bundle without requests. Each entry has the fullUrl urn:uuid:<its index>."""
    entries = [{"fullUrl": full_url(index), "resource": each} for index, each in enumerate(resources)]
    return {"resourceType": "Bundle", "type": kind, "entry": entries, **elements}


def posted(kind: str, *resources: Json, **elements: Any) -> Json:
    """A transaction or batch that creates each resource. Each entry has the fullUrl urn:uuid:<its index>."""
    entries = [
        {"fullUrl": full_url(index), "resource": each, "request": {"method": "POST", "url": each["resourceType"]}}
        for index, each in enumerate(resources)
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": entries, **elements}


def full_url(index: int) -> str:
    return f"urn:uuid:00000000-0000-4000-8000-{index:012d}"


def unnumbered(local_id: str, **elements: Any) -> Json:
    """A Patient without a known NHS number."""
    return {"resourceType": "Patient", "id": local_id, "name": [{"family": "Okafor"}], **elements}


def organization(local_id: str, **elements: Any) -> Json:
    return {"resourceType": "Organization", "id": local_id, "name": "Harbour Practice", **elements}


def practitioner(local_id: str, **elements: Any) -> Json:
    return {"resourceType": "Practitioner", "id": local_id, "name": [{"family": "Jones"}], **elements}


def observation(subject: Json | None, local_id: str = "o1", **elements: Any) -> Json:
    said = {"resourceType": "Observation", "id": local_id, "status": "final", "code": {"text": "Weight"}, **elements}
    return {**said, "subject": subject} if subject else said

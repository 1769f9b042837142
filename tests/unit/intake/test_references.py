"""References are rewritten to the ids of the record, and all other content keeps its bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.people import condition, patient
from tests.unit.intake.door import (
    AMINA,
    BEN,
    Json,
    bundle,
    content,
    contents,
    decide,
    directory,
    directory_id,
    full_url,
    observation,
    organization,
    place,
    post,
    posted,
    practitioner,
    put,
    refused,
    shared_id,
    statement,
)

from onestory.shared.errors import Unprocessable
from onestory.shared.identity import NHS_NUMBER_SYSTEM

SUBJECT = {"reference": f"Patient/{AMINA}"}


def rewritten(reference: Json, element: str = "encounter") -> Json:
    """The result of rewriting one Reference of an Observation."""
    elements: Json = {element: reference}
    (resource,) = contents(decide(put(observation(SUBJECT, **elements))))
    result: Json = resource[element]
    return result


def test_a_reference_within_the_submission_leads_to_the_shared_id() -> None:
    encounter = {"resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"}}
    by_url = observation({"reference": full_url(0)}, "o1", encounter={"reference": full_url(1)})
    by_id = observation({"reference": full_url(0)}, "o2", encounter={"reference": "Encounter/e1"})

    *_, first, second = contents(decide(post(bundle("collection", patient(AMINA, "p1"), encounter, by_url, by_id))))

    expected = {"reference": f"Encounter/{shared_id(AMINA, 'Encounter', 'e1')}"}
    assert first["encounter"] == second["encounter"] == expected
    assert first["subject"] == {"reference": f"Patient/{AMINA}"}


def test_an_absolute_full_url_is_met_by_absolute_and_relative_references() -> None:
    gathered = bundle("collection", patient(AMINA, "p1"), condition(AMINA, "c1"))
    for entry in gathered["entry"]:
        kind, own = entry["resource"]["resourceType"], entry["resource"]["id"]
        entry["fullUrl"] = f"https://gp.example/fhir/{kind}/{own}"
    gathered["entry"][1]["resource"]["subject"] = {"reference": "https://gp.example/fhir/Patient/p1"}

    assert contents(decide(post(gathered)))[1]["subject"] == {"reference": f"Patient/{AMINA}"}


def test_a_full_url_that_disagrees_with_the_id_is_refused() -> None:
    gathered = bundle("collection", patient(AMINA, "p1"))
    gathered["entry"][0]["fullUrl"] = "https://gp.example/fhir/Patient/p2"

    assert place(refused(post(gathered))) == "Bundle.entry[0].fullUrl"


def test_a_relative_reference_leads_to_the_sources_own_resource_of_the_same_person() -> None:
    expected = {"reference": f"Encounter/{shared_id(AMINA, 'Encounter', 'e9')}"}

    assert rewritten({"reference": "Encounter/e9"}) == expected
    assert rewritten({"reference": "Encounter/e9/_history/3"}) == expected


def test_a_relative_reference_to_a_directory_type_leads_to_the_directory() -> None:
    assert rewritten({"reference": "Organization/o1"}, "device") == {
        "reference": f"Organization/{directory_id('Organization', 'o1')}"
    }


def test_our_own_ids_are_kept() -> None:
    own = {"reference": f"Encounter/{shared_id(BEN, 'Encounter', 'e1')}"}

    assert rewritten(own) == own
    assert rewritten({"reference": f"http://door/fhir/{own['reference']}"}) == own
    assert rewritten({"reference": f"Organization/{directory_id('Organization', 'o1')}"}, "device")


def test_an_absolute_reference_to_elsewhere_is_kept() -> None:
    elsewhere = {"reference": "https://directory.example/FHIR/Organization/RX001/_history/2"}

    assert rewritten(elsewhere, "device") == elsewhere


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"type": "Encounter", "identifier": {"system": "urn:s", "value": "1|2"}}),
        (
            {"display": 'A "visit"'},
            {"type": "Encounter", "identifier": {"system": "urn:s", "value": "1|2"}, "display": 'A "visit"'},
        ),
        ({"type": "Encounter"}, {"type": "Encounter", "identifier": {"system": "urn:s", "value": "1|2"}}),
        ({"identifier": {"value": "7"}}, {"type": "Encounter", "identifier": {"value": "7"}}),
        (
            {"type": "Encounter", "identifier": {"value": "7"}},
            {"type": "Encounter", "identifier": {"value": "7"}},
        ),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_conditional_reference_becomes_a_logical_one(given: Json, expected: Json, first: bool) -> None:
    conditional = {"reference": "Encounter?identifier=urn:s|1%7C2"}

    assert rewritten({**conditional, **given} if first else {**given, **conditional}) == expected


@pytest.mark.parametrize(
    "search", ["identifier=a%20b|1", "identifier=urn:s|%01", "identifier=urn:s|%20", "identifier=%00|1"]
)
def test_a_conditional_reference_that_no_identifier_can_hold_is_refused(search: str) -> None:
    error = refused(put(observation({"reference": f"Patient/{AMINA}"}, encounter={"reference": f"Encounter?{search}"})))

    assert place(error) == "Observation.encounter.reference"


def test_a_conditional_reference_to_a_person_leads_to_the_person() -> None:
    conditional = {"reference": f"Patient?identifier={NHS_NUMBER_SYSTEM}|{BEN}"}

    assert rewritten(conditional, "specimen") == {"reference": f"Patient/{BEN}"}


def test_a_contained_resource_is_referenced_as_it_was() -> None:
    device = {"resourceType": "Device", "id": "d", "patient": SUBJECT, "parent": {"reference": "#"}}
    held = observation(SUBJECT, contained=[device], device={"reference": "#d"})

    (resource,) = contents(decide(put(held)))

    assert resource["device"] == {"reference": "#d"}
    assert resource["contained"] == [device]


@pytest.mark.parametrize(
    "reference",
    [
        "#d",
        "urn:uuid:00000000-0000-4000-8000-000000000099",
        "urn:oid:1.2.3",
        "patient/1",
        "Encounter",
        "Encounters/1",
        "Encounter/1/2",
        "Encounter/a b",
        "Encounter?status=finished",
        "Encounter?identifier=urn:s|1&status=finished",
        "../Encounter/1",
        "ftp://x/Encounter/1",
        "1",
    ],
)
def test_a_reference_that_leads_nowhere_is_refused_at_its_place(reference: str) -> None:
    error = refused(put(observation(SUBJECT, encounter={"reference": reference})))

    assert isinstance(error, Unprocessable)
    assert place(error) == "Observation.encounter.reference"
    assert reference not in error.issues[0].diagnostics


def test_the_place_of_a_bad_reference_is_exact() -> None:
    members = [{"reference": "Observation/1"}, {"reference": "#nobody"}]

    error = refused(post(posted("transaction", patient(AMINA, "p1"), observation(SUBJECT, hasMember=members))))

    assert place(error) == "Bundle.entry[1].resource.hasMember[1].reference"


def test_text_that_looks_like_a_reference_keeps_its_bytes() -> None:
    awkward = '{"reference": "Patient/p1"} "reference":"Encounter/e1"'
    note = observation(SUBJECT, note=[{"text": awkward}], valueString='"reference": "Encounter/e1"')

    (resource,) = contents(decide(put(note)))

    assert resource["note"] == [{"text": awkward}]
    assert resource["valueString"] == '"reference": "Encounter/e1"'


def test_an_element_that_is_only_called_reference_keeps_its_bytes() -> None:
    given: dict[str, Any] = {
        "resourceType": "Immunization",
        "id": "i1",
        "status": "completed",
        "vaccineCode": {"text": "MMR"},
        "occurrenceString": "in 2020",
        "patient": SUBJECT,
        "education": [{"reference": "Encounter/e1"}, {"reference": "Patient/p1"}],
        "location": {"reference": "Encounter?identifier=urn:s|1", "type": "Encounter"},
        "encounter": {"reference": "Encounter/e1"},
        "extension": [{"url": "urn:x", "valueExpression": {"language": "text/cql", "reference": "Patient/p1"}}],
    }

    (resource,) = contents(decide(put(given)))

    assert resource["education"] == given["education"]
    assert resource["extension"] == given["extension"]
    assert resource["encounter"] == {"reference": f"Encounter/{shared_id(AMINA, 'Encounter', 'e1')}"}
    assert resource["location"] == {"type": "Encounter", "identifier": {"system": "urn:s", "value": "1"}}


def test_a_detected_issue_keeps_its_reference_uri() -> None:
    issue = {"resourceType": "DetectedIssue", "id": "d1", "status": "final", "patient": SUBJECT}

    (resource,) = contents(decide(put({**issue, "reference": "Patient/p1"})))

    assert resource["reference"] == "Patient/p1"


def test_references_of_elements_that_are_themselves_called_reference_are_found() -> None:
    plan = {
        "resourceType": "CarePlan",
        "id": "c1",
        "status": "active",
        "intent": "plan",
        "subject": SUBJECT,
        "activity": [{"reference": {"reference": "Task/t1"}}],
    }

    (resource,) = contents(decide(put(plan)))

    assert resource["activity"] == [{"reference": {"reference": f"Task/{shared_id(AMINA, 'Task', 't1')}"}}]


def test_references_in_extensions_and_contained_resources_are_rewritten() -> None:
    inside: Json = {"resourceType": "Provenance", "id": "x", "recorded": "2026-01-01T00:00:00Z"}
    inside |= {"target": [{"reference": "Encounter/e1"}], "agent": [{"who": {"reference": "#"}}]}
    extension = [{"url": "urn:x", "valueReference": {"reference": "Encounter/e1"}}]
    held = observation(SUBJECT, contained=[inside], extension=extension, focus=[{"reference": "#x"}])

    (resource,) = contents(decide(put(held)))

    expected = f"Encounter/{shared_id(AMINA, 'Encounter', 'e1')}"
    assert resource["extension"][0]["valueReference"]["reference"] == expected
    assert resource["contained"][0]["target"] == [{"reference": expected}]


def test_in_the_directory_references_lead_to_the_directory() -> None:
    role = {"resourceType": "PractitionerRole", "id": "r1", "practitioner": {"reference": full_url(0)}}
    role["organization"] = {"reference": "Organization/o1"}

    _, entry = directory(decide(post(posted("transaction", practitioner("d1"), role))))

    assert content(entry)["practitioner"] == {"reference": f"Practitioner/{directory_id('Practitioner', 'd1')}"}
    assert content(entry)["organization"] == {"reference": f"Organization/{directory_id('Organization', 'o1')}"}


def test_a_reference_that_needs_no_change_keeps_its_bytes() -> None:
    body = json.dumps(organization("o1", partOf={"reference": "https://x/Organization/1"})).replace("//", "\\/\\/")
    submission = type(put(organization("o1")))("PUT", body.encode(), "Organization", "o1")

    (entry,) = directory(decide(submission))

    assert b"https:\\/\\/x/Organization/1" in (entry.content or b"")


def test_references_are_rewritten_the_same_whatever_the_white_space() -> None:
    pretty = json.dumps(observation(SUBJECT, encounter={"reference": "Encounter/e1"}), indent=3)
    submission = type(put(observation(SUBJECT)))("PUT", pretty.encode(), "Observation", "o1")

    (entry,) = statement(decide(submission)).entries

    assert content(entry)["encounter"] == {"reference": f"Encounter/{shared_id(AMINA, 'Encounter', 'e1')}"}

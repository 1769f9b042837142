"""The directory holds nobody: a person in a directory resource is found wherever it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from onestory.shared.fhir.persons import person_in

AMINA = "9990000018"
NHS = "https://fhir.nhs.uk/Id/nhs-number"
DEFINITION = "http://hl7.org/fhir/StructureDefinition/"
KEY = "a" * 26
REFERENCE = "extension[0].valueReference.reference"
NESTED = {"url": "x", "valueReference": {"reference": "Person/1"}}

Json = dict[str, Any]


def location(**elements: Any) -> Json:
    return {"resourceType": "Location", "id": "l1", "name": "Ward 7", **elements}


def extension(**value: Any) -> Json:
    return location(extension=[{"url": "http://example.org/Patient/resident", **value}])


def narrative(div: str, **elements: Any) -> Json:
    return location(
        text={"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{div}</div>'}, **elements
    )


def contained(resource: Json) -> Json:
    return location(contained=[resource])


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        (extension(valueReference={"reference": f"Patient/{AMINA}"}), REFERENCE),
        (extension(valueReference={"reference": "Patient/my-local-7/_history/2"}), REFERENCE),
        (extension(valueReference={"reference": "https://pds.example/FHIR/Patient/1"}), REFERENCE),
        (extension(valueReference={"reference": "Patient?identifier=urn:mrn|7"}), REFERENCE),
        (extension(valueReference={"reference": "RelatedPerson/1"}), REFERENCE),
        (extension(valueReference={"reference": "Encounter/e1"}), REFERENCE),
        (extension(valueReference={"reference": f"Device/{KEY}-{KEY}"}), REFERENCE),
        (extension(valueReference={"type": "Patient", "display": "Amina"}), "extension[0].valueReference"),
        (
            extension(valueReference={"type": "http://hl7.org/fhir/StructureDefinition/Patient", "display": "Amina"}),
            "extension[0].valueReference",
        ),
        (
            extension(valueReference={"identifier": {"system": NHS, "value": AMINA}}),
            "extension[0].valueReference.identifier",
        ),
        (extension(valueIdentifier={"system": NHS.replace("Id", "id"), "value": "1"}), "extension[0].valueIdentifier"),
        (extension(valueUri=f"Patient/{AMINA}"), "extension[0].valueUri"),
        (extension(valueString=AMINA), "extension[0].valueString"),
        (extension(extension=[NESTED]), "extension[0].extension[0].valueReference.reference"),
        (location(_name={"extension": [NESTED]}), "_name.extension[0].valueReference.reference"),
        (extension(valueReference={"type": f"{DEFINITION}Patient", "display": "Amina"}), "extension[0].valueReference"),
        (extension(valueReference={"type": "Encounter", "display": "Visit"}), "extension[0].valueReference"),
        (extension(valueUrl="https://a.example/fhir/Patient/1/photo"), "extension[0].valueUrl"),
        (location(photo=[{"url": "https://a.example/fhir/Patient/1/photo"}]), "photo[0].url"),
        (location(photo=[{"url": "https://a.example/fhir/Patient?identifier=urn:mrn|7"}]), "photo[0].url"),
        (location(address="https://a.example/fhir/Person/1?_format=json"), "address"),
        (location(patient={"display": "Amina Okafor"}), "patient"),
        (location(patient={"reference": "https://ehr.example/people/ben"}), "patient"),
        (location(patient={"type": f"{DEFINITION}Patient", "identifier": {"value": "B7"}}), "patient"),
        (location(patient={"type": "Device", "display": "Amina"}), "patient"),
        (location(subject={"display": "Amina Okafor"}), "subject"),
        (location(actor=[{"type": f"{DEFINITION}RelatedPerson", "display": "Ben"}]), "actor[0]"),
        (contained({"resourceType": "Patient", "id": "p", "name": [{"family": "Hidden"}]}), "contained[0]"),
        (contained({"resourceType": "RelatedPerson", "id": "p"}), "contained[0]"),
        (contained({"resourceType": "Observation", "id": "p"}), "contained[0]"),
        (
            contained({"resourceType": "Organization", "id": "o", "partOf": {"reference": "Patient/1"}}),
            "contained[0].partOf.reference",
        ),
        (narrative(f"Home of {AMINA}"), "text.div"),
        (narrative("Home of 999 000 0018."), "text.div"),
        (narrative("Home of 999-000-0018"), "text.div"),
        (narrative("Home of 999&#160;000&nbsp;0018"), "text.div"),
        (narrative('See <a href="Patient/7">her</a>'), "text.div"),
        (narrative('See <img src="https://a.example/fhir/Patient/7/photo"/>'), "text.div"),
        (location(description="Home of 999 000 0018"), "description"),
        (location(alias=["a", f"of {AMINA}"]), "alias[1]"),
        (location(identifier=[{"system": NHS, "value": AMINA}]), "identifier[0]"),
    ],
)
def test_a_person_is_found_in_any_place(resource: Json, path: str) -> None:
    found = person_in(resource, "Location")

    assert found is not None
    assert found.path == f"Location.{path}"


@pytest.mark.parametrize(
    "members", [[{"entity": {"display": "Amina Example"}}], [{"entity": {"reference": "Group/2"}}]]
)
def test_a_group_of_persons_has_no_members(members: list[Json]) -> None:
    group = {"resourceType": "Group", "type": "person", "actual": True, "member": members}

    assert person_in(group, "Group")
    assert not person_in({**group, "type": "device"}, "Group")
    assert not person_in({name: value for name, value in group.items() if name != "member"}, "Group")


@pytest.mark.parametrize(
    "resource",
    [
        location(),
        location(managingOrganization={"reference": "Organization/7", "display": "Harbour Practice"}),
        location(managingOrganization={"reference": f"Organization/{KEY}"}),
        location(telecom=[{"system": "phone", "value": "+44 999 000 0018"}]),
        narrative("Call +44 999 000 0018"),
        narrative("Call 999 000 0018", telecom=[{"system": "phone", "value": "9990000018"}]),
        narrative(f"DoS {AMINA}", identifier=[{"system": "https://fhir.nhs.uk/Id/dos-service-id", "value": AMINA}]),
        narrative("Code 9990000018", type=[{"coding": [{"system": "http://snomed.info/sct", "code": "9990000018"}]}]),
        narrative("9990000019 has a wrong check digit, 99900000180 is too long"),
        narrative('<a href="https://example.org/Patient-information">Leaflet</a>'),
        location(identifier=[{"system": "urn:x", "value": AMINA}]),
        {"resourceType": "Device", "serialNumber": AMINA, "lotNumber": AMINA},
        {"resourceType": "PlanDefinition", "action": [{"input": [{"type": "Patient"}]}]},
        {"resourceType": "ActivityDefinition", "subjectReference": {"reference": "Group/g1"}},
        {"resourceType": "Schedule", "actor": [{"display": "Dr Ben Smith"}]},
        {
            "resourceType": "Device",
            "patient": {"extension": [{"url": "http://example.org/none", "valueCode": "unknown"}]},
        },
        location(subject={"reference": "Group/g1", "display": "Staff"}),
        location(photo=[{"url": "https://a.example/fhir/Practitioner/1/photo"}]),
        extension(valueString="Forms: https://a.example/Patient/forms"),
        {"resourceType": "Library", "url": "https://a.example/Patient/1"},
        contained({"resourceType": "Organization", "id": "o"}),
        contained({"resourceType": "ValueSet", "id": "v"}),
    ],
)
def test_what_names_nobody_may_be_in_the_directory(resource: Json) -> None:
    before = copy.deepcopy(resource)

    assert person_in(resource, "Location") is None
    assert resource == before

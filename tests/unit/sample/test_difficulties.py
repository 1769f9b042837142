"""Each trouble of real data occurs among twenty people: the manifest names it, and the Bundles show it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.unit.sample.network_of_twenty import SEED, named, nhs_number, statements_of, twenty

from onestory.sample.people import TROUBLES, UNUSUAL_TEXTS, make_person
from onestory.sample.resources import COMPLETE_TYPE, CONFIDENTIALITY, NHS_NUMBER


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_manifest_names_an_example_of_every_difficulty(trouble: str) -> None:
    assert named(trouble)


def test_the_same_condition_comes_from_several_sources_with_other_ids_and_texts() -> None:
    submission, told = named("same-fact")[0]
    who = submission.cases[0].nhs_number
    practice = _current(who).practice.ods
    others = [
        resource
        for bundle in twenty()
        if bundle.ods == practice and who in bundle.body.decode()
        for resource in bundle.resources
        if resource["resourceType"] == "Condition" and resource["code"]["coding"] == told["code"]["coding"]
    ]

    assert others
    assert told["id"] not in [other["id"] for other in others]
    assert told["code"]["text"] not in [other["code"]["text"] for other in others]


def test_a_correction_is_newer_and_says_something_else() -> None:
    first, last = _all_statements("correction")

    assert first["meta"]["lastUpdated"] < last["meta"]["lastUpdated"]
    assert first["code"]["text"] != last["code"]["text"]


def test_a_retraction_deletes_by_local_id_and_names_the_person() -> None:
    submission, _ = named("retraction")[0]
    case = submission.cases[0]
    requests = [entry["request"] for entry in json.loads(submission.body)["entry"] if "resource" not in entry]

    assert requests == [{"method": "DELETE", "url": f"{case.resource}?patient={case.nhs_number}"}]
    kind, local_id = case.resource.split("/")
    assert statements_of(kind, local_id, case.source.ods)


def test_a_withdrawal_by_status_follows_the_statement() -> None:
    first, last = _all_statements("entered-in-error")

    assert first["verificationStatus"]["coding"][0]["code"] == "confirmed"
    assert last["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    assert "clinicalStatus" not in last


def test_a_late_statement_is_older_than_the_one_before_it() -> None:
    first, last = _all_statements("late-statement")

    assert first["meta"]["lastUpdated"] > last["meta"]["lastUpdated"]
    assert first["valueQuantity"] != last["valueQuantity"]


def test_a_repeated_statement_is_the_same_bytes() -> None:
    submission, _ = named("repeated-statement")[0]

    assert [bundle.body for bundle in twenty()].count(submission.body) == 2


def test_an_allergy_is_active_for_one_source_and_refuted_by_another() -> None:
    _, refuted = named("conflict-allergy")[0]
    theirs = _same_code("AllergyIntolerance", refuted, "conflict-allergy")

    assert refuted["verificationStatus"]["coding"][0]["code"] == "refuted"
    assert [other["clinicalStatus"]["coding"][0]["code"] for other in theirs] == ["active"]


def test_a_condition_is_active_for_one_source_and_resolved_for_another() -> None:
    _, resolved = named("conflict-condition")[0]
    theirs = _same_code("Condition", resolved, "conflict-condition")

    assert resolved["clinicalStatus"]["coding"][0]["code"] == "resolved"
    assert [other["clinicalStatus"]["coding"][0]["code"] for other in theirs] == ["active"]


def test_two_sources_give_different_doses_of_one_medicine() -> None:
    submission, taken = named("conflict-dose")[0]
    practice = _current(submission.cases[0].nhs_number).practice.ods
    ordered = [
        resource
        for bundle in twenty()
        if bundle.ods == practice and submission.cases[0].nhs_number in bundle.body.decode()
        for resource in bundle.resources
        if resource["resourceType"] == "MedicationRequest"
        and resource["medicationCodeableConcept"]["coding"][0] == taken["medicationCodeableConcept"]["coding"][0]
    ]

    assert [order["dosageInstruction"][0]["text"] for order in ordered] != [taken["dosage"][0]["text"]]
    assert len(ordered) == 1


def test_the_authority_supersedes_a_number_under_which_another_source_filed() -> None:
    _, current = named("superseded-number")[0]
    replaced = current["link"][0]["other"]["identifier"]

    assert current["link"][0]["type"] == "replaces"
    assert replaced["system"] == NHS_NUMBER
    assert nhs_number(current) != replaced["value"]
    assert any(replaced["value"] in bundle.body.decode() for bundle in twenty() if bundle.ods == "RZ1")


def test_a_practice_that_a_person_has_left_ended_the_registration_and_not_the_repeat_medicine() -> None:
    submission, repeat = named("moved-practice")[0]
    who = make_person(SEED, 0)
    resources = [entry["resource"] for entry in json.loads(submission.body)["entry"]]
    (episode,) = [resource for resource in resources if resource["resourceType"] == "EpisodeOfCare"]
    registered = [
        resource["generalPractitioner"][0]["identifier"]
        for bundle in twenty()
        for resource in bundle.resources
        if bundle.ods == "X26" and resource["resourceType"] == "Patient" and nhs_number(resource) == who.nhs_number
    ]

    assert (repeat["status"], repeat["courseOfTherapyType"]["coding"][0]["code"]) == ("active", "continuous")
    assert (episode["status"], submission.source) == ("finished", who.former_practice)
    assert episode["managingOrganization"]["identifier"]["value"] == submission.source.ods != who.practice.ods
    assert [each["value"] for each in registered] == [who.practice.ods]
    assert episode["period"]["end"] < registered[0]["period"]["start"]


def test_a_misfiled_resource_moves_to_the_right_person_with_its_local_id() -> None:
    (_, misfiled), (_, put_right) = named("wrong-person")

    assert misfiled["id"] == put_right["id"]
    assert misfiled["subject"] != put_right["subject"]
    assert misfiled["meta"]["lastUpdated"] < put_right["meta"]["lastUpdated"]


def test_a_complete_list_leaves_out_what_was_stated_before() -> None:
    submission, _ = named("complete-list")[0]
    bundle = json.loads(submission.body)
    missing = submission.cases[0].resource.split("/")[1]

    assert {"system": COMPLETE_TYPE, "code": "AllergyIntolerance"} in bundle["meta"]["tag"]
    listed = [entry["resource"] for entry in bundle["entry"]]
    assert missing not in [resource["id"] for resource in listed]
    assert "AllergyIntolerance" in [resource["resourceType"] for resource in listed]
    assert statements_of("AllergyIntolerance", missing, submission.source.ods)


@pytest.mark.parametrize(("trouble", "label"), [("sensitive", "R"), ("very-restricted", "V")])
def test_sensitive_items_carry_their_confidentiality(trouble: str, label: str) -> None:
    for _, resource in named(trouble):
        assert resource["meta"]["security"] == [{"system": CONFIDENTIALITY, "code": label}]


def test_a_protected_person_has_no_address_anywhere() -> None:
    submission, _ = named("protected-address")[0]
    who = next(case.nhs_number for case in submission.cases if case.trouble == "protected-address")
    patients = [
        resource
        for bundle in twenty()
        for resource in bundle.resources
        if resource["resourceType"] == "Patient" and nhs_number(resource) == who
    ]

    assert len(patients) >= 2
    for patient in patients:
        assert patient["meta"]["security"] == [{"system": CONFIDENTIALITY, "code": "R"}]
        assert "address" not in patient
        assert "telecom" not in patient


def test_unusual_text_arrives_as_it_was_typed() -> None:
    notes = [resource["note"][0]["text"] for _, resource in named("unusual-text")]

    assert len(notes) == 4
    assert all(note in UNUSUAL_TEXTS for note in notes)


def test_decimals_keep_their_zeros_and_times_their_offsets() -> None:
    everything = b"\n".join(bundle.body for bundle in twenty())

    assert re.search(rb'"value":[0-9]+\.[0-9]0,"unit":"mmol/L"', everything)
    for offset in (b'+00:00"', b'Z"', b'+01:00"'):
        assert offset in everything


def test_social_care_gives_no_ids_and_creates_conditionally() -> None:
    entries = [entry for bundle in twenty() if bundle.ods == "990" for entry in bundle.bundle["entry"]]
    said = [entry for entry in entries if "directory" not in entry["fullUrl"]]

    assert said
    assert all("id" not in entry["resource"] for entry in said)
    assert all(entry["request"]["ifNoneExist"].startswith("identifier=https://") for entry in said)


def _all_statements(trouble: str) -> list[dict[str, Any]]:
    submission, _ = named(trouble)[0]
    kind, local_id = submission.cases[0].resource.split("/")
    return statements_of(kind, local_id, submission.source.ods)


def _same_code(kind: str, resource: dict[str, Any], trouble: str) -> list[dict[str, Any]]:
    """The practice's resources with the same code."""
    who = next(case.nhs_number for submission, _ in named(trouble) for case in submission.cases)
    return [
        other
        for bundle in twenty()
        if bundle.ods == _current(who).practice.ods and who in bundle.body.decode()
        for other in bundle.resources
        if other["resourceType"] == kind and other["code"]["coding"] == resource["code"]["coding"]
    ]


def _current(number: str) -> Any:
    people = [make_person(SEED, index) for index in range(20)]
    return next(each for each in people if number in (each.nhs_number, each.superseded))

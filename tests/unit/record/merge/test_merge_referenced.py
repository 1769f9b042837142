"""A medicine that a statement names by reference is read as if the statement named it itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from onestory.record.merge.engine import merge
from onestory.record.merge.lookup import ResourceLookup
from onestory.record.merge.model import Statement
from onestory.record.merge.rules import merge_rules
from onestory.record.merge.view import changes

RULES = merge_rules()
KEY, OTHER_KEY = "a" * 26, "b" * 26
HASH = "c" * 26
WARFARIN = {"code": {"coding": [{"system": "http://snomed.info/sct", "code": "375379004", "display": "Warfarin 3 mg"}]}}


def statement(number: int, kind: str, content: dict[str, Any]) -> Statement:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    organisation = "RYE" if number % 2 else "A81001"
    return Statement(f"s{number}", kind, organisation, "system", UUID(int=number), at, at, content)


def referring(reference: dict[str, Any], number: int = 0, kind: str = "MedicationStatement") -> Statement:
    return statement(number, kind, {"status": "active", "medicationReference": reference})


def named(*statements: Statement, directory: dict[str, Any] | None = None) -> object:
    """The medicine of the first statement, as merging reads it."""
    merged = merge(statements, RULES, directory or {})
    contents = {each.shared_id: each.content for fact in merged.facts for each in fact.members}
    return contents[statements[0].shared_id].get("medicationCodeableConcept")


def medication(shared_id: str, **elements: Any) -> Statement:
    return replace(statement(9, "Medication", {**WARFARIN, **elements}), shared_id=shared_id)


@pytest.mark.parametrize(
    "kind", ["MedicationStatement", "MedicationRequest", "MedicationDispense", "MedicationAdministration"]
)
@pytest.mark.parametrize("reference", [f"Medication/{HASH}", f"Medication/{HASH}/_history/1"])
def test_a_medicine_of_the_directory_is_named(kind: str, reference: str) -> None:
    assert named(referring({"reference": reference}, kind=kind), directory={HASH: WARFARIN}) == WARFARIN["code"]


def test_a_medicine_in_another_statement_of_the_person_is_named() -> None:
    shared_id = f"{KEY}-{HASH}"

    assert named(referring({"reference": f"Medication/{shared_id}"}), medication(shared_id)) == WARFARIN["code"]


@pytest.mark.parametrize("reference", [f"Medication/{HASH}", f"Medication/{OTHER_KEY}-{HASH}"])
def test_an_id_that_the_resource_had_before_leads_to_the_same_source_s_resource(reference: str) -> None:
    assert named(referring({"reference": reference}), medication(f"{KEY}-{HASH}")) == WARFARIN["code"]


def test_the_resource_of_another_source_or_id_is_never_used() -> None:
    other = medication(f"{KEY}-{'d' * 26}")

    assert named(referring({"reference": f"Medication/{HASH}"}), other, directory={"e" * 26: WARFARIN}) is None


def test_two_sources_of_one_medicine_are_one_fact_if_one_names_it_by_reference() -> None:
    by_reference = referring({"reference": f"Medication/{HASH}"})
    by_code = statement(1, "MedicationStatement", {"status": "active", "medicationCodeableConcept": WARFARIN["code"]})

    joined = merge([by_reference, by_code], RULES, {HASH: WARFARIN})

    assert [len(fact.members) for fact in joined.facts] == [2]
    assert len(merge([by_reference, by_code], RULES).facts) == 2


@pytest.mark.parametrize(
    ("found", "concept"),
    [
        ({}, {"text": "as displayed"}),
        ({"code": {"coding": [{"system": "urn:x"}]}}, {"text": "as displayed"}),
        # An unknown modifier may change the meaning of the code, so it is compared with no other.
        ({**WARFARIN, "modifierExtension": [{"url": "urn:x"}]}, {"text": "Warfarin 3 mg"}),
        ({**WARFARIN, "status": "entered-in-error"}, {"text": "Warfarin 3 mg"}),
    ],
)
def test_a_medicine_without_a_usable_code_has_words_only(found: dict[str, Any], concept: dict[str, Any]) -> None:
    reference = {"reference": f"Medication/{HASH}", "display": "as displayed"}

    assert named(referring(reference), directory={HASH: found}) == concept


def test_a_medicine_without_a_code_is_named_by_its_ingredients() -> None:
    ingredients = [
        {"itemCodeableConcept": {"text": "Paracetamol"}},
        {"itemReference": {"reference": f"Substance/{'d' * 26}"}},
        {"strength": {}},
    ]
    directory = {HASH: {"ingredient": ingredients}, "d" * 26: {"code": {"text": "Codeine"}}}

    assert named(referring({"reference": f"Medication/{HASH}"}), directory=directory) == {
        "text": "Paracetamol + Codeine + (unnamed ingredient)"
    }


def test_a_medicine_that_nobody_knows_stays_unnamed() -> None:
    assert named(referring({"reference": f"Medication/{HASH}"})) is None
    assert named(referring({})) is None


def test_a_contained_resource_is_found_in_its_own_resource_only() -> None:
    holder = {"contained": [{"id": "m", **WARFARIN}]}
    lookup = ResourceLookup([], {})

    assert lookup.find(holder, {"reference": "#m"}) == {"id": "m", **WARFARIN}
    assert lookup.find({}, {"reference": "#m"}) is None


def test_a_change_of_the_referenced_medicine_is_a_change_of_the_fact() -> None:
    taken = referring({"reference": f"Medication/{HASH}"})
    stronger = {"code": {"text": "Warfarin 5 mg"}}
    before, now = (merge([taken], RULES, {HASH: each}) for each in (WARFARIN, stronger))

    assert [each.fact.id for each in changes(before, now).changed] == [taken.shared_id]
    assert changes(before, before).changed == ()

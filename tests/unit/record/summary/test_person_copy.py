"""The copy for the person leaves out what must not reach the person, and never says that anything was left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.clinical_cases import case, needs_clinical_cases
from tests.unit.record.summary.written import HOSPITAL, NOW, PATIENT, known, said, term

from onestory.record.merge.model import Statement
from onestory.record.summary.api import is_copy_for_person
from onestory.record.summary.document import summarise
from onestory.record.summary.person_copy import copy_for_person
from onestory.shared.errors import Malformed

ACTIVE = term("condition-clinical", "active")
ASTHMA = said("Condition", "asthma", clinicalStatus=ACTIVE, code={"text": "Asthma"})
ADDRESS = {"address": [{"line": ["1 Invented Lane"]}], "telecom": [{"system": "phone", "value": "01632 960001"}]}


def copied(*statements: Statement, patient: dict[str, Any] = PATIENT) -> str:
    """The whole document of the copy, also its entries."""
    return summarise(copy_for_person(known(*statements, patient=patient)), NOW).document.decode()


def labelled(code: str, system: str = "v3-Confidentiality") -> Statement:
    security = [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": code}]
    return said(
        "Condition", "secret", HOSPITAL, clinicalStatus=ACTIVE, code={"text": "Secret"}, meta={"security": security}
    )


@pytest.mark.parametrize(
    "left_out",
    [
        labelled("R"),
        labelled("V"),
        labelled("NOPAT", "v3-ActCode"),
        said("Flag", "flag", status="active", code={"text": "Secret MARAC high risk"}),
        said("Observation", "harm", status="final", code={"text": "Risk to others: Secret"}),
        said("Observation", "third", status="final", code={"text": "Third party information"}, valueString="Secret"),
        said("RelatedPerson", "kin", name=[{"text": "Secret"}]),
    ],
)
def test_the_copy_leaves_out_what_is_not_for_the_person(left_out: Statement) -> None:
    assert b"Secret" in summarise(known(ASTHMA, left_out), NOW).document
    copy = copied(ASTHMA, left_out)

    assert "Asthma" in copy
    assert "Secret" not in copy


def test_every_copy_ends_with_the_same_words() -> None:
    assert "Some entries are left out of such copies" in copied(ASTHMA)
    assert b"left out of such copies" not in summarise(known(ASTHMA), NOW).document


def test_a_person_at_risk_has_no_address_and_nobody_has_contacts_in_the_copy() -> None:
    patient = {**PATIENT, **ADDRESS, "contact": [{"name": {"text": "Kin"}}]}

    assert "Invented Lane" in copied(ASTHMA, patient=patient)
    assert "Kin" not in copied(ASTHMA, patient=patient)
    at_risk = copied(ASTHMA, labelled("R"), patient=patient)
    assert "Invented Lane" not in at_risk
    assert "960001" not in at_risk


def test_the_copy_has_no_conflict_with_what_it_leaves_out() -> None:
    copy = copied(ASTHMA, labelled("R"))

    assert "secret-rz3" not in copy


@needs_clinical_cases
@pytest.mark.parametrize(("number", "words"), [("67", "HIV"), ("72", "abuse"), ("71", "child protection")])
def test_the_copy_of_a_case_has_none_of_the_words(number: str, words: str) -> None:
    person = case(number)[0]
    known_of = person.known()

    assert words.lower().encode() in summarise(known_of, person.at).document.lower()
    composition = json.loads(summarise(copy_for_person(known_of), person.at).document)
    assert words.lower() not in json.dumps(composition).lower()


def test_only_the_copy_for_the_person_can_be_requested() -> None:
    assert is_copy_for_person("person")
    assert not is_copy_for_person(None)
    with pytest.raises(Malformed, match="copy"):
        is_copy_for_person("carer")

"""A page says first where a source knows the number as somebody else, and raises no alarm for harmless differences."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.summary.written import GP, HOSPITAL, NOW, code, known, said, sections, texts

from onestory.record.person.composition import NhsNumbers, compose
from onestory.record.person.statements import PatientStatement, Trust
from onestory.record.summary.document import summarise
from onestory.record.summary.identity import identity_doubts

RECORD = {
    "name": [{"family": "O'Brien-Smith", "given": ["Róisín", "Elizabeth"]}, {"use": "maiden", "family": "Walsh"}],
    "gender": "female",
    "birthDate": "1958-04-09",
}
WARFARIN = said(
    "MedicationStatement", "m", HOSPITAL, status="active", medicationCodeableConcept=code("48603004", "Warfarin")
)
ASTHMA = said("Condition", "c", GP, code=code("195967001", "Asthma"), clinicalStatus=code("active", "active"))


def stated(organisation: str, number: int, **elements: Any) -> PatientStatement:
    content = json.dumps({"resourceType": "Patient", "id": f"p{number}", **elements}).encode()
    return PatientStatement(f"p{number}", "1", organisation, number, NOW, content)


def patient_of(*statements: PatientStatement) -> dict[str, Any]:
    """The shared Patient; the first statement is the authority's."""
    trust = Trust(frozenset({"X26"}), GP)
    composed: dict[str, Any] = json.loads(compose(NhsNumbers("9990000018"), statements, trust).content)
    return composed


def doubted(other: dict[str, Any], record: dict[str, Any] = RECORD) -> list[frozenset[str]]:
    """The elements in which the hospital's Patient differs, for each doubt."""
    hospital = stated(HOSPITAL, 2, **other)
    patient = patient_of(stated("X26", 1, **record), hospital)
    return [each.elements for each in identity_doubts(patient, {"p2": hospital.content})]


@pytest.mark.parametrize(
    "other",
    [
        {"name": [{"family": "O’BRIEN SMITH", "given": ["ROISIN"]}]},
        {"name": [{"family": "Walsh", "given": ["R"]}]},
        {"name": [{"family": "Smith", "given": ["Liz"]}]},
        {"name": [{"family": "Roisin", "given": ["Walsh"]}]},
        {"name": [{"text": "Mrs Roisin Walsh"}]},
        {"name": [{"family": "Walhs", "given": ["Róisín"]}]},
        {"birthDate": "1958-04", "gender": "unknown"},
        {"name": [{"family": "O'Brien-Smith"}]},
    ],
)
def test_a_difference_that_ordinary_care_makes_raises_no_doubt(other: dict[str, Any]) -> None:
    assert doubted(other) == []


@pytest.mark.parametrize(
    ("other", "elements"),
    [
        ({"name": [{"family": "Walsh", "given": ["Kevin"]}]}, {"given"}),
        ({"name": [{"family": "Patel", "given": ["Róisín"]}]}, {"family"}),
        ({"birthDate": "1958-09-04"}, {"birthDate"}),
        ({"gender": "male"}, {"gender"}),
        ({"name": [{"text": "Piotr Kowalczyk"}], "birthDate": "1951-07-09"}, {"given", "family", "birthDate"}),
    ],
)
def test_a_difference_that_matters_raises_a_doubt(other: dict[str, Any], elements: set[str]) -> None:
    assert doubted(other) == [elements]


def test_a_baby_that_got_a_name_is_the_same_baby() -> None:
    assert doubted({"name": [{"family": "Walsh", "given": ["Aoife"]}]}, {"name": [{"given": ["Baby"]}]}) == []


def shown(hospital: dict[str, Any]) -> dict[str, str]:
    other = stated(HOSPITAL, 2, **hospital)
    patient = patient_of(stated("X26", 1, **RECORD), other)
    given = known(WARFARIN, ASTHMA, patient=patient)
    seen = {**given.contents, "p2": other.content}
    return texts(summarise(type(given)(**{**_members(given), "contents": seen}), NOW))


def _members(given: Any) -> dict[str, Any]:
    return {name: getattr(given, name) for name in given.__dataclass_fields__}


def test_another_person_under_the_number_is_told_first_and_marked_on_each_line() -> None:
    page = shown({"name": [{"family": "Kowalczyk", "given": ["Piotr"]}], "gender": "male"})
    assert next(iter(page)) == "Please note"
    first = page["Please note"].splitlines()[0]
    assert first.startswith("Check who this is. Vale Royal Hospital knows this NHS number as: Piotr Kowalczyk, male.")
    assert "may be another person’s: Warfarin" in first
    assert "may be another person’s" in page["Medicines"]
    assert "may be another person’s" not in page["Problems"]


def test_another_birth_date_alone_is_told_and_marks_no_line() -> None:
    page = shown({"birthDate": "1959-04-09"})
    assert "Vale Royal Hospital states another birth date: Name not known, born 9 Apr 1959" in page["Please note"]
    assert "another person’s" not in page["Medicines"]


def test_a_death_that_one_source_tells_is_told_as_its_word() -> None:
    notice = shown({"deceasedDateTime": "2026-11-20"})["Please note"]
    assert "Vale Royal Hospital says that this person died on 20 Nov 2026. No demographic authority" in notice


@pytest.mark.parametrize("birth", [{"multipleBirthInteger": 2}, {"multipleBirthBoolean": True}])
def test_a_twin_is_warned_of(birth: dict[str, Any]) -> None:
    summary = summarise(known(ASTHMA, patient={"resourceType": "Patient", "id": "9990000018", **birth}), NOW)
    assert "Twin or other multiple birth" in texts(summary)["Please note"]


def test_a_single_birth_is_no_twin() -> None:
    patient = {"resourceType": "Patient", "id": "9990000018", "multipleBirthBoolean": False}
    assert "notices" not in sections(summarise(known(ASTHMA, patient=patient), NOW))


@needs_clinical_cases
def test_the_shared_cases_say_who_the_person_is() -> None:
    assert "RZ3 knows this NHS number as: Piotr Kowalczyk, male, born 9 Jul 1951" in shown_case("83")["Please note"]
    assert "Twin" in shown_case("82")["Please note"]
    assert "RZ3 says that this person died on 28 Nov 2026" in shown_case("86")["Please note"]
    assert "Please note" not in shown_case("87")

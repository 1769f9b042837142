"""Search parameters: which resources each one finds, and which values are refused instead of being misread."""

from __future__ import annotations

from typing import Any

import pytest

from onestory.record.person import identifiers
from onestory.record.search.parameters import Search, parse_search
from onestory.shared.errors import Malformed
from onestory.shared.identity import NHS_NUMBER_SYSTEM

FHIR = "https://care.example.org/fhir"
SNOMED = "http://snomed.info/sct"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
PROBLEM = {
    "resourceType": "Condition",
    "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "active"}]},
    "category": [{"coding": [{"code": "problem-list-item"}]}, {"coding": [{"code": "encounter-diagnosis"}]}],
    "code": {"coding": [{"system": SNOMED, "code": "84114007"}, {"code": "G58..00"}], "text": "Heart failure"},
    "identifier": [{"system": "https://practice.example.org/problems", "value": "a,b"}],
    "encounter": {"reference": "Encounter/e1/_history/2"},
    "asserter": {"identifier": {"system": "http://fhir.nhs.net/Id/nhs-number", "value": "9990000018"}},
    "recordedDate": "2026-03",
    "onsetPeriod": {"start": "2026-02-28T23:30:00Z"},
}
SURVEY = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "Blood pressure"},
    "component": [{"code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}}],
}


def asked(resource_type: str, *parameters: tuple[str, str], lenient: bool = False) -> Search:
    return parse_search(parameters, resource_type, FHIR, lenient=lenient)


def finds(resource: dict[str, Any], *parameters: tuple[str, str]) -> bool:
    return asked(resource["resourceType"], *parameters).matches(resource)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("code", "84114007", True),
        ("code", f"{SNOMED}|84114007", True),
        ("code", f"{SNOMED}|", True),
        ("code", "|G58..00", True),
        ("code", "|84114007", False),
        ("code", "http://loinc.org|84114007", False),
        ("code", "http://loinc.org|", False),
        ("code", "1,84114007", True),
        ("code", "1,2", False),
        ("code:not", "84114007", False),
        ("code:not", "1,2", True),
        ("severity:not", "24484000", True),
        ("category", "encounter-diagnosis", True),
        ("clinical-status", "active", True),
        ("clinical-status", f"{CLINICAL}|resolved,{CLINICAL}|active", True),
        ("clinical-status", "resolved", False),
        ("verification-status:missing", "true", True),
        ("clinical-status:missing", "true", False),
        ("clinical-status:missing", "false", True),
        ("identifier", r"a\,b", True),
        ("identifier", r"https://practice.example.org/problems|a\,b", True),
        ("identifier", "a,b", False),
        ("encounter", "Encounter/e1", True),
        ("encounter", "e1", True),
        ("encounter:Encounter", "e1", True),
        ("encounter", f"{FHIR}/Encounter/e1", True),
        ("encounter", "Encounter/e2", False),
        ("encounter", "https://elsewhere.example.org/Encounter/e1", False),
        ("asserter:identifier", f"{NHS_NUMBER_SYSTEM}|9990000018", True),
        ("asserter:identifier", "9990000026", False),
    ],
)
def test_a_problem_is_found_by_what_it_says(name: str, value: str, found: bool) -> None:
    assert finds(PROBLEM, (name, value)) is found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("2026-03", True),
        ("2026", True),
        ("2026-03-15", False),
        ("ne2026-03", False),
        ("ne2026-03-15", True),
        ("gt2026-02", True),
        ("gt2026-03-15", True),
        ("gt2026-03", False),
        ("ge2026-03", True),
        ("ge2026-04", False),
        ("lt2026-03", False),
        ("lt2026-03-15", True),
        ("le2026-03", True),
        ("le2026-02", False),
        ("sa2026-02", True),
        ("sa2026-03-01", False),
        ("eb2026-04", True),
        ("eb2026-03-31", False),
        ("2025-12,2026-03", True),
    ],
)
def test_a_partial_date_is_all_of_its_month(value: str, found: bool) -> None:
    assert finds(PROBLEM, ("recorded-date", value)) is found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("ge2026-06", True),
        ("gt2100", True),
        ("lt2026-03", True),
        ("lt2026-02-28", False),
        ("eq2026-02-28", False),
        ("sa2026-02-28T23:00:00Z", True),
        ("eb2027", False),
    ],
)
def test_a_period_without_an_end_goes_on(value: str, found: bool) -> None:
    assert finds(PROBLEM, ("onset-date", value)) is found


def test_a_day_without_a_zone_is_a_day_in_the_uk() -> None:
    summer = {"resourceType": "Observation", "effectiveDateTime": "2026-06-30T23:30:00Z"}

    assert finds(summer, ("date", "2026-07-01"))
    assert not finds(summer, ("date", "2026-06-30"))


@pytest.mark.parametrize(
    "timing", [{"event": ["2026-01-05", "2026-02-05"]}, {"repeat": {"boundsPeriod": {"start": "2026-02"}}}]
)
def test_of_a_timing_the_outer_limits_count(timing: dict[str, Any]) -> None:
    assert finds({"resourceType": "Observation", "effectiveTiming": timing}, ("date", "ge2026-02-01"))


@pytest.mark.parametrize("element", [{}, {"effectivePeriod": {}}, {"effectiveTiming": {"code": {"text": "daily"}}}])
def test_what_names_no_time_is_found_by_no_comparison(element: dict[str, Any]) -> None:
    for comparison in ("ge1900", "le2100", "ne2026"):
        assert not finds({"resourceType": "Observation", **element}, ("date", comparison))


def test_repeated_parameters_must_all_be_met() -> None:
    assert finds(PROBLEM, ("recorded-date", "ge2026-01"), ("recorded-date", "lt2026-04"), ("code", "84114007"))
    assert not finds(PROBLEM, ("recorded-date", "ge2026-01"), ("recorded-date", "lt2026-02"))


def test_a_code_of_a_required_value_set_may_come_with_its_own_system() -> None:
    assert finds(SURVEY, ("status", "http://hl7.org/fhir/observation-status|final"))
    with pytest.raises(Malformed):
        asked("Observation", ("status", f"{SNOMED}|final"))


def test_the_parameters_that_fhir_defines_over_several_elements_look_at_all_of_them() -> None:
    substance = {"resourceType": "AllergyIntolerance", "reaction": [{"substance": {"coding": [{"code": "7980"}]}}]}

    assert finds(substance, ("code", "7980"))
    assert finds(SURVEY, ("combo-code", "8480-6"))
    assert not finds(SURVEY, ("code", "8480-6"))


@pytest.mark.parametrize(
    "parameter",
    [
        ("date", "2026"),
        ("code:text", "heart"),
        ("code:in", "http://example.org/ValueSet/1"),
        ("encounter.status", "finished"),
        ("_has:Observation:patient:code", "1"),
        ("_text", "heart"),
        ("_sort", "severity,colour"),
        ("_summary", "short"),
        ("_include", "Observation:encounter"),
        ("_include", "Condition:code"),
        ("_include:iterate", "Condition:encounter"),
        ("_revinclude", "*"),
        ("_id:not", "1"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(parameter: tuple[str, str]) -> None:
    with pytest.raises(Malformed) as refused:
        asked("Condition", parameter)

    assert "is not supported." in refused.value.issues[0].diagnostics
    lenient = asked("Condition", parameter, ("code", "1"), lenient=True)
    assert [issue.severity for issue in lenient.warnings] == ["warning"]
    assert list(lenient.used) == [("code", "1")]


def test_a_refusal_says_what_the_type_has_instead() -> None:
    with pytest.raises(Malformed) as refused:
        asked("Condition", ("date", "2026"))

    assert "recorded-date" in refused.value.issues[0].diagnostics


@pytest.mark.parametrize(
    "parameter",
    [
        ("recorded-date", "soon"),
        ("recorded-date", "ap2026"),
        ("recorded-date", ""),
        ("code", ""),
        ("code", "|"),
        ("code", "a|b|c"),
        ("code", "a,"),
        ("code:missing", "perhaps"),
        ("encounter", "Patient/?"),
        ("encounter:Encounter", "Location/1"),
        ("code", "a\0"),
    ],
)
@pytest.mark.parametrize("lenient", [True, False])
def test_a_value_that_cannot_be_read_is_refused_also_to_the_lenient(parameter: tuple[str, str], lenient: bool) -> None:
    with pytest.raises(Malformed):
        asked("Condition", parameter, lenient=lenient)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("name", "Okafor-Brown", True),
        ("name", "okafor brown", True),
        ("name", "Brown Zoë", True),
        ("name", "ZOE OKAFOR", True),
        ("name", "Okafor Peter", False),
        ("family", "okaf", True),
        ("family", "brown", True),
        ("family", "zoe", False),
        ("family:exact", "okafor-brown", False),
        ("family:exact", "Okafor-Brown", True),
        ("given", "OBrien", True),
        ("given", "O'Brien", True),
        ("given", "o’brien", True),
        ("given", "Lukasz", True),
        ("given", "'", False),
    ],
)
def test_a_name_is_found_whatever_its_case_accents_hyphens_apostrophes_and_order(
    name: str, value: str, found: bool
) -> None:
    person = {"resourceType": "Patient", "name": [{"family": "Okafor-Brown", "given": ["Zoë", "O'Brien", "Łukasz"]}]}

    assert finds(person, (name, value)) is found


def organisation(*names: str) -> dict[str, Any]:
    return {"resourceType": "Organization", "id": "o1", "name": names[0], "alias": list(names[1:])}


def noted_texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts whose words are made from now on."""
    made: list[str] = []
    name_words = identifiers.name_words

    def noted(text: str) -> list[str]:
        made.append(text)
        return name_words(text)

    monkeypatch.setattr(identifiers, "name_words", noted)
    return made


@pytest.mark.parametrize("name", ["name", "name:contains"])
def test_the_forms_of_a_name_are_made_once_for_all_values(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    search = asked("Organization", (name, ",".join(f"other{place}" for place in range(499)) + ",harbour"))
    made = noted_texts(monkeypatch)

    assert search.matches(organisation("The Harbour", "Quay"))
    assert sorted(made) == ["Quay", "The Harbour"]


def test_only_the_first_letters_of_a_long_name_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    long = organisation("Harbour " + "x" * 1_000_000, *["y" * 1_000_000] * 100)
    search, exact = asked("Organization", ("name", "harbour")), asked("Organization", ("name:exact", long["name"]))
    made = noted_texts(monkeypatch)

    assert search.matches(long)
    assert exact.matches(long)
    assert sum(map(len, made)) <= 20_000


@pytest.mark.parametrize(("value", "found"), [("true", False), ("false", True)])
def test_a_name_is_missing_or_not(value: str, found: bool) -> None:
    assert finds(organisation("Harbour"), ("name:missing", value)) is found
    assert finds({"resourceType": "Organization", "id": "o1"}, ("name:missing", value)) is not found

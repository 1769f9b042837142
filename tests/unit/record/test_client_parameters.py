"""Parameters that client libraries send: Parameters resources, the person by identifier, and parts of a resource."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from onestory.record.person.identifiers import PersonRef
from onestory.record.read.operation_parameters import parse_operation_parameters
from onestory.record.read.request import shaped_resource
from onestory.record.search.directory import searches_directory
from onestory.record.search.include import Shape
from onestory.record.search.parameters import EVERYTHING_PARAMETERS, RESOURCE_PARAMETERS, parse_query, parse_search
from onestory.record.search.person_parameters import PERSON_PARAMETERS, person_ref
from onestory.shared.errors import Malformed, OneStoryError, Unprocessable
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier

KEYS = Keys(b"a secret of at least thirty-two bytes")
NUMBER = "9990000018"
KEY = KEYS.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, NUMBER))
FHIR = "https://care.example.org/fhir"
DIRECTORY_ID, RECORD_ID = "a" * 26, f"{'b' * 26}-{'c' * 26}"


def sent(*parameters: dict[str, Any]) -> bytes:
    return orjson.dumps({"resourceType": "Parameters", "parameter": parameters})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"valueString": "x"}, "x"),
        ({"valueDate": "2026-01-31"}, "2026-01-31"),
        ({"valueInstant": "2026-01-31T09:00:00Z"}, "2026-01-31T09:00:00Z"),
        ({"valueInteger": 7}, "7"),
        ({"valueBoolean": False}, "false"),
        ({"valueIdentifier": {"system": NHS_NUMBER_SYSTEM, "value": NUMBER}}, f"{NHS_NUMBER_SYSTEM}|{NUMBER}"),
        ({"valueIdentifier": {"value": NUMBER}}, NUMBER),
        ({"valueReference": {"reference": f"Patient/{NUMBER}"}}, f"Patient/{NUMBER}"),
        ({"valueReference": {"identifier": {"system": "a:b", "value": "7"}}}, "a:b|7"),
    ],
)
def test_a_value_of_parameters_is_the_text_that_a_query_has(value: dict[str, Any], text: str) -> None:
    assert parse_operation_parameters(sent({"name": "p", **value})) == [("p", text)]


def test_parameters_may_repeat_and_may_be_missing() -> None:
    repeated = sent({"name": "_type", "valueCode": "Condition"}, {"name": "_type", "valueCode": "Patient"})

    assert parse_operation_parameters(repeated) == [("_type", "Condition"), ("_type", "Patient")]
    assert parse_operation_parameters(b'{"resourceType":"Parameters"}') == []
    assert parse_operation_parameters(b" ") == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"resourceType":"Patient"}', Malformed),
        (b"[]", OneStoryError),
        (sent({"name": "p"}), Unprocessable),
        (sent({"name": "p", "valueIdentifier": {"system": "a:b"}}), Unprocessable),
        (sent({"name": "p", "resource": {"resourceType": "Patient"}}), Unprocessable),
        (sent({"name": "p", "valueQuantity": {"value": 1}}), Unprocessable),
        (sent({"valueString": "x"}), Unprocessable),
        (sent(*[{"name": "p", "valueString": "x"}] * 101), Malformed),
    ],
)
def test_a_body_that_holds_no_texts_is_refused(body: bytes, error: type[OneStoryError]) -> None:
    with pytest.raises(error):
        parse_operation_parameters(body)


@pytest.mark.parametrize("name", PERSON_PARAMETERS)
def test_each_parameter_of_the_person_names_the_person(name: str) -> None:
    by_number = PersonRef(KEY, NUMBER)
    value = f"{NHS_NUMBER_SYSTEM}|{NUMBER}" if name.endswith("identifier") else NUMBER

    assert person_ref(name, value, KEYS, FHIR) == by_number
    assert parse_search([(name, value)], "Condition", FHIR, lenient=False).filters == ()


def test_another_chain_names_no_person() -> None:
    assert person_ref("patient.name", "Okafor", KEYS, FHIR) is None
    with pytest.raises(Malformed) as refused:
        parse_search([("patient.name", "Okafor")], "Condition", FHIR, lenient=False)

    text = refused.value.issues[0].diagnostics
    for name in ("patient", "patient.identifier", "subject:Patient.identifier", "_id", "_sort", "_elements", "code"):
        assert f" {name}," in text or f" {name}." in text, name


def test_an_id_that_no_patient_has_here_is_refused() -> None:
    with pytest.raises(Malformed):
        person_ref("patient._id", "7", KEYS, FHIR)


def test_types_may_be_repeated_and_listed() -> None:
    query = parse_query(
        [("_type", "Condition,Patient"), ("_type", "Patient"), ("_type", "Observation")],
        EVERYTHING_PARAMETERS,
        lenient=False,
    )

    assert query.types == ("Condition", "Patient", "Observation")


def test_a_read_may_ask_for_a_part() -> None:
    query = parse_query([("_elements", "name,birthDate")], RESOURCE_PARAMETERS, lenient=False)

    assert query.shape == Shape("false", frozenset({"name", "birthDate"}))
    assert parse_query([("_summary", "text")], RESOURCE_PARAMETERS, lenient=False).shape == Shape("text")
    assert parse_query([("_summary", "count")], EVERYTHING_PARAMETERS, lenient=False).count == 0


@pytest.mark.parametrize(
    "parameters", [[("_summary", "all")], [("_elements", "a.b")], [("_summary", "true"), ("_elements", "name")]]
)
def test_a_part_that_cannot_be_shown_is_refused(parameters: list[tuple[str, str]]) -> None:
    with pytest.raises(Malformed):
        parse_query(parameters, RESOURCE_PARAMETERS, lenient=False)


def test_one_resource_cannot_be_counted() -> None:
    with pytest.raises(Malformed):
        shaped_resource(b'{"resourceType":"Patient"}', Shape("count"))


def test_a_part_of_a_resource_keeps_what_changes_its_meaning() -> None:
    whole = b'{"resourceType":"Patient","id":"1","active":false,"name":[{"family":"Okafor"}],"gender":"female"}'

    shown = orjson.loads(shaped_resource(whole, Shape("false", frozenset({"name"}))))

    assert shown.keys() == {"resourceType", "id", "meta", "active", "name"}
    assert shown["meta"]["tag"][0]["code"] == "SUBSETTED"


def test_a_directory_type_is_searched_without_a_person() -> None:
    assert searches_directory("Organization", None, names_person=False)
    assert searches_directory("Organization", ["x"], names_person=False)
    assert not searches_directory("Organization", [RECORD_ID], names_person=True)
    assert not searches_directory("Condition", None, names_person=False)
    with pytest.raises(Malformed):
        searches_directory("Organization", [RECORD_ID, DIRECTORY_ID], names_person=True)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("_profile", "https://a.example/Vitals", True),
        ("_profile", "https://a.example/Vitals|1.0", True),
        ("_profile", "https://a.example/Vitals|2.0", False),
        ("_profile", "https://a.example/Vital", False),
        ("_profile:below", "https://a.example/", True),
        ("_profile:missing", "true", False),
        ("_source", "https://a.example/system", True),
    ],
)
def test_a_profile_is_found_with_and_without_its_version(name: str, value: str, found: bool) -> None:
    meta = {"profile": ["https://a.example/Vitals|1.0"], "source": "https://a.example/system"}
    search = parse_search([(name, value)], "Observation", FHIR, lenient=False)

    assert search.matches({"resourceType": "Observation", "meta": meta}) is found


def test_a_name_is_found_by_a_part_of_it() -> None:
    def finds(value: str) -> bool:
        search = parse_search([("name:contains", value)], "Organization", FHIR, lenient=False)
        return search.matches({"resourceType": "Organization", "name": "Saint-Étienne Surgery"})

    assert finds("etienne")
    assert finds("nt-Et")
    assert not finds("Hill")
    assert not finds("-")

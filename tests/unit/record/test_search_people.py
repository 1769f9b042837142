"""Search by name and birth date: which queries it takes, and which parts of a Patient statement it reads."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onestory.record.person.identifiers import PatientName, name_forms, name_matches, name_words, patient_name_row
from onestory.record.search.parameters import parse_search
from onestory.record.search.people import PeopleQuery, parse_people_query
from onestory.shared.errors import Malformed


def asked(*parameters: tuple[str, str]) -> PeopleQuery:
    return parse_people_query(parse_search(parameters, "Patient", "https://care.example.org/fhir", lenient=False))


def row(**elements: Any) -> PatientName | None:
    return patient_name_row("k", "k-r", uuid4(), orjson.dumps({"resourceType": "Patient", **elements}))


def test_a_statement_is_found_by_the_words_of_all_its_names() -> None:
    names = [{"family": "Nuñez-O'Hara", "given": ["José", "María"]}, {"text": "Pepe"}]

    found = row(birthDate="1941-03-02", name=names)

    assert found
    assert found.birth_date == "1941-03-02"
    assert found.forms == ["hara", "jose", "maria", "nunez", "nunezohara", "o", "pepe"]


@pytest.mark.parametrize(
    "elements",
    [
        {"name": [{"family": "Okafor"}]},
        {"birthDate": "1941-03-02"},
        {"birthDate": "1941-03-02", "name": [{"family": "-"}]},
        {"birthDate": 1941, "name": "Okafor"},
        {"birthDate": "soon", "name": [{"family": "Okafor"}]},
        {"birthDate": "1941", "name": [None, 7, {"family": 7, "given": "Amina"}]},
    ],
)
def test_a_statement_without_a_name_or_a_birth_date_is_not_found_by_them(elements: dict[str, Any]) -> None:
    assert row(**elements) is None


def test_a_statement_that_cannot_be_read_is_not_found() -> None:
    for content in (b'{"birthDate":"1941","name":[{"family":"\\ud800"}]}', b"", b"[]", b'{"birthDate":"19'):
        assert patient_name_row("k", "k-r", uuid4(), content) is None


def test_a_name_without_end_is_searched_by_its_beginning() -> None:
    found = row(birthDate="1941", name=[{"given": [f"name{place}" for place in range(10_000)], "family": "x" * 10_000}])

    assert found
    assert len(found.forms) == 200


@given(st.text(max_size=30))
def test_every_name_that_has_letters_is_found_by_itself(name: str) -> None:
    assert name_matches(name_words(name), name_forms(name)) is bool(name_forms(name))
    assert name_matches(name_words(name.upper()), name_forms(name)) is bool(name_forms(name.upper()))


def test_the_first_word_and_all_words_as_one_are_looked_up() -> None:
    who = asked(("name", "O'Brien,Zoë Okafor"), ("birthdate", "1941-03-02"))

    assert who.birth_dates == ["1941-03-02", "1941-03", "1941"]
    assert who.name_prefixes == ["o", "obrien", "zoe", "zoeokafor"]


@pytest.mark.parametrize(
    ("stated", "found"), [("1941-03-02", True), ("1941-03", True), ("1941", True), ("1941-03-03", False), (None, False)]
)
def test_a_partial_birth_date_is_not_held_against_a_person(stated: str | None, found: bool) -> None:
    who = asked(("family", "okafor"), ("gender", "female"), ("birthdate", "1941-03-02"))
    said = {"resourceType": "Patient", "name": [{"family": "Okafor"}], "gender": "female", "birthDate": stated}

    assert who.matches(said) is found
    assert not who.matches({**said, "gender": "male"})
    assert not who.matches({**said, "name": [{"given": ["Okafor"]}]})


@pytest.mark.parametrize(
    "parameters",
    [
        [],
        [("name", "Okafor")],
        [("birthdate", "1941-03-02")],
        [("name", "Okafor"), ("birthdate", "1941-03")],
        [("name", "Okafor"), ("birthdate", "ge1941-03-02")],
        [("name", "Okafor"), ("birthdate", "1941-03-32")],
        [("name", "Okafor"), ("birthdate", "1941-03-02"), ("birthdate", "1941-03-03")],
        [("name", "Okafor"), ("birthdate:missing", "true")],
        [("name:missing", "false"), ("birthdate", "1941-03-02")],
        [("name", "o"), ("birthdate", "1941-03-02")],
        [("name", "Okafor,o"), ("birthdate", "1941-03-02")],
        [("name", "Okafor"), ("birthdate", "1941-03-02"), ("_sort", "name")],
    ],
)
def test_who_is_not_narrowed_down_is_not_looked_for(parameters: list[tuple[str, str]]) -> None:
    with pytest.raises(Malformed):
        asked(*parameters)

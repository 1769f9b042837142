"""Search by quantity and number: `value-quantity=gt5.4|http://unitsofmeasure.org|mg`."""

from __future__ import annotations

from typing import Any

import pytest

from onestory.record.search.parameters import parse_search
from onestory.record.search.quantities import sort_text
from onestory.shared.errors import Malformed

FHIR = "https://care.example.org/fhir"
UCUM = "http://unitsofmeasure.org"


def finds(value: dict[str, Any], text: str, name: str = "value-quantity") -> bool:
    resource = {"resourceType": "Observation", "valueQuantity": value}
    return parse_search([(name, text)], "Observation", FHIR, lenient=False).matches(resource)


@pytest.mark.parametrize(
    ("stated", "text", "found"),
    [
        (5.4, "5.4", True),
        (5.449, "5.4", True),
        (5.45, "5.4", False),
        (5.35, "5.4", True),
        (5.349, "5.4", False),
        (5.4, "5.40", True),
        (5.41, "5.40", False),
        (120, "120", True),
        (119.4, "120", False),
        (5.4, "ne5.4", False),
        (5.5, "ne5.4", True),
        (5.4, "gt5.4", False),
        (5.41, "gt5.4", True),
        (5.4, "ge5.4", True),
        (5.39, "ge5.4", False),
        (5.4, "lt5.4", False),
        (5.39, "lt5.4", True),
        (5.4, "le5.4", True),
        (5.41, "sa5.4", True),
        (5.4, "sa5.4", False),
        (5.39, "eb5.4", True),
        (5.4, "eb5.4", False),
        (95, "ap100", True),
        (110, "ap100", True),
        (111, "ap100", False),
        (-4, "lt-3.5", True),
        (0.0054, "5.4e-3", True),
    ],
)
def test_a_number_is_compared_as_fhir_says(stated: float, text: str, found: bool) -> None:
    assert finds({"value": stated}, text) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"gt5|{UCUM}|mg", True),
        (f"gt5|{UCUM}|g", False),
        ("gt5|http://snomed.info/sct|mg", False),
        (f"gt5|{UCUM}|", True),
        ("gt5||mg", True),
        ("gt5||milligram", True),
        ("gt5||g", False),
        ("gt5||", True),
        (f"gt9|{UCUM}|mg,lt9|{UCUM}|mg", True),
    ],
)
def test_a_unit_is_compared_by_system_and_code_or_by_its_text(text: str, found: bool) -> None:
    assert finds({"value": 7, "unit": "milligram", "system": UCUM, "code": "mg"}, text) is found


@pytest.mark.parametrize(
    ("comparator", "text", "found"),
    [
        ("<", "lt3", True),
        ("<", "gt3", True),
        ("<", "gt5", False),
        ("<", "5", False),
        ("<", "sa1", False),
        (">=", "gt100", True),
        (">=", "lt5", False),
        (">", "eb100", False),
    ],
)
def test_a_value_below_a_limit_is_all_that_it_may_be(comparator: str, text: str, found: bool) -> None:
    assert finds({"value": 5, "comparator": comparator}, text) is found


@pytest.mark.parametrize("stated", [{}, {"value": "5"}, {"value": True}, {"value": None}, {"unit": "mg"}, [], "5"])
def test_a_value_without_a_number_is_not_found(stated: Any) -> None:
    assert not any(finds(stated, text) for text in ("5", "ne5", "gt0", "lt9"))


@pytest.mark.parametrize("text", ["", "mg", "gt", "xx5", "5|mg", "5|a|b|c", "1e999", "5,", "٥", "5.4.3", "NaN", "inf"])
def test_a_value_that_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        finds({"value": 5}, text)

    assert "value-quantity" in refused.value.issues[0].diagnostics


def test_components_are_searched_too() -> None:
    pressure = {"resourceType": "Observation", "component": [{"valueQuantity": {"value": 150}}]}
    search = parse_search([("combo-value-quantity", "gt140")], "Observation", FHIR, lenient=False)
    own = parse_search([("value-quantity", "gt140")], "Observation", FHIR, lenient=False)

    assert search.matches(pressure)
    assert not own.matches(pressure)


def test_a_probability_is_a_number_or_a_range() -> None:
    def finds_risk(prediction: dict[str, Any], text: str) -> bool:
        resource = {"resourceType": "RiskAssessment", "prediction": [prediction]}
        return parse_search([("probability", text)], "RiskAssessment", FHIR, lenient=False).matches(resource)

    assert finds_risk({"probabilityDecimal": 0.3}, "gt0.2")
    assert finds_risk({"probabilityRange": {"low": {"value": 0.1}, "high": {"value": 0.3}}}, "gt0.2")
    assert not finds_risk({"probabilityRange": {"low": {"value": 0.1}, "high": {"value": 0.2}}}, "gt0.2")


def test_numbers_sort_as_numbers() -> None:
    numbers = [-1000, -2.5, -2, 0, 0.001, 9, 10, 100, 1e30]

    texts = [sort_text({"value": number}) or "" for number in numbers]

    assert texts == sorted(texts)
    assert len({*texts}) == len(numbers)
    assert sort_text({"unit": "mg"}) is None

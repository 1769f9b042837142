"""The data files of the merge rules are complete and well spelt, and name types and elements that FHIR has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from onestory.record.merge.rules import merge_rules
from onestory.shared.fhir.definitions import definitions, resource_types

FOLDER = Path(__file__).parents[2] / "schemas" / "merge"
FILES = {path.stem: yaml.safe_load(path.read_text())["content"] for path in sorted(FOLDER.glob("*.yaml"))}
CODE = {"system", "code", "display"}


def coded(name: str) -> list[Mapping[str, Any]]:
    """The codes of a file, each with its properties."""
    raw = FILES[name]
    return raw["codes"] if name in ("plans", "empty-codes") else [each for group in raw.values() for each in group]


def faults(entry: Mapping[str, Any], needed: set[str], also: Collection[str] = ()) -> list[str]:
    """The faults in the keys and values of an entry."""
    found = [f"unknown key {key}" for key in sorted(entry.keys() - needed - set(also))]
    found += [f"missing key {key}" for key in sorted(needed - entry.keys())]
    return found + [f"{key} is not text" for key in sorted(needed & entry.keys()) if not isinstance(entry[key], str)]


def checked_digit(code: str) -> bool:
    """Whether the check digit of a SNOMED CT identifier is right: Verhoeff's algorithm, in the dihedral group D5."""
    turn = list(range(10))
    check = 0
    for digit in reversed(code):
        check = _product(check, turn[int(digit)])
        turn = [_TURN[each] for each in turn]
    return check == 0


_TURN = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def _product(one: int, other: int) -> int:
    a, b = one % 5, other % 5
    mirrored = (one < 5) is not (other < 5)
    return (a + b if one < 5 else a - b) % 5 + (5 if mirrored else 0)


def snomed_codes() -> Iterator[str]:
    for name in ("none-known", "plans", "empty-codes"):
        yield from (each["code"] for each in coded(name) if each["system"] == "http://snomed.info/sct")
    for each in FILES["allergens"]:
        yield from [*([each["substance"]] if "substance" in each else []), *each.get("same", ())]
    yield from FILES["allergy-words"]["codes"]


def test_every_file_is_read() -> None:
    rules = merge_rules()

    assert all(
        [rules.unique_systems, rules.system_aliases, rules.negations, rules.none_known, rules.substances, rules.sides]
    )
    assert all([rules.plan_elements, rules.plans, rules.phases, rules.empty_codes, rules.empty_systems])


@pytest.mark.parametrize("name", ["none-known", "plans", "empty-codes"])
def test_a_code_has_its_system_and_is_said_in_words(name: str) -> None:
    also = {"none-known": {"of"}, "plans": {"decision"}}.get(name, set())

    assert [faults(each, CODE, also) for each in coded(name)] == [[]] * len(coded(name))


def test_an_identifier_system_says_why_it_is_unique() -> None:
    assert all(faults(each, {"system", "about"}, {"types"}) == [] for each in FILES["identifiers"])
    assert all(faults(each, {"system", "about"}, {"same"}) == [] for each in FILES["code-systems"])


def test_an_allergen_has_a_category_and_words_and_no_code_or_word_has_two() -> None:
    rows = FILES["allergens"]
    words = [word for each in rows for word in each["words"]]
    codes = [code for each in rows for code in [each.get("substance"), *each.get("same", ())] if code]

    assert {each["category"] for each in rows} == {"medication", "food", "environment", "biologic"}
    assert all(each.keys() <= {"name", "category", "substance", "same", "within", "cross", "words"} for each in rows)
    assert len({each["name"] for each in rows}) == len(rows)
    assert len(set(words)) == len(words)
    assert len(set(codes)) == len(codes)


def test_what_several_resources_carry_is_not_unique() -> None:
    shared = {"https://fhir.nhs.uk/Id/prescription-order-number", "https://fhir.nhs.uk/Id/nhs-number"}

    assert shared.isdisjoint(merge_rules().unique_systems)
    assert not any("accession" in system.casefold() for system in merge_rules().unique_systems)


def test_types_and_elements_are_those_of_fhir() -> None:
    rules, known = merge_rules(), definitions().types

    assert {*rules.negations, *rules.none_known, *rules.phases, *rules.plan_elements} <= resource_types()
    for kind, elements in [*rules.negations.items(), *rules.plan_elements.items()]:
        # Elements with a plain value are not among those that this test checks.
        assert set(elements) - {"doNotPerform"} <= known[kind].keys(), kind


def test_the_standing_of_a_status_is_one_that_merging_knows() -> None:
    said = {standing for statuses in merge_rules().phases.values() for standing in statuses.values()}

    assert said == {"current", "paused", "completed", "stopped"}


def test_no_status_has_two_standings_and_no_word_two_sides() -> None:
    for groups in [*FILES["statuses"].values(), FILES["laterality"]]:
        listed = [value for values in groups.values() for value in values]
        assert len(listed) == len(set(listed))


@pytest.mark.parametrize("code", sorted(set(snomed_codes())))
def test_a_snomed_code_is_spelt_right(code: str) -> None:
    assert checked_digit(code)


# Tests of the checks above.


def test_a_misspelt_key_a_number_and_a_wrong_code_are_found() -> None:
    assert faults({"system": "s", "cod": "1", "display": "d"}, CODE) == ["unknown key cod", "missing key code"]
    assert faults({"system": "s", "code": 1, "display": "d"}, CODE) == ["code is not text"]
    assert checked_digit("716186003")
    assert not checked_digit("716186030")

"""Person keys and shared ids identify the person without revealing the NHS number."""

from __future__ import annotations

import pytest

from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    Keys,
    PersonIdentifier,
    is_directory_id,
    is_nhs_number,
    parse_shared_id,
    provisional_identity,
)

PERSON = PersonIdentifier(NHS_NUMBER_SYSTEM, "9990000018")


@pytest.fixture
def keys() -> Keys:
    return Keys(b"a secret of thirty-two characters")


def test_a_shared_id_leads_to_the_person_without_a_lookup(keys: Keys) -> None:
    person_key = keys.person_key(PERSON)

    shared_id = keys.shared_id(person_key, "A81001", "emis-web", "Condition", "c1")

    assert len(shared_id) == 53
    parsed = parse_shared_id(shared_id)
    assert parsed is not None
    assert parsed.person_key == person_key


def test_a_resubmission_meets_itself_and_another_source_does_not(keys: Keys) -> None:
    key = keys.person_key(PERSON)

    first = keys.shared_id(key, "A81001", "emis-web", "Condition", "c1")

    assert first == keys.shared_id(key, "A81001", "emis-web", "Condition", "c1")
    others = [("A81002", "emis-web", "Condition", "c1"), ("A81001", "other", "Condition", "c1")]
    others += [("A81001", "emis-web", "Observation", "c1"), ("A81001", "emis-web", "Condition", "c2")]
    assert all(keys.shared_id(key, *other) != first for other in others)


def test_the_boundary_between_two_parts_is_part_of_the_hash(keys: Keys) -> None:
    assert keys.resource_hash("A8", "1001", "Condition", "c1") != keys.resource_hash("A81", "001", "Condition", "c1")


def test_without_the_secret_no_key_can_be_computed() -> None:
    assert Keys(b"x" * 32).person_key(PERSON) != Keys(b"y" * 32).person_key(PERSON)
    assert PERSON.value not in Keys(b"x" * 32).person_key(PERSON)


def test_a_provisional_identity_belongs_to_one_source_and_is_no_nhs_number(keys: Keys) -> None:
    one, other = provisional_identity("A81001", "emis-web", "p1"), provisional_identity("A81002", "emis-web", "p1")

    assert not one.is_nhs_number
    assert keys.person_key(one) != keys.person_key(other)


def test_a_directory_id_is_the_resource_hash_alone(keys: Keys) -> None:
    directory_id = keys.resource_hash("A81001", "emis-web", "Organization", "o1")

    assert is_directory_id(directory_id)
    assert parse_shared_id(directory_id) is None


@pytest.mark.parametrize("value", ["9000000009", "9000000025", "9000000033", "9990000018"])
def test_published_test_numbers_are_nhs_numbers(value: str) -> None:
    assert is_nhs_number(value)


@pytest.mark.parametrize(
    "value",
    ["9000000000", "1234567890", "999 000 0018", "999000001", "99900000180", "", "\u0669990000018", "9990000018\n"],
)
def test_what_is_no_nhs_number_is_refused(value: str) -> None:
    assert not is_nhs_number(value)

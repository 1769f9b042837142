"""The people are invented and cannot be mistaken for real ones."""

from __future__ import annotations

import pytest
from nhs_number import is_valid  # type: ignore[attr-defined]
from tests.unit.sample import network_of_twenty

from onestory.sample.chance import LARGEST_POPULATION, nhs_numbers
from onestory.sample.network import DEMOGRAPHIC_AUTHORITIES, NETWORKS
from onestory.sample.people import make_person


def test_nhs_numbers_are_valid_distinct_and_of_the_range_that_is_never_issued() -> None:
    numbers = [number for index in range(3000) for number in nhs_numbers(1, index)]
    numbers += [number for index in range(100_000, 100_500) for number in nhs_numbers(1, index)]

    assert len(set(numbers)) == len(numbers)
    assert all(is_valid(number) and number.startswith("999") for number in numbers)


def test_more_people_than_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="400000"):
        nhs_numbers(1, LARGEST_POPULATION)


def test_every_patient_carries_a_number_of_the_people() -> None:
    people = [make_person(network_of_twenty.SEED, index) for index in range(20)]
    known = {number for each in people for number in (each.nhs_number, each.superseded) if number}
    patients = [
        resource
        for bundle in network_of_twenty.twenty()
        for resource in bundle.resources
        if resource["resourceType"] == "Patient"
    ]

    assert {network_of_twenty.nhs_number(patient) for patient in patients} == known


def test_contact_details_lead_to_nobody() -> None:
    for index in range(200):
        someone = make_person(3, index)
        assert someone.postcode.startswith("ZZ99 ")
        assert someone.phone.startswith(("01632 960", "07700 900"))


def test_there_are_children_and_frail_older_people() -> None:
    ages = [make_person(3, index).age for index in range(200)]

    assert min(ages.count(age) for age in ("child", "adult", "frail")) >= 10


def test_practices_belong_to_several_networks_and_pds_is_the_authority() -> None:
    assert NETWORKS["A81001"] == "harbour"
    assert len(set(NETWORKS.values())) >= 2
    assert DEMOGRAPHIC_AUTHORITIES == ("X26",)

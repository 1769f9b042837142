"""The BaRS message definitions equal those that the NHS publishes, and deviations from them are found."""

from __future__ import annotations

import pytest
from tests.bars import published
from tests.contract import bars_definitions
from tests.contract.shared_data import needs_shared_data

from onestory.referral.bars.definitions import Cardinality, bundle_versions, definitions

REFERRAL = "bars-message-servicerequest-request-referral"


@needs_shared_data
def test_the_definitions_are_those_that_are_published() -> None:
    assert bars_definitions.FILE.read_text() == bars_definitions.made()


@needs_shared_data
def test_another_cardinality_than_the_published_one_is_noticed() -> None:
    changed = bars_definitions.FILE.read_text().replace("min: 2", "min: 1", 1)

    assert changed != bars_definitions.made()


@needs_shared_data
@pytest.mark.parametrize("name", ["REFREQ01", "REFREQ8A", "VALREQ01", "VALRESP01B", "BOOKREQ01"])
def test_the_versions_of_published_messages_are_spoken(name: str) -> None:
    assert published(name)["meta"]["versionId"] in bundle_versions()


def test_several_profiles_of_one_type_count_together() -> None:
    counts = definitions()[REFERRAL].counts

    assert counts["Location"] == Cardinality(0, None)
    assert counts["Flag"] == Cardinality(0, None)
    assert "Bundle" not in counts


def test_a_referral_bundle_counts_as_its_rules_say() -> None:
    counts = definitions()[REFERRAL].counts

    once = ("MessageHeader", "ServiceRequest", "Patient", "Encounter", "CarePlan")
    assert {counts[kind] for kind in once} == {Cardinality(1, 1)}
    assert counts["Organization"] == Cardinality(2, None)
    at_least_once = ("Practitioner", "PractitionerRole", "Consent", "HealthcareService")
    assert {counts[kind] for kind in at_least_once} == {Cardinality(1, None)}
    assert counts["Device"] == Cardinality(0, 1)
    assert counts["RelatedPerson"] == Cardinality(0, None)


def test_an_update_may_carry_the_encounter_of_the_receiver_too() -> None:
    definition = definitions()[REFERRAL]

    assert definition.counts_for("new")["Encounter"] == Cardinality(1, 1)
    assert definition.counts_for("update")["Encounter"] == Cardinality(1, 2)

"""Requests to the record: how parameters are read, and which ones are refused instead of being misread."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from onestory.record.person.identifiers import PersonRef, ref_from_address, ref_from_reference
from onestory.record.search.dates import TimeRange, last_updated, since
from onestory.record.search.parameters import (
    EVERYTHING_PARAMETERS,
    MAX_COUNT,
    SEARCH_PARAMETERS,
    parse_query,
    resource_types_in_parameter,
)
from onestory.record.search.sorting import EntryCursor, parse_entry_cursor
from onestory.shared.errors import Malformed
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier, provisional_identity

KEYS = Keys(b"a secret of at least thirty-two bytes")
NUMBER = "9990000018"
KEY = KEYS.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, NUMBER))
FHIR = "https://care.example.org/fhir"


def test_an_unknown_parameter_is_refused_by_name() -> None:
    with pytest.raises(Malformed) as refused:
        parse_query([("_id", NUMBER), ("code", "x")], SEARCH_PARAMETERS, lenient=False)

    assert "'code'" in refused.value.issues[0].diagnostics


def test_a_lenient_caller_is_told_what_was_passed_over() -> None:
    assert parse_query([("code", "x"), ("_count", "5")], SEARCH_PARAMETERS, lenient=True).ignored == ("code",)


def test_the_parameters_become_one_question() -> None:
    asked = parse_query(
        [("_type", "Condition,Observation"), ("_since", "2026-01-01T00:00:00Z"), ("_count", "7")],
        EVERYTHING_PARAMETERS,
        lenient=False,
    )

    assert asked.types == ("Condition", "Observation")
    assert asked.time_range.since == datetime(2026, 1, 1, tzinfo=UTC)
    assert asked.count == 7


@pytest.mark.parametrize("count", ["-1", "1.5", "x", "", "1" * 10, "١"])
def test_a_count_that_is_no_number_is_refused(count: str) -> None:
    with pytest.raises(Malformed):
        parse_query([("_count", count)], SEARCH_PARAMETERS, lenient=False)


def test_a_page_has_a_greatest_size() -> None:
    assert parse_query([("_count", "999999")], SEARCH_PARAMETERS, lenient=False).count == MAX_COUNT


def test_a_cursor_survives_its_way_through_a_url() -> None:
    place = EntryCursor("Condition", f"{'a' * 26}-{'b' * 26}")

    assert parse_entry_cursor(place.encode()) == place


@pytest.mark.parametrize("cursor", ["", "%", "AAAA", "Q29uZGl0aW9uL1gnOw", "é"])
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(Malformed):
        parse_entry_cursor(cursor)


def test_a_comparison_with_a_date_covers_all_of_the_date() -> None:
    day, next_day = datetime(2026, 2, 28, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)

    assert last_updated("2026-02-28") == TimeRange(day, next_day)
    assert last_updated("gt2026-02-28") == TimeRange(since=next_day)
    assert last_updated("ge2026-02-28") == TimeRange(since=day)
    assert last_updated("lt2026-02-28") == TimeRange(before=day)
    assert last_updated("le2026-02") == TimeRange(before=next_day)
    assert last_updated("2026") == TimeRange(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


def test_an_instant_may_have_a_zone_whose_plus_sign_became_a_space() -> None:
    assert since("2026-02-28T10:00:00.123 01:00").since == datetime(2026, 2, 28, 9, 0, 0, 123000, tzinfo=UTC)


@pytest.mark.parametrize("value", ["", "yesterday", "2026-13-01", "2026-02-30", "2026-02-28T25:00:00Z"])
def test_what_is_no_date_is_refused(value: str) -> None:
    with pytest.raises(Malformed):
        last_updated(value)


@pytest.mark.parametrize(
    "value",
    [NUMBER, f"Patient/{NUMBER}", f"{FHIR}/Patient/{NUMBER}", f"{NHS_NUMBER_SYSTEM}|{NUMBER}"],
)
def test_a_person_can_be_named_in_every_usual_way(value: str) -> None:
    assert ref_from_reference(value, KEYS, FHIR) == PersonRef(KEY, NUMBER)


def test_a_person_can_be_named_by_a_sources_patient_or_a_provisional_identity() -> None:
    shared_id = f"{KEY}-{'b' * 26}"
    nobody_knows = provisional_identity("RZ3", "millennium", "42")

    assert ref_from_reference(f"Patient/{shared_id}", KEYS, FHIR) == PersonRef(KEY)
    assert ref_from_reference("|".join(nobody_knows), KEYS, FHIR) == PersonRef(KEYS.person_key(nobody_knows))
    assert ref_from_address("Condition", shared_id, KEYS) == PersonRef(KEY)
    assert ref_from_address("Condition", NUMBER, KEYS) is None


@pytest.mark.parametrize("value", ["", "9990000019", f"{NHS_NUMBER_SYSTEM}|9990000019", "Condition/1", "|", "a|"])
def test_who_is_not_named_rightly_is_refused(value: str) -> None:
    with pytest.raises(Malformed):
        ref_from_reference(value, KEYS, FHIR)


def test_a_mistyped_resource_type_is_not_an_empty_list() -> None:
    with pytest.raises(Malformed):
        resource_types_in_parameter(["Condition", "Allergy"])

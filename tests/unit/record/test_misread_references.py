"""Finds the references that an earlier release may have misread, and builds the events that correct them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from onestory.record.projector.rows import version_meta
from onestory.record.references.domain import (
    CONTAINED,
    CORRECTION_SYSTEM,
    NOT_IN_DIRECTORY,
    ONE_NAME,
    StoredStatement,
    corrected,
    quarantined,
    suspect_contained,
    suspect_directory_references,
    suspects_of_submission,
)
from onestory.shared.errors import Unprocessable
from onestory.shared.events import Operation, Source, rank_of
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier

KEYS = Keys(b"k" * 32)
SOURCE = Source("A81001", "emis")
THEN = datetime(2026, 11, 1, 9, tzinfo=UTC)
NOW = THEN + timedelta(days=20)
ALPHA = PersonIdentifier(NHS_NUMBER_SYSTEM, "9990006016")
BRAVO = PersonIdentifier(NHS_NUMBER_SYSTEM, "9990006113")
EVENT = UUID(int=7)
SUBMISSION = "01a0-submission"


def stored(person: PersonIdentifier, kind: str, local_id: str, **elements: Any) -> StoredStatement:
    """A statement as the record has it. `elements` with bytes stay as they are."""
    person_key = KEYS.person_key(person)
    shared_id = KEYS.shared_id(person_key, SOURCE.organisation, SOURCE.system, kind, local_id)
    rest = msgspec.json.encode(elements)[1:-1]
    content = b'{"resourceType":"%b","id":"%b","meta":{%b,"tag":[{"system":"s","code":"c"}]}%b%b}' % (
        *(kind.encode(), shared_id.encode(), version_meta(EVENT, THEN)),
        *(b"," if rest else b"", rest),
    )
    return StoredStatement(
        *(person_key, person, kind, shared_id, EVENT, SOURCE, local_id),
        *(rank_of(None, THEN), THEN, THEN, THEN, content, True),
    )


def to(target: StoredStatement) -> dict[str, str]:
    return {"reference": target.name}


ALPHAS_PATIENT, BRAVOS_PATIENT = (
    stored(ALPHA, "Patient", f"{SUBMISSION}/0"),
    stored(BRAVO, "Patient", f"{SUBMISSION}/1"),
)
CONDITION = stored(ALPHA, "Condition", f"{SUBMISSION}/2", subject={"reference": f"Patient/{ALPHA.value}"})


def test_a_condition_may_be_about_the_other_patient_of_its_submission() -> None:
    (suspect,) = suspects_of_submission([ALPHAS_PATIENT, BRAVOS_PATIENT, CONDITION])

    (found,) = suspect.references
    assert suspect.statement is CONDITION
    assert (found.path, found.reference, found.why) == (
        "Condition.subject.reference",
        f"Patient/{ALPHA.value}",
        ONE_NAME,
    )
    assert found.instead == (f"Patient/{BRAVO.value}",)


def test_a_medicine_may_be_the_other_one_of_its_submission() -> None:
    amoxicillin, warfarin = (stored(ALPHA, "Medication", f"{SUBMISSION}/{index}") for index in (1, 2))
    taken = stored(ALPHA, "MedicationStatement", "5", medicationReference=to(amoxicillin))

    (suspect,) = suspects_of_submission([amoxicillin, warfarin, taken])

    assert suspect.references[0].instead == (warfarin.name,)


@pytest.mark.parametrize(
    ("first", "second", "suspicious"),
    [
        ("m1", "m2", False),  # ids of their own: two names
        ("m1", f"{SUBMISSION}/2", True),
        ("https://example.org/id|1", f"{SUBMISSION}/2", True),
        (f"{SUBMISSION}/2", f"{SUBMISSION}/1", False),  # the earlier entry would have won
    ],
)
def test_two_entries_may_share_a_name_unless_both_have_ids(first: str, second: str, suspicious: bool) -> None:
    target, other = stored(ALPHA, "Medication", first), stored(ALPHA, "Medication", second)
    taken = stored(ALPHA, "MedicationStatement", "5", medicationReference=to(target))

    assert bool(list(suspects_of_submission([target, other, taken]))) is suspicious


def test_two_patients_of_one_person_are_no_doubt() -> None:
    again = stored(ALPHA, "Patient", f"{SUBMISSION}/1")

    assert list(suspects_of_submission([ALPHAS_PATIENT, again, CONDITION])) == []


def test_a_contained_id_that_two_resources_have_is_suspect() -> None:
    patients = [{"resourceType": "Patient", "id": "p"}, {"resourceType": "Patient", "id": "p"}]
    twice = stored(ALPHA, "Condition", "c", contained=patients, subject={"reference": "#p"})
    once = stored(ALPHA, "Condition", "c", contained=patients[:1], subject={"reference": "#p"})

    suspect = suspect_contained(twice)

    assert suspect is not None
    assert [(found.reference, found.why) for found in suspect.references] == [("#p", CONTAINED)]
    assert suspect.references[0].instead == ("Condition.contained[0]", "Condition.contained[1]")
    assert suspect_contained(once) is None


def test_a_directory_reference_names_where_the_record_has_the_resource() -> None:
    digoxin = stored(ALPHA, "Medication", "dig")
    lost = f"Medication/{digoxin.shared_id.rpartition('-')[2]}"
    taken = stored(ALPHA, "MedicationStatement", "5", medicationReference={"reference": lost})

    suspect = suspect_directory_references(taken, {lost: digoxin.name})

    assert [found[1:] for found in suspect.references] == [(lost, NOT_IN_DIRECTORY, (digoxin.name,))]


def test_a_corrected_statement_is_the_same_resource_of_the_right_person() -> None:
    event = corrected(CONDITION, BRAVO, {}, "HAZ-7", NOW, KEYS)

    (entry,) = event.entries
    content = msgspec.json.decode(entry.content or b"")
    assert (event.person, event.source, event.reference_rules) == (BRAVO, SOURCE, 2)
    assert entry.shared_id == f"{KEYS.person_key(BRAVO)}-{CONDITION.shared_id.rpartition('-')[2]}" == content["id"]
    assert content["subject"] == {"reference": f"Patient/{BRAVO.value}"}
    assert content["meta"] == {
        "tag": [{"system": "s", "code": "c"}, {"system": CORRECTION_SYSTEM, "code": "corrected", "display": "HAZ-7"}]
    }


def test_a_correction_replaces_the_misread_statement_but_no_later_one() -> None:
    event = corrected(CONDITION, BRAVO, {}, "HAZ-7", NOW, KEYS)

    rank = rank_of(event.sequence, event.entries[0].recorded_at)
    assert (rank, event.published_at) > (CONDITION.rank, CONDITION.published_at)
    assert rank < rank_of(None, THEN + timedelta(microseconds=1))


def test_the_sequence_of_a_source_is_kept() -> None:
    numbered = CONDITION._replace(rank=41)

    assert corrected(numbered, BRAVO, {}, "r", NOW, KEYS).sequence == 41
    assert corrected(CONDITION, BRAVO, {}, "r", NOW, KEYS).sequence is None


def test_a_repeated_correction_is_the_same_event() -> None:
    first = corrected(CONDITION, BRAVO, {}, "r", NOW, KEYS)

    assert corrected(CONDITION, BRAVO, {}, "r", NOW + timedelta(hours=1), KEYS).event_id == first.event_id
    assert corrected(CONDITION, BRAVO, {}, "another", NOW, KEYS).event_id != first.event_id
    assert quarantined(CONDITION, "r", NOW, KEYS).event_id != first.event_id


def test_a_wrong_medicine_is_replaced_and_the_rest_keeps_its_bytes() -> None:
    amoxicillin, warfarin = stored(ALPHA, "Medication", "a"), stored(ALPHA, "Medication", "w")
    taken = stored(
        ALPHA,
        "MedicationStatement",
        "5",
        medicationReference=to(amoxicillin),
        note=[{"text": f'not "{amoxicillin.name}"'}],
        dosage=[{"doseAndRate": [{"doseQuantity": {"value": 1.50}}]}],
    )
    raw = taken._replace(content=taken.content.replace(b"1.5", b"1.50"))

    event = corrected(raw, ALPHA, {amoxicillin.name: warfarin.name}, "r", NOW, KEYS)

    content = event.entries[0].content or b""
    assert msgspec.json.decode(content)["medicationReference"] == to(warfarin)
    assert msgspec.json.decode(content)["note"] == [{"text": f'not "{amoxicillin.name}"'}]
    assert b'"value":1.50' in content


def test_two_references_can_be_swapped() -> None:
    first, second = stored(ALPHA, "Medication", "a"), stored(ALPHA, "Medication", "b")
    given = stored(ALPHA, "MedicationAdministration", "g", medicationReference=to(first), partOf=[to(second)])

    event = corrected(given, ALPHA, {first.name: second.name, second.name: first.name}, "r", NOW, KEYS)

    content = msgspec.json.decode(event.entries[0].content or b"")
    assert (content["medicationReference"], content["partOf"]) == (to(second), [to(first)])


def test_a_reference_is_replaced_however_it_is_written_or_the_correction_is_refused() -> None:
    url = "https://ehr.example/Medication/1"
    taken = stored(ALPHA, "MedicationStatement", "5", medicationReference={"reference": url})
    escaped = taken._replace(content=taken.content.replace(url.encode(), url.replace("/", r"\/").encode()))
    unreadable = taken._replace(content=taken.content.replace(b'"reference"', rb'"referenc\u0065"'))

    event = corrected(escaped, ALPHA, {url: "Medication/2"}, "r", NOW, KEYS)

    content = msgspec.json.decode(event.entries[0].content or b"")
    assert content["medicationReference"] == {"reference": "Medication/2"}
    with pytest.raises(Unprocessable, match="cannot be replaced"):
        corrected(unreadable, ALPHA, {url: "Medication/2"}, "r", NOW, KEYS)


def test_a_change_of_person_asks_where_other_references_lead() -> None:
    visit = stored(ALPHA, "Encounter", "e")
    seen = stored(ALPHA, "Condition", "c", subject={"reference": f"Patient/{ALPHA.value}"}, encounter=to(visit))
    bravos_visit = stored(BRAVO, "Encounter", "e2")

    with pytest.raises(Unprocessable, match=visit.name):
        corrected(seen, BRAVO, {}, "r", NOW, KEYS)
    event = corrected(seen, BRAVO, {visit.name: bravos_visit.name}, "r", NOW, KEYS)

    assert msgspec.json.decode(event.entries[0].content or b"")["encounter"] == to(bravos_visit)


def test_only_a_reference_that_stands_can_be_replaced() -> None:
    with pytest.raises(Unprocessable, match="Medication/x"):
        corrected(CONDITION, ALPHA, {"Medication/x": "Medication/y"}, "r", NOW, KEYS)


def test_a_statement_that_names_its_person_by_number_alone_was_not_misread() -> None:
    by_number = stored(ALPHA, "Condition", "c", subject={"identifier": {"system": NHS_NUMBER_SYSTEM, "value": "9"}})

    with pytest.raises(Unprocessable, match="Quarantine"):
        corrected(by_number, BRAVO, {}, "r", NOW, KEYS)


def test_quarantine_moves_a_statement_to_an_identity_that_no_person_has() -> None:
    event = quarantined(CONDITION, "r", NOW, KEYS)

    (entry,) = event.entries
    assert entry.operation is Operation.ASSERT
    assert not event.person.is_nhs_number
    assert entry.shared_id.startswith(KEYS.person_key(event.person))
    assert entry.shared_id.rpartition("-")[2] == CONDITION.shared_id.rpartition("-")[2]
    assert msgspec.json.decode(entry.content or b"")["subject"] == {"reference": f"Patient/{ALPHA.value}"}


def test_a_supporting_resource_in_quarantine_is_retracted_for_this_person_alone() -> None:
    event = quarantined(stored(ALPHA, "Medication", "m"), "r", NOW, KEYS)

    (entry,) = event.entries
    assert (event.person, entry.operation, entry.content) == (ALPHA, Operation.RETRACT, None)

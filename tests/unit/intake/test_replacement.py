"""A new system of a source replaces the statements of its old system, with a dry run."""

from __future__ import annotations

import pytest
from tests.people import condition, patient, transaction
from tests.unit.intake.door import AMINA, KEYS, SOURCE, Json, observation, person, posted
from tests.unit.intake.test_http import HttpDoor, issues

from onestory.intake.domain.earlier import SystemResources
from onestory.intake.domain.replacement import replacement_of
from onestory.shared.events import REFERRAL_SYSTEM, RecordChanged, Source
from onestory.shared.identity import provisional_identity

OLD = Source(SOURCE.organisation, "old-system")
EVERYTHING = {"Patient": 1, "Condition": 1, "Practitioner": 1}
SUBJECT = {"reference": f"Patient/{AMINA}"}


@pytest.fixture
def door() -> HttpDoor:
    return HttpDoor()


def has(resources: dict[str, int]) -> list[SystemResources]:
    """The old system's resources of the person, all earlier than the new statement."""
    return [SystemResources(kind, person(AMINA), count, 0) for kind, count in resources.items()]


def send(door: HttpDoor, body: Json, *, types: str = "Condition", **headers: str) -> tuple[int, list[str]]:
    """The status and the diagnostics of a publish by the new system that replaces the old one."""
    answer = door.send("POST", "/fhir", body, X_Replaces_System=OLD.system, X_Complete_Types=types, **headers)
    told = issues(answer) if answer.json()["resourceType"] == "OperationOutcome" else []
    return answer.status_code, [issue["diagnostics"] for issue in told]


def whole() -> Json:
    return transaction(patient(AMINA, "p1"), condition(AMINA, "c1"))


def test_the_old_systems_statements_are_retired_after_the_new_ones(door: HttpDoor) -> None:
    door.record.types = has({"Patient": 1, "Condition": 2, "Medication": 1})

    assert send(door, whole()) == (200, [])

    new, old = door.events()
    assert isinstance(old, RecordChanged)
    assert (new.source, old.source) == (SOURCE, OLD)
    assert (old.person, old.entries, old.recorded_at) == (person(AMINA), (), new.recorded_at)
    assert old.complete_types == ("Condition", "Medication", "Patient")
    assert [message.key for message in door.broker.sent] == [KEYS.person_key(person(AMINA)).encode()] * 2


def test_what_the_statement_is_no_whole_list_of_stays(door: HttpDoor) -> None:
    door.record.types = has({"Patient": 1, "Condition": 2, "AllergyIntolerance": 1, "Medication": 1})

    assert send(door, whole())[0] == 200

    assert door.events()[1].complete_types == ("Condition",)


@pytest.mark.parametrize(
    ("resources", "stated", "complete", "staying"),
    [
        ({"Patient": 1, "Condition": 1}, {"Patient"}, {"Condition"}, {}),
        ({"Patient": 1, "Condition": 1}, {"Condition"}, {"Condition"}, {"Patient": 1}),
        (EVERYTHING, {"Patient"}, set(), EVERYTHING),
        ({}, {"Patient"}, {"Condition"}, {}),
    ],
)
def test_the_old_patient_goes_only_when_nothing_else_stays(
    resources: dict[str, int], stated: set[str], complete: set[str], staying: dict[str, int]
) -> None:
    assert replacement_of("old", has(resources), stated, complete).staying == staying


def test_a_dry_run_says_what_would_happen_and_publishes_nothing(door: HttpDoor) -> None:
    door.record.types = has({"Patient": 1, "Condition": 2, "AllergyIntolerance": 1})

    status, told = send(door, whole(), X_Dry_Run="true")

    assert status == 200
    assert told == [
        "Nothing was published. Would be published: Condition 1, Patient 1.",
        "Would be replaced of system old-system: Condition 2.",
        "Would stay of system old-system: AllergyIntolerance 1, Patient 1.",
    ]
    assert not door.broker.sent


def test_what_an_identity_without_a_number_has_is_retired_there_too(door: HttpDoor) -> None:
    unnumbered = provisional_identity(OLD.organisation, OLD.system, "p0")
    door.record.types = [*has({"Patient": 1}), SystemResources("Condition", unnumbered, 2, 0)]

    assert send(door, whole())[0] == 200

    _, numbered, other = door.events()
    assert isinstance(numbered, RecordChanged)
    assert isinstance(other, RecordChanged)
    assert (numbered.person, numbered.complete_types) == (person(AMINA), ("Condition", "Patient"))
    assert (other.person, other.complete_types, other.entries) == (unnumbered, ("Condition",), ())
    assert other.source == OLD
    assert len({event.event_id for event in door.events()}) == 3


@pytest.mark.parametrize(
    "stays", [SystemResources("Condition", None, 3, 0), SystemResources("Condition", person(AMINA), 0, 3)]
)
def test_what_is_later_or_under_another_number_stays_and_keeps_the_patient(stays: SystemResources) -> None:
    replacement = replacement_of(
        "old", [*has({"Patient": 1, "Observation": 2}), stays], {"Patient"}, {"Condition", "Observation"}
    )

    assert replacement.replaced == {"Observation": 2}
    assert replacement.staying == {"Condition": 3, "Patient": 1}
    assert replacement.types == {person(AMINA): {"Observation"}}
    assert replacement.later == ({"Condition": 3} if stays.person else {})


def test_a_dry_run_names_what_is_later_than_the_bundle(door: HttpDoor) -> None:
    door.record.types = [SystemResources("Condition", person(AMINA), 1, 2)]

    told = send(door, whole(), X_Dry_Run="true")[1]

    assert told[1:] == [
        "Would be replaced of system old-system: Condition 1.",
        "Would stay of system old-system: Condition 2.",
        "Would stay because they are later than the time of this Bundle: Condition 2.",
    ]


def test_a_dry_run_refuses_what_a_publish_refuses(door: HttpDoor) -> None:
    assert send(door, transaction(patient("9990000019", "p1")), X_Dry_Run="true")[0] == 422
    assert send(door, whole(), X_Dry_Run="perhaps")[0] == 400


def test_a_repetition_is_no_second_use_of_an_event_id_for_other_content(door: HttpDoor) -> None:
    door.record.types = has({"Patient": 1, "Condition": 2})
    send(door, whole(), Idempotency_Key="k")
    door.record.types = []
    send(door, whole(), Idempotency_Key="k")

    _, first, _, again = door.events()
    assert first.event_id != again.event_id


def test_a_replacement_that_cannot_be_meant_is_refused_with_what_to_send(door: HttpDoor) -> None:
    batch = posted("batch", patient(AMINA, "p1"))
    own = door.send("POST", "/fhir", whole(), X_Replaces_System=SOURCE.system, X_Complete_Types="Condition")
    one = door.send("PUT", "/fhir/Observation/o1", observation(SUBJECT), X_Replaces_System="old-system")
    incomplete = door.send("POST", "/fhir", whole(), X_Replaces_System="old-system")
    reserved = door.send("POST", "/fhir", whole(), X_Replaces_System=REFERRAL_SYSTEM, X_Complete_Types="Condition")

    assert [answer.status_code for answer in (own, one, incomplete, reserved)] == [422, 422, 422, 403]
    assert "X-Complete-Types" in issues(incomplete)[0]["diagnostics"]
    assert send(door, batch)[0] == 422
    assert not door.broker.sent


def test_nothing_is_replaced_while_the_record_is_behind(door: HttpDoor) -> None:
    door.record.behind = True

    assert send(door, whole())[0] == 503
    assert not door.broker.sent


@pytest.mark.parametrize("system", ["other-system", "OLD-SYSTEM"])
def test_only_the_pair_that_the_deployment_names_may_replace(door: HttpDoor, system: str) -> None:
    answer = door.send("POST", "/fhir", whole(), X_Replaces_System=system, X_Complete_Types="Condition")

    assert answer.status_code == 403
    assert "ONESTORY_REPLACED_SYSTEMS" in issues(answer)[0]["diagnostics"]
    assert door.broker.sent == []

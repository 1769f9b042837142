"""The meaning of messages, such as the published ones, and their urgency."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.bars import one, published, resources
from tests.contract.shared_data import needs_shared_data

from onestory.referral.bars.definitions import definitions
from onestory.referral.bars.meaning import Meaning, read_meaning, rejection_concept, request_priority
from onestory.referral.bars.message import BarsMessage
from onestory.referral.bars.metadata import message_definition
from onestory.referral.bars.parse import parse_message
from onestory.referral.lifecycle.reasons import with_displays
from onestory.shared.errors import Malformed

pytestmark = needs_shared_data

Json = dict[str, Any]
PUBLISHED = {
    "REFREQ01": Meaning.REFER,
    "REFREQ03": Meaning.REFER,
    "REFREQ06": Meaning.REFER,
    "REFREQ8A": Meaning.REFER,
    "REFREQ8B": Meaning.UPDATE,
    "REFREQ8C": Meaning.UPDATE,
    "REFREQ8D": Meaning.UPDATE,
    "VALREQ01": Meaning.VALIDATE,
    "SERVREQ01": Meaning.CANCEL,
    "VALRESP01A": Meaning.TAKEN,
    "VALRESP01B": Meaning.DONE,
    "VALREQ02": Meaning.UPDATE,
    "REFRESP01": Meaning.NOT_ATTENDED,
    "REFRESP02": Meaning.REJECTED,
    "REFRESP03": Meaning.TAKEN,
    "VALRESP04": Meaning.REJECTED,
    "BOOKREQ01": Meaning.BOOK,
    "BOOKREQ02": Meaning.CANCEL_BOOKING,
    "ValidationRequest_POST": Meaning.VALIDATE,
    "ValidationResponse_POST": Meaning.DONE,
    "Booking_POST": Meaning.BOOK,
}


def opened(said: Json) -> BarsMessage:
    for resource in resources(said):
        resource.pop("_id", None)
    return parse_message(json.dumps(said).encode())


def changed(name: str, *, reason: str = "", **statuses: str) -> BarsMessage:
    """A published message with another reason, or other statuses by resource type."""
    said = published(name)
    for kind, status in statuses.items():
        one(said, kind)["status"] = status
    if reason:
        one(said, "MessageHeader")["reason"]["coding"][0]["code"] = reason
    return opened(said)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_message_asks_for_what_it_is_named_after(name: str) -> None:
    assert read_meaning(opened(published(name))) is PUBLISHED[name]


def test_what_was_sent_by_mistake_is_corrected() -> None:
    assert read_meaning(changed("SERVREQ01", ServiceRequest="entered-in-error")) is Meaning.CORRECT


def test_a_booking_is_amended_or_ended_by_an_update() -> None:
    assert read_meaning(changed("BOOKREQ01", reason="update")) is Meaning.AMEND
    assert read_meaning(changed("BOOKREQ01", reason="update", Appointment="entered-in-error")) is Meaning.CANCEL_BOOKING


@pytest.mark.parametrize(
    "message",
    [
        lambda: changed("VALREQ01", CarePlan="completed"),
        lambda: changed("VALREQ01", Encounter="finished"),
        lambda: changed("VALREQ01", ServiceRequest="on-hold"),
        lambda: changed("REFREQ01", reason="update", ServiceRequest="on-hold"),
        lambda: changed("REFRESP01", reason="update"),
        lambda: changed("VALRESP01A", ServiceRequest="revoked"),
        lambda: changed("REFREQ01", Encounter="planned"),
        lambda: changed("REFREQ8A", CarePlan="draft"),
        lambda: changed("REFREQ01", ServiceRequest="completed"),
        lambda: changed("VALRESP01A", ServiceRequest="completed"),
        lambda: changed("VALRESP01A", ServiceRequest="on-hold"),
        lambda: changed("REFRESP01", reason="delete"),
        lambda: changed("BOOKREQ01", Appointment="pending"),
    ],
)
def test_everything_else_is_no_workflow(message: Any) -> None:
    with pytest.raises(Malformed) as refused:
        read_meaning(message())

    assert {issue.code for issue in refused.value.issues} == {"invariant"}


@pytest.mark.parametrize("status", ["active", "on-hold"])
def test_a_request_for_validation_is_sent_again_with_changes(status: str) -> None:
    assert read_meaning(changed("VALREQ01", reason="update", ServiceRequest=status)) is Meaning.UPDATE


@pytest.mark.parametrize("reason", ["new", "update"])
def test_a_validation_is_rejected_by_a_revoked_request_and_a_triaged_encounter(reason: str) -> None:
    said = published("VALRESP04")
    one(said, "ServiceRequest")["status"] = "revoked"
    [each for each in resources(said) if each["resourceType"] == "Encounter"][-1]["status"] = "triaged"
    one(said, "MessageHeader")["reason"]["coding"][0]["code"] = reason

    assert read_meaning(opened(said)) is Meaning.REJECTED


@pytest.mark.parametrize("name", ["REFRESP02", "VALRESP04"])
@pytest.mark.parametrize("status", ["active", "revoked"])
def test_a_cancelled_encounter_of_the_receiver_is_a_rejection_with_its_reason(name: str, status: str) -> None:
    message = changed(name, ServiceRequest=status)

    concept = rejection_concept(message)

    assert read_meaning(message) is Meaning.REJECTED
    assert concept is not None
    assert concept["text"]
    assert concept["coding"][0]["display"]


@pytest.mark.parametrize("status", ["active", "revoked", "entered-in-error", "completed"])
@pytest.mark.parametrize("has_definition", [True, False])
@pytest.mark.parametrize(
    ("name", "focus", "meaning"),
    [
        ("REFREQ01", "ServiceRequest", Meaning.CORRECT),
        ("VALREQ01", "ServiceRequest", Meaning.CORRECT),
        ("SERVREQ01", "ServiceRequest", Meaning.CORRECT),
        ("BOOKREQ01", "Appointment", Meaning.CANCEL_BOOKING),
    ],
)
def test_a_deletion_takes_a_mistake_back(
    name: str, focus: str, meaning: Meaning, status: str, *, has_definition: bool
) -> None:
    said = published(name)
    header = one(said, "MessageHeader")
    header["reason"]["coding"][0]["code"] = "delete"
    if focus == "ServiceRequest":
        one(said, focus)["status"] = status
    if not has_definition:
        del header["definition"]
        kept = ("MessageHeader", "Patient", focus)
        said["entry"] = [entry for entry in said["entry"] if entry["resource"]["resourceType"] in kept]
        for element in ("sender", "author", "destination"):
            header.pop(element, None)

    assert read_meaning(opened(said)) is meaning


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("REFREQ01", "MessageDefinition/bars-message-servicerequest-request-referral"),
        ("REFREQ01", "http://fhir.nhs.uk/MessageDefinition/bars-message-servicerequest-request-referral"),
        ("REFREQ01", "https://fhir.nhs.uk/MessageDefinition/bars-message-servicerequest-request-referral|1.0.0"),
        ("REFREQ01", "https://fhir.nhs.uk/MessageDefinition/BARS-Message-ServiceRequest-Request-Referral"),
        ("REFREQ01", "https://fhir.nhs.uk/MessageDefinition/bars-message-servicerequest-request"),
        ("VALREQ01", "https://fhir.nhs.uk/MessageDefinition/bars-message-servicerequest-request"),
        ("REFRESP02", "https://fhir.nhs.uk/MessageDefinition/bars-message-servicerequest-request-response-short"),
        ("REFRESP02", "https://fhir.nhs.uk/MessageDefinition/bars-message-servicerequest-response-referral-short"),
    ],
)
def test_every_published_spelling_of_a_definition_means_it(name: str, spelling: str) -> None:
    said = published(name)
    one(said, "MessageHeader")["definition"] = spelling

    assert read_meaning(opened(said)) is PUBLISHED[name]


@pytest.mark.parametrize(
    "definition",
    [
        "https://example.org/MessageDefinition/bars-message-servicerequest-request-referral",
        "https://fhir.nhs.uk/bars-message-servicerequest-request-referral",
        "https://fhir.nhs.uk/MessageDefinition/",
        "bars-message-order",
    ],
)
def test_another_definition_is_not_supported(definition: str) -> None:
    said = published("REFREQ01")
    one(said, "MessageHeader")["definition"] = definition

    with pytest.raises(Malformed) as refused:
        opened(said)

    assert refused.value.issues[0].code == "not-supported"


@pytest.mark.parametrize("code", ["a1t10", "a1t11", "a1t12"])
def test_the_newest_use_cases_are_taken_and_named(code: str) -> None:
    said = json.loads(json.dumps(published("REFREQ01")).replace('a1t1"', f'{code}"'))

    assert read_meaning(opened(said)) is Meaning.REFER
    assert request_priority(opened(said)) == "asap"
    assert code in str(message_definition(definitions()["bars-message-servicerequest-request-referral"], "1"))


def test_a_reason_gets_its_published_display() -> None:
    system = "https://fhir.nhs.uk/CodeSystem/dos-rejected-reasons-bars"
    own = {"system": system, "code": "22", "display": "Full"}

    assert with_displays({"coding": [{"system": system, "code": "22"}]}) == {
        "coding": [{"system": system, "code": "22", "display": "Rejected for capacity reasons"}]
    }
    assert with_displays({"coding": [own], "text": "No room"}) == {"coding": [own], "text": "No room"}
    assert with_displays({"coding": [{"system": system, "code": "7"}]}) == {"coding": [{"system": system, "code": "7"}]}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("REFREQ01", "asap"), ("REFREQ03", "urgent"), ("REFREQ06", "urgent"), ("REFREQ8A", "stat"), ("VALREQ01", "stat")],
)
def test_a_published_request_is_as_urgent_as_its_use_case_and_its_time(name: str, expected: str) -> None:
    assert request_priority(opened(published(name))) == expected


def test_a_request_that_says_that_it_is_urgent_is_no_less_so() -> None:
    said = published("REFREQ03")
    one(said, "ServiceRequest")["priority"] = "stat"

    assert request_priority(opened(said)) == "stat"


def test_what_says_nothing_is_as_soon_as_possible() -> None:
    said = published("REFREQ03")
    request = one(said, "ServiceRequest")
    del request["occurrencePeriod"]
    request["category"][0]["coding"] = request["category"][0]["coding"][:1]

    assert request_priority(opened(said)) == "asap"

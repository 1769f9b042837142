"""The meaning of messages, such as the published ones, and their urgency."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.bars import one, published, resources
from tests.contract.shared_data import needs_shared_data

from onestory.referral.bars.meaning import Meaning, read_meaning, request_priority
from onestory.referral.bars.message import BarsMessage
from onestory.referral.bars.parse import parse_message
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
    "REFRESP01": Meaning.NOT_ATTENDED,
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
        lambda: changed("VALREQ01", reason="update"),
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

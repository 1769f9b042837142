"""What a message asks for, by its event, its reason and the statuses of what it carries; what is not here is refused.

The rules are those of docs/decisions/0019: the Referral Bundle's, and what the published messages need beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from onestory.referral.bars.message import BarsMessage, Carried, codes
from onestory.referral.clocks.domain import PRIORITIES
from onestory.shared.errors import Issue, Malformed
from onestory.shared.fhir.dates import parse_instant

CATEGORY = "message-category-servicerequest"
USE_CASES = "usecases-categories-bars"
# From one ambulance control room to another: sent while triage goes on, and again whenever more is known.
BETWEEN_CONTROL_ROOMS = frozenset({"a6t1", "a6t2", "a6t3"})


class Meaning(StrEnum):
    """What is to be done."""

    REFER = "refer"
    VALIDATE = "validate"
    UPDATE = "update"
    CANCEL = "cancel"
    CORRECT = "correct"
    """It was a mistake."""
    TAKEN = "taken"
    """The receiver has it, and has begun or will."""
    DONE = "done"
    NOT_ATTENDED = "not-attended"
    BOOK = "book"
    AMEND = "amend"
    CANCEL_BOOKING = "cancel-booking"


def meaning(message: BarsMessage) -> Meaning:
    """What the message asks for. Raises `Malformed` with code invariant for a combination that is no workflow."""
    match message.event:
        case "booking-request":
            return _booking(message)
        case "servicerequest-response":
            return _response(message)
        case _:
            return _request(message)


def use_cases(message: BarsMessage) -> frozenset[str]:
    """The use cases that the ServiceRequest names, such as a5t1."""
    request = message.request
    return frozenset(codes(request.resource.get("category"), USE_CASES) if request else ())


def receiver_status(message: BarsMessage) -> str:
    """How far the receiver's own Encounter is: the one that the response is about, or the last that is not the one of
    the request.
    """
    if message.focus.resource_type == "Encounter":
        return str(message.focus.resource["status"])
    assert message.request is not None
    of_request = message.at(message.request.resource.get("encounter"))
    others = [each for each in message.of_type("Encounter") if each is not of_request]
    return str(others[-1].resource["status"]) if others else ""


def _request(message: BarsMessage) -> Meaning:
    status = message.focus.resource["status"]
    cancelled = message.definition.name.endswith("-cancelled")
    if message.reason == "update" and status in ("revoked", "entered-in-error"):
        return Meaning.CANCEL if status == "revoked" else Meaning.CORRECT
    if cancelled:
        raise _no_workflow(
            message, "A cancellation has the reason update, and its ServiceRequest is revoked, or entered-in-error."
        )
    if message.reason == "delete" or status != "active":
        raise _no_workflow(
            message,
            "A request is new with an active ServiceRequest; an update cancels it, revoked or entered-in-error.",
        )
    _refuse_unfit(message)
    if message.reason == "new":
        return Meaning.VALIDATE if message.definition.name.endswith("-validation") else Meaning.REFER
    if use_cases(message) & BETWEEN_CONTROL_ROOMS:
        return Meaning.UPDATE
    raise _no_workflow(
        message,
        "An update only cancels: revoked or entered-in-error. Only control rooms (a6t1 to a6t3) send again what is "
        "known meanwhile; else cancel, and send a new referral.",
    )


def _refuse_unfit(message: BarsMessage) -> None:
    issues = list(_unfit(message))
    if issues:
        raise Malformed(issues[0].diagnostics, issues=issues)


def _unfit(message: BarsMessage) -> Iterator[Issue]:
    """What does not go together in a request that is new or sent again."""
    validation = message.definition.name.endswith("-validation")
    wanted = "validation" if validation else "referral"
    if codes(message.focus.resource.get("category"), CATEGORY) != [wanted]:
        says = (
            f"By its definition this is a {wanted}: say so with one code of https://fhir.nhs.uk/CodeSystem/{CATEGORY}."
        )
        yield Issue("invariant", says, f"{message.focus.path}.category")
    plans: Sequence[str] = ("completed",)
    encounters: Sequence[str] = ("triaged", "finished")
    if validation:
        plans, encounters = ("active",), ("triaged", "in-progress")
    elif use_cases(message) & BETWEEN_CONTROL_ROOMS:
        plans, encounters = ("active", "completed"), ("in-progress", "triaged", "finished")
    for plan in message.of_type("CarePlan"):
        yield from _status(plan, plans)
    encounter = message.at(message.focus.resource.get("encounter")) or message.first("Encounter")
    if encounter and encounter.resource_type == "Encounter":
        yield from _status(encounter, encounters)


def _status(each: Carried, allowed: Sequence[str]) -> Iterator[Issue]:
    if each.resource.get("status") not in allowed:
        says = f"In this message the {each.resource_type} is {' or '.join(allowed)}: send it as it is then."
        yield Issue("invariant", says, f"{each.path}.status")


def _response(message: BarsMessage) -> Meaning:
    request = message.request
    assert request is not None  # each definition of a response counts one
    status, receiver = request.resource["status"], receiver_status(message)
    if message.reason == "delete":
        raise _no_workflow(message, "A response is new, or an update of an earlier one.")
    if status == "revoked":
        return Meaning.NOT_ATTENDED
    if status == "completed" or (status == "active" and receiver == "finished"):
        if message.definition.name.endswith("-interim"):
            raise _no_workflow(message, "An interim response ends nothing: send the full one once it is finished.")
        return Meaning.DONE
    if status != "active" or receiver == "cancelled":
        raise _no_workflow(
            message,
            "A response carries the ServiceRequest active, completed, or revoked where nobody attended. What was "
            "accepted and cannot be done is said with $fail, what was never accepted with $reject.",
        )
    if message.definition.name.endswith("-full"):
        raise _no_workflow(message, "A full response is sent once the receiver's Encounter is finished.")
    return Meaning.TAKEN


def _booking(message: BarsMessage) -> Meaning:
    status = message.focus.resource["status"]
    ends = status in ("cancelled", "entered-in-error")
    # The published cancellation has the reason new: its definition says what is meant.
    if ends and (message.reason == "update" or message.definition.name.endswith("-cancelled")):
        return Meaning.CANCEL_BOOKING
    if status == "booked" and not message.definition.name.endswith("-cancelled"):
        if message.reason == "new":
            return Meaning.BOOK
        if message.reason == "update":
            return Meaning.AMEND
    raise _no_workflow(
        message, "A booking is new and booked; an update amends it, booked, or ends it, cancelled or entered-in-error."
    )


def _no_workflow(message: BarsMessage, instead: str) -> Malformed:
    says = f"Event, reason, definition and statuses make no workflow together. {instead}"
    return Malformed(says, code="invariant", expression=f"{message.focus.path}.status")


# How urgent a request is. BaRS has no priority of its own, and a clock that is too long could harm somebody.

# By the application of the use case: a6t1 is of a6. Control rooms (a6) ask for an ambulance, pharmacies (a5) see
# somebody the next day, advice (a8) waits. All others begin at an emergency service.
_BY_APPLICATION: Mapping[str, str] = {"a5": "urgent", "a6": "stat", "a8": "routine"}
_OTHERWISE = "asap"
_WITHIN = ((timedelta(hours=1), "stat"), (timedelta(hours=4), "asap"), (timedelta(days=2), "urgent"))


def priority(message: BarsMessage) -> str:
    """The most urgent of what the request says, its use case, and the time within which somebody has to be seen."""
    return max(_said(message), key=PRIORITIES.index)


def _said(message: BarsMessage) -> Iterator[str]:
    request = message.focus.resource
    if "priority" in request:
        yield request["priority"]
    cases = use_cases(message)
    yield from (_BY_APPLICATION.get(case[:2], _OTHERWISE) for case in cases)
    if not cases:
        yield _OTHERWISE
    within = _within(request.get("occurrencePeriod", {}))
    if within is not None:
        yield next((name for limit, name in _WITHIN if within <= limit), "routine")


def _within(period: Mapping[str, str]) -> timedelta | None:
    start, end = _moment(period.get("start")), _moment(period.get("end"))
    # A period that ends when it begins says when, and not within what time.
    return end - start if start and end and start < end else None


def _moment(told: str | None) -> datetime | None:
    try:
        return parse_instant(told) if told and "T" in told else None
    except (ValueError, OverflowError):
        return None

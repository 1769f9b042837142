"""Reads the meaning and the priority of a message from its event, reason, definition and statuses.

The rules are in docs/explanation/decisions/0019-bars-messages.md: those of the Referral Bundle, and what the published
messages need in addition. A combination that no rule allows is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any

from onestory.referral.bars.message import BarsMessage, MessageEntry, codes_of_system
from onestory.referral.bars.parse import CATEGORY_SYSTEM
from onestory.referral.clocks.domain import PRIORITIES
from onestory.shared.errors import Issue, Malformed
from onestory.shared.fhir.dates import parse_period

USE_CASE_SYSTEM = "usecases-categories-bars"
# One ambulance control room sends these to another while triage goes on, and again when it knows more.
BETWEEN_CONTROL_ROOMS = frozenset({"a6t1", "a6t2", "a6t3"})


class Meaning(StrEnum):
    """The action that a message asks for."""

    REFER = "refer"
    VALIDATE = "validate"
    UPDATE = "update"
    CANCEL = "cancel"
    CORRECT = "correct"
    """The requester sent the referral by mistake."""
    TAKEN = "taken"
    """The receiver has accepted the referral, and may have started."""
    DONE = "done"
    REJECTED = "rejected"
    """The receiver does not take the referral, or gives it back."""
    NOT_ATTENDED = "not-attended"
    BOOK = "book"
    AMEND = "amend"
    CANCEL_BOOKING = "cancel-booking"


def read_meaning(message: BarsMessage) -> Meaning:
    """The action that a message asks for. Raises `Malformed`, code invariant, for a combination that is no workflow."""
    match message.event:
        case "booking-request":
            return _booking_meaning(message)
        case "servicerequest-response":
            return _response_meaning(message)
        case _:
            return _request_meaning(message)


def use_cases(message: BarsMessage) -> frozenset[str]:
    """The codes of the use cases that the ServiceRequest names, such as a5t1."""
    request = message.request
    return frozenset(codes_of_system(request.resource.get("category"), USE_CASE_SYSTEM) if request else ())


def receiver_status(message: BarsMessage) -> str:
    """The status of the receiver's Encounter; empty without one."""
    encounter = receiver_encounter(message)
    return str(encounter.resource["status"]) if encounter else ""


def receiver_encounter(message: BarsMessage) -> MessageEntry | None:
    """The receiver's Encounter; None without one.

    It is the Encounter that the response is about, or else the last one that is not the Encounter of the request.
    """
    if message.focus.resource_type == "Encounter":
        return message.focus
    assert message.request is not None
    of_requester = message.resolve(message.request.resource.get("encounter"), message.request, "encounter")
    encounters = list(message.entries_of_type("Encounter"))
    others = [encounter for encounter in encounters if encounter is not of_requester]
    return others[-1] if others else None


def _request_meaning(message: BarsMessage) -> Meaning:
    status = message.focus.resource["status"]
    if message.reason == "delete":
        # It takes back a message that was a mistake, whatever status the request has in it.
        return Meaning.CORRECT
    if message.reason == "update" and status in ("revoked", "entered-in-error"):
        return Meaning.CANCEL if status == "revoked" else Meaning.CORRECT
    if message.definition.name.endswith("-cancelled"):
        raise _no_workflow(
            message, "A cancellation has the reason update, and its ServiceRequest is revoked, or entered-in-error."
        )
    is_held_update = message.reason == "update" and message.definition.is_validation and status == "on-hold"
    if status != "active" and not is_held_update:
        raise _no_workflow(
            message,
            "A request is new with an active ServiceRequest; an update cancels it, revoked or entered-in-error.",
        )
    _refuse_unfit(message)
    if message.reason == "new":
        return Meaning.VALIDATE if message.definition.is_validation else Meaning.REFER
    if message.definition.is_validation or use_cases(message) & BETWEEN_CONTROL_ROOMS:
        return Meaning.UPDATE
    raise _no_workflow(
        message,
        "An update can only cancel: send revoked or entered-in-error. Only a request for validation, and one between "
        "control rooms (a6t1 to a6t3), may be sent again with changes; otherwise cancel, and send a new referral.",
    )


def _refuse_unfit(message: BarsMessage) -> None:
    issues = list(_unfit_issues(message))
    if issues:
        raise Malformed(issues[0].diagnostics, issues=issues)


def _unfit_issues(message: BarsMessage) -> Iterator[Issue]:
    """Yield an issue for each status or category that does not fit a request that is new or sent again."""
    validation = message.definition.is_validation
    wanted = "validation" if validation else "referral"
    if codes_of_system(message.focus.resource.get("category"), CATEGORY_SYSTEM) != [wanted]:
        system = f"https://fhir.nhs.uk/CodeSystem/{CATEGORY_SYSTEM}"
        text = f"ServiceRequest.category: send {wanted}, as the definition asks, and no other code of {system}."
        yield Issue("invariant", text, f"{message.focus.path}.category")
    plans: Sequence[str] = ("completed",)
    encounters: Sequence[str] = ("triaged", "finished")
    if validation:
        plans, encounters = ("active",), ("triaged", "in-progress")
    elif use_cases(message) & BETWEEN_CONTROL_ROOMS:
        plans, encounters = ("active", "completed"), ("in-progress", "triaged", "finished")
    for plan in message.entries_of_type("CarePlan"):
        yield from _status_issues(plan, plans)
    named = message.resolve(message.focus.resource.get("encounter"), message.focus, "encounter")
    encounter = named or message.first_entry("Encounter")
    if encounter and encounter.resource_type == "Encounter":
        yield from _status_issues(encounter, encounters)


def _status_issues(entry: MessageEntry, allowed: Sequence[str]) -> Iterator[Issue]:
    if entry.resource.get("status") not in allowed:
        text = f"{entry.resource_type}.status: send {' or '.join(allowed)} in this message."
        yield Issue("invariant", text, f"{entry.path}.status")


def _response_meaning(message: BarsMessage) -> Meaning:
    request = message.request
    assert request is not None  # each definition of a response counts one
    status, receiver = request.resource["status"], receiver_status(message)
    if message.reason == "delete":
        raise _no_workflow(message, "A response is new, or an update of an earlier one.")
    if receiver == "cancelled" and status in ("active", "revoked"):
        return Meaning.REJECTED
    if status == "revoked":
        return _revoked_meaning(message, receiver)
    if status == "completed" or (status == "active" and receiver == "finished"):
        if message.definition.name.endswith("-interim"):
            raise _no_workflow(
                message,
                "An interim response cannot end a referral: send the full response once the Encounter is finished.",
            )
        return Meaning.DONE
    if status != "active":
        raise _no_workflow(
            message,
            "In a response the ServiceRequest is active, completed, or revoked (rejected, or did not attend).",
        )
    if message.definition.name.endswith("-full"):
        raise _no_workflow(message, "A full response is sent once the receiver's Encounter is finished.")
    return Meaning.TAKEN


def _revoked_meaning(message: BarsMessage, receiver: str) -> Meaning:
    """The meaning of a response with a revoked request (BaRS Core, pattern for composites)."""
    if is_validation_response(message):
        if receiver == "triaged":
            return Meaning.REJECTED
        raise _no_workflow(
            message, "A validation is rejected with the receiver's Encounter triaged, or cancelled with its reason."
        )
    if message.reason == "new":
        return Meaning.NOT_ATTENDED
    raise _no_workflow(message, "Did not attend is a new response, not an update.")


def is_validation_response(message: BarsMessage) -> bool:
    """Whether a response is about a validation: by the category of its ServiceRequest, or else by its definition."""
    categories = codes_of_system(message.request.resource.get("category"), CATEGORY_SYSTEM) if message.request else []
    return "validation" in categories if categories else message.definition.is_validation


def rejection_concept(message: BarsMessage) -> Mapping[str, Any] | None:
    """The reason of a rejection as a CodeableConcept: of the receiver's Encounter, else of the request; None: none."""
    encounter = receiver_encounter(message)
    places = [encounter.resource if encounter else {}, message.request.resource if message.request else {}]
    for place in places:
        for concept in place.get("reasonCode", ()):
            if concept.get("text") or any(coding.get("code") for coding in concept.get("coding", ())):
                found: Mapping[str, Any] = concept
                return found
    return None


def _booking_meaning(message: BarsMessage) -> Meaning:
    status = message.focus.resource["status"]
    if message.reason == "delete":
        return Meaning.CANCEL_BOOKING
    ends = status in ("cancelled", "entered-in-error")
    # The published cancellation has the reason new, so its definition shows the meaning.
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
    text = f"Event, reason, definition and statuses do not fit together. {instead}"
    return Malformed(text, code="invariant", expression=f"{message.focus.path}.status")


# The priority by the application of a use case: a6t1 belongs to a6. Control rooms (a6) ask for an ambulance, pharmacies
# (a5) see the person the next day, advice (a8) can wait. All other requests come from an emergency service.
_PRIORITY_BY_APPLICATION: Mapping[str, str] = {"a5": "urgent", "a6": "stat", "a8": "routine"}
_DEFAULT_PRIORITY = "asap"
_PRIORITY_BY_TIME = ((timedelta(hours=1), "stat"), (timedelta(hours=4), "asap"), (timedelta(days=2), "urgent"))


def request_priority(message: BarsMessage) -> str:
    """The most urgent priority of three: the request's own, that of its use cases, and that of the time it allows.

    BaRS has no priority of its own, and a clock that is too long could harm the person.
    """
    return max(_priorities(message), key=PRIORITIES.index)


def _priorities(message: BarsMessage) -> Iterator[str]:
    request = message.focus.resource
    if "priority" in request:
        yield request["priority"]
    case_codes = use_cases(message)
    yield from (_PRIORITY_BY_APPLICATION.get(code[:2], _DEFAULT_PRIORITY) for code in case_codes)
    if not case_codes:
        yield _DEFAULT_PRIORITY
    time_allowed = _time_allowed(request.get("occurrencePeriod", {}))
    if time_allowed is not None:
        yield next((name for longest, name in _PRIORITY_BY_TIME if time_allowed <= longest), "routine")


def _time_allowed(period: Mapping[str, str]) -> timedelta | None:
    try:
        start, end = parse_period(period)
    except ValueError:
        return None
    # A period that ends when it starts is an appointed time, not a time allowed.
    return end - start if start and end and start < end else None

"""Makes a referral of a request for advice, and a request for advice of a question about a completed referral. Pure.

The question has a next actor, a due time and an escalation of its own; the referral stays as it ended.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onestory.referral.clocks.domain import PRIORITIES, Clocks
from onestory.referral.conversation.domain import Category, ConversationMessage
from onestory.referral.lifecycle.creation import (
    ReferralOrigin,
    ReferralRequest,
    TeamReference,
    create_referral,
    referral_id,
)
from onestory.referral.lifecycle.decide import build_change, with_acting_party
from onestory.referral.lifecycle.model import (
    ChangeContext,
    Json,
    Referral,
    ReferralChange,
    ReferralKind,
    ReferralParties,
    Side,
    Status,
)
from onestory.referral.lifecycle.render import ONESTORY
from onestory.referral.lifecycle.status_words import ADVICE_CONVERTED
from onestory.shared.errors import Conflict, Forbidden, Unprocessable
from onestory.shared.events import Party
from onestory.shared.fhir.json import concept_text
from onestory.shared.fhir.references import ADVICE_CATEGORY
from onestory.shared.identity import Keys

_MAX_REASON_CHARACTERS = 200
MAY_CONVERT_EXTENSION = f"{ONESTORY}/advice-may-be-converted"
"""Extension on the ServiceRequest of advice: the team that is asked may make a referral of it."""

# Elements that belong to the request for advice only. With its business identifiers, the record would take both
# ServiceRequests as one.
_ADVICE_ONLY_FIELDS = ("extension", "category", "identifier", "authoredOn", "supportingInfo", "replaces")


@dataclass(frozen=True, slots=True)
class Conversion:
    """The team and the priority of the referral that advice becomes; empty priority: the one of the advice."""

    recipient: Party
    priority: str = ""


def convert(
    advice: Referral,
    conversion: Conversion,
    messages: Sequence[str],
    sides: Collection[Side],
    context: ChangeContext,
    creation_context: ChangeContext,
    clocks: Clocks,
    keys: Keys,
) -> tuple[ReferralChange, ReferralChange]:
    """The change that ends the advice, and the change that creates the referral; both have to be written together.

    `messages` are the ids of its messages. `context` is for the first change, `creation_context` for the second.
    Raises `Conflict`, `Forbidden`, `Unprocessable`.
    """
    _refuse_conversion(advice, conversion, sides, keys)
    by = sides if Side.REQUESTER not in sides else [Side.REQUESTER]
    context, creation_context = with_acting_party(advice, by, context), with_acting_party(advice, by, creation_context)
    request = ReferralRequest(
        person=advice.person,
        team=TeamReference(conversion.recipient.team, "", "Parameters.parameter.where(name='recipient')"),
        status=Status.REQUESTED,
        kind=ReferralKind.REFERRAL,
        priority=conversion.priority or advice.priority,
        body=_body(advice, messages),
    )
    origin = ReferralOrigin(advice.requester, advice.requester_subject, _local_id(advice))
    creation = create_referral(request, conversion.recipient, origin, creation_context, clocks, keys)
    output = {
        "type": {"text": "referral"},
        "valueReference": {"reference": f"ServiceRequest/{creation.referral.referral_id}"},
    }
    ended = replace(
        advice,
        version=advice.version + 1,
        status=Status.COMPLETED,
        business_status=ADVICE_CONVERTED,
        is_open=False,
        reason=None,
        outputs=(*advice.outputs, output),
        acts_next="",
        question_id="",
        due_at=None,
        until=None,
        escalated_at=None,
        claimed_by="",
    )
    return build_change(advice, ended, "convert", context), creation


def converted_id(advice: Referral | ReferralParties, keys: Keys) -> str:
    """The shared id of the referral that this advice becomes, or became."""
    return referral_id(keys, advice.person, advice.requester.organisation, _local_id(advice))


def _local_id(advice: Referral | ReferralParties) -> str:
    # Always the same local id, so that advice becomes one referral at most.
    return f"{advice.local_id}-referral"


def _refuse_conversion(advice: Referral, conversion: Conversion, sides: Collection[Side], keys: Keys) -> None:
    if advice.kind is not ReferralKind.ADVICE:
        raise Conflict("Only a request for advice can be converted: this is a referral already.", code="conflict")
    if advice.business_status == ADVICE_CONVERTED:
        raise Conflict(
            f"The advice was converted before: ServiceRequest/{converted_id(advice, keys)}.", code="duplicate"
        )
    if advice.status not in (Status.REQUESTED, Status.RECEIVED):
        problem = f"It is {advice.status}" + ("" if advice.is_open else " and has ended")
        raise Conflict(f"{problem}: refer the person with POST /fhir/ServiceRequest.", code="conflict")
    if Side.REQUESTER not in sides and not _may_convert(advice):
        raise Forbidden("Only the requester of the advice may convert it: recommend a referral with $message.")
    if conversion.priority and conversion.priority not in PRIORITIES:
        problem = f"priority is one of {', '.join(PRIORITIES)}."
        raise Unprocessable(problem, code="code-invalid", expression="Parameters.parameter.where(name='priority')")
    if conversion.priority and PRIORITIES.index(conversion.priority) < PRIORITIES.index(advice.priority):
        raise Unprocessable(
            f"The advice is {advice.priority}: the referral may be more urgent, not less.",
            code="business-rule",
            expression="Parameters.parameter.where(name='priority')",
        )


def _may_convert(advice: Referral) -> bool:
    extensions = advice.service_request.get("extension", ())
    return any(
        extension.get("url") == MAY_CONVERT_EXTENSION and extension.get("valueBoolean") is True
        for extension in extensions
    )


def _body(advice: Referral, messages: Sequence[str]) -> Json:
    requested = advice.service_request
    body: dict[str, Any] = {name: value for name, value in requested.items() if name not in _ADVICE_ONLY_FIELDS}
    more: dict[str, list[Json]] = {
        "extension": [
            extension for extension in requested.get("extension", ()) if extension.get("url") != MAY_CONVERT_EXTENSION
        ],
        "category": [
            other for category in requested.get("category", ()) if (other := _without_advice_coding(category))
        ],
        "supportingInfo": [
            *requested.get("supportingInfo", ()),
            *({"reference": f"Communication/{message}"} for message in messages),
        ],
        "replaces": [{"reference": f"ServiceRequest/{advice.referral_id}"}],
    }
    return {**body, **{name: values for name, values in more.items() if values}}


def _without_advice_coding(category: Json) -> Json:
    """A category without the coding that marks advice; empty where it has no other coding."""
    codings = category.get("coding", ())
    others = [coding for coding in codings if (coding.get("system"), coding.get("code")) != ADVICE_CATEGORY]
    if len(others) == len(codings):
        return category
    return {**category, "coding": others} if others else {}


def asks_after_completion(referral: Referral, message: ConversationMessage) -> bool:
    """Whether the message is a question about a referral that was completed."""
    return (
        referral.status is Status.COMPLETED
        and referral.kind is not ReferralKind.ADVICE
        and message.category is Category.QUESTION
    )


def advice_request(referral: Referral, message: ConversationMessage) -> ReferralRequest:
    """The request for advice that a question about a completed referral makes."""
    system, code = ADVICE_CATEGORY
    texts = [str(part.get("contentString", "")) for part in message.payload]
    question = next(filter(None, texts), "")[:_MAX_REASON_CHARACTERS]
    about = concept_text(referral.service_request.get("code")) or "completed referral"
    body: dict[str, Json | list[Json] | str] = {
        "intent": "order",
        "category": [{"coding": [{"system": system, "code": code}]}],
        "code": {"text": f"Question about: {about}"},
        "reasonCode": [{"text": question}] if question else [],
        "basedOn": [{"reference": f"ServiceRequest/{referral.referral_id}"}],
    }
    return ReferralRequest(
        person=referral.person,
        team=TeamReference(referral.recipient.team, "", "Task.owner"),
        status=Status.REQUESTED,
        kind=ReferralKind.ADVICE,
        priority=referral.priority,
        body={name: value for name, value in body.items() if value},
    )

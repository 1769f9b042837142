"""A question about a completed referral becomes a request for advice to the same team, which continues the referral.

So it has a next actor, a due time and an escalation of its own, and the referral stays as it ended. Pure.
"""

from __future__ import annotations

from onestory.referral.conversation.domain import Category, ConversationMessage
from onestory.referral.lifecycle.creation import ReferralRequest, TeamReference
from onestory.referral.lifecycle.model import Json, Referral, ReferralKind, Status
from onestory.shared.fhir.json import concept_text
from onestory.shared.fhir.references import ADVICE_CATEGORY

_MAX_REASON_CHARACTERS = 200


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

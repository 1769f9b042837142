"""Messages between the two sides of a referral, and which side has to act after them. Pure.

A question gives the turn to the other side, an answer gives it back, and information leaves it. No message changes the
holder. A message is a Communication (http://hl7.org/fhir/R4/communication.html).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from onestory.referral.clocks.domain import Clocks
from onestory.referral.lifecycle.decide import build_change, with_acting_party
from onestory.referral.lifecycle.model import (
    ChangeContext,
    Json,
    Referral,
    ReferralChange,
    ReferralKind,
    Side,
    Status,
    WrittenResource,
    message_local_id,
)
from onestory.referral.lifecycle.render import ONESTORY, party_reference, subject
from onestory.referral.lifecycle.status_words import (
    PROVIDER_RESPONSE_REQUIRED,
    REFERRER_TO_REVIEW_RESPONSE,
    REFERRER_TO_SUBMIT_FURTHER_INFORMATION,
)
from onestory.shared.errors import Conflict, TooLarge, Unprocessable
from onestory.shared.fhir.dates import format_instant
from onestory.shared.identity import parse_shared_id

MESSAGE_CATEGORY_SYSTEM = "https://onestory.nhs.uk/CodeSystem/referral-message"
AUTHOR_EXTENSION = f"{ONESTORY}/message-author"
"""Extension on Communication: the user (`sub`) who sent it."""
MAX_ATTACHMENT_BYTES = 5_000_000
"""Limit for all attachments of one message together."""
MAX_TEXT_CHARACTERS = 1_000_000
"""Limit for the text of a message: about the limit of a FHIR string."""


class Category(StrEnum):
    """The kind of a message: a question needs a reply, an answer is the reply, information needs none."""

    QUESTION = "question"
    ANSWER = "answer"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class ConversationMessage:
    """A message: its text and attachments (`payload`), and References to what it is about on the record (`about`)."""

    category: Category
    payload: tuple[Json, ...]
    about: tuple[Json, ...] = ()


def attachment_bytes(attachment: Json, path: str) -> int:
    """The size of an attachment in bytes. Raises `Unprocessable` where its data or its type is missing."""
    if not attachment.get("data") or not attachment.get("contentType"):
        raise Unprocessable(
            "Send the attachment as data, with its contentType. Use about for a resource on the record.",
            code="required",
            expression=path,
        )
    return len(attachment["data"]) * 3 // 4


def refuse_too_large(size: int) -> None:
    """Raise `TooLarge` where the attachments of one message together have more than `MAX_ATTACHMENT_BYTES`."""
    if size > MAX_ATTACHMENT_BYTES:
        raise TooLarge(
            f"The attachments have more than {MAX_ATTACHMENT_BYTES} bytes: publish them as DocumentReference, and "
            "name them by about.",
            expression="Parameters.parameter.where(name='attachment')",
        )


def refuse_too_long(text: str) -> None:
    """Raise `TooLarge` for a text with more than `MAX_TEXT_CHARACTERS`."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise TooLarge(
            f"The text has more than {MAX_TEXT_CHARACTERS} characters: send it as an attachment.",
            expression="Parameters.parameter.where(name='text')",
        )


def refuse_other_person(referral: Referral, message: ConversationMessage) -> None:
    """Raise `Unprocessable` where the message is about a resource on the record of another person."""
    for reference in message.about:
        kind, _, name = str(reference.get("reference", "")).partition("/")
        parsed = parse_shared_id(name)
        if not kind or parsed is None or parsed.person_key != referral.person_key:
            raise Unprocessable(
                "Send a Reference to a resource on this person's record, such as Observation/<id>.",
                code="value",
                expression="Parameters.parameter.where(name='about')",
            )


def communication(referral: Referral, message: ConversationMessage, context: ChangeContext, answers: str) -> Json:
    """The message as a Communication without id and meta. `answers` is the id of the question, or empty."""
    sender = context.actor.party
    others = dict.fromkeys((referral.referrer, referral.sender, referral.recipient))
    body: dict[str, Any] = {
        "extension": [{"url": AUTHOR_EXTENSION, "valueString": context.actor.subject}] if context.actor.subject else [],
        "basedOn": [{"reference": f"ServiceRequest/{referral.referral_id}"}],
        "partOf": [{"reference": f"Task/{referral.task_id}"}],
        "inResponseTo": [{"reference": f"Communication/{answers}"}] if answers else [],
        "status": "completed",
        "category": [{"coding": [{"system": MESSAGE_CATEGORY_SYSTEM, "code": str(message.category)}]}],
        "subject": subject(referral),
        "about": list(message.about),
        "sent": format_instant(context.at),
        "recipient": [party_reference(party) for party in others if party != sender],
        "sender": party_reference(sender),
        "payload": list(message.payload),
    }
    return {name: value for name, value in body.items() if value != []}


class ConversationSide(StrEnum):
    """A side of a conversation: requester and sender together, or the team that is asked."""

    ASKING = "asking"
    ASKED = "asked"


MessageIds = Callable[[Referral, str], str]
"""Gives the shared id of the message of a referral with this local id."""

_QUESTION, _ANSWER = Category.QUESTION, Category.ANSWER
_ASKING, _ASKED = ConversationSide.ASKING, ConversationSide.ASKED

# The business status of advice, the message and its side, and the business status after it. A question or answer that
# is not listed is refused; information changes nothing.
_ADVICE_STATUS_AFTER: Mapping[str, Mapping[tuple[ConversationSide, Category], str]] = {
    PROVIDER_RESPONSE_REQUIRED: {
        (_ASKING, _QUESTION): PROVIDER_RESPONSE_REQUIRED,
        (_ASKED, _QUESTION): REFERRER_TO_SUBMIT_FURTHER_INFORMATION,
        (_ASKED, _ANSWER): REFERRER_TO_REVIEW_RESPONSE,
    },
    REFERRER_TO_SUBMIT_FURTHER_INFORMATION: {
        (_ASKING, _QUESTION): PROVIDER_RESPONSE_REQUIRED,
        (_ASKING, _ANSWER): PROVIDER_RESPONSE_REQUIRED,
        (_ASKED, _QUESTION): REFERRER_TO_SUBMIT_FURTHER_INFORMATION,
        (_ASKED, _ANSWER): REFERRER_TO_REVIEW_RESPONSE,
    },
    REFERRER_TO_REVIEW_RESPONSE: {
        (_ASKING, _QUESTION): PROVIDER_RESPONSE_REQUIRED,
        (_ASKED, _QUESTION): REFERRER_TO_SUBMIT_FURTHER_INFORMATION,
        (_ASKED, _ANSWER): REFERRER_TO_REVIEW_RESPONSE,
    },
}
_ACTS_NEXT = {ConversationSide.ASKING: "sender", ConversationSide.ASKED: "recipient"}
_ACTIONS = {Category.QUESTION: "ask", Category.ANSWER: "answer", Category.INFORMATION: "message"}


def business_status_after(business_status: str, side: ConversationSide, category: Category) -> str | None:
    """Task.businessStatus of advice after a message of this side; None: the message is refused."""
    if category is Category.INFORMATION:
        return business_status
    return _ADVICE_STATUS_AFTER.get(business_status, {}).get((side, category))


def turn_after(status: Status, acts_next: str, side: ConversationSide, category: Category) -> str | None:
    """`Referral.acts_next` after a message of this side, for all kinds but advice; None: the message is refused.

    After a rejection or failure the holder has to find another team: no question can take this turn away.
    """
    if category is Category.INFORMATION:
        return acts_next
    if status in (Status.REJECTED, Status.FAILED):
        return None
    if category is Category.QUESTION:
        return _ACTS_NEXT[ConversationSide.ASKED if side is ConversationSide.ASKING else ConversationSide.ASKING]
    return "" if acts_next and _conversation_side(acts_next) is side else None


def decide_message(
    referral: Referral,
    message: ConversationMessage,
    sides: Collection[Side],
    context: ChangeContext,
    clocks: Clocks,
    ids: MessageIds,
) -> ReferralChange:
    """The change that a message makes, sent by a caller on these sides.

    Raises `Conflict` where the referral is a draft or has ended, or where there is no question to answer;
    `Unprocessable` where it is about another person.
    """
    _refuse_closed(referral)
    refuse_other_person(referral, message)
    side = _sending_side(referral, sides)
    sending = [one for one in sides if _conversation_side(one) is side]
    context = with_acting_party(referral, sending, context)
    local_id = message_local_id(referral, referral.version + 1)
    shared_id = ids(referral, local_id)
    is_advice = referral.kind is ReferralKind.ADVICE
    after = (_after_advice_message if is_advice else _after_referral_message)(
        referral, side, message.category, context.at, clocks
    )
    after = replace(after, version=referral.version + 1)
    answered = ""
    if message.category is Category.QUESTION:
        after = replace(after, question_id=shared_id)
    elif message.category is Category.ANSWER:
        after, answered = replace(after, question_id=""), referral.question_id
    gives_advice = is_advice and (side, message.category) == (ConversationSide.ASKED, Category.ANSWER)
    action = "advise" if gives_advice else _ACTIONS[message.category]
    content = communication(after, message, context, answered)
    return build_change(
        referral, after, action, context, [WrittenResource("Communication", shared_id, local_id, content)]
    )


def _after_advice_message(
    referral: Referral, side: ConversationSide, category: Category, at: datetime, clocks: Clocks
) -> Referral:
    """Advice after a message. Both sides have the same time to act, from the moment when they get the turn."""
    business_status = business_status_after(referral.business_status, side, category)
    if business_status is None:
        raise _nothing_to_answer()
    if category is Category.INFORMATION:
        return referral
    # The first message of the team shows that it has seen the request.
    status = Status.RECEIVED if side is ConversationSide.ASKED else referral.status
    acts_next = "" if business_status == PROVIDER_RESPONSE_REQUIRED else _ACTS_NEXT[ConversationSide.ASKING]
    after = replace(referral, status=status, business_status=business_status, acts_next=acts_next)
    if acts_next == referral.acts_next:
        return after
    return replace(after, due_at=clocks.due(after.kind, after.priority, after.status, at), escalated_at=None)


def _after_referral_message(
    referral: Referral, side: ConversationSide, category: Category, at: datetime, clocks: Clocks
) -> Referral:
    """A referral after a message. The side that gets a question has as long as a team has for a new referral.

    Meanwhile the due time of the status goes on: a question to the team never delays it. The team that gets the turn
    back has at least the time for a new referral again.
    """
    acts_next = turn_after(referral.status, referral.acts_next, side, category)
    if acts_next is None:
        raise _nothing_to_answer()
    if acts_next == referral.acts_next or referral.due_at is None:
        return referral
    reply_due = clocks.due(referral.kind, referral.priority, Status.REQUESTED, at)
    state_due = referral.state_due_at or referral.due_at
    if acts_next:
        due = min(reply_due, state_due) if acts_next == _ACTS_NEXT[ConversationSide.ASKED] else reply_due
    else:
        due = state_due if side is ConversationSide.ASKED else max(reply_due, state_due)
    state_due_at = state_due if acts_next else None
    escalated_at = referral.escalated_at if due == referral.due_at else None
    return replace(referral, acts_next=acts_next, due_at=due, state_due_at=state_due_at, escalated_at=escalated_at)


def _sending_side(referral: Referral, sides: Collection[Side]) -> ConversationSide:
    """The side for which a caller sends a message. For a caller on both sides it is the one that has the turn."""
    conversation_sides = {_conversation_side(side) for side in sides}
    if len(conversation_sides) == 1:
        return conversation_sides.pop()
    return ConversationSide.ASKED if referral.next_actor == referral.recipient else ConversationSide.ASKING


def _conversation_side(side: str) -> ConversationSide:
    return ConversationSide.ASKED if side == Side.RECIPIENT else ConversationSide.ASKING


def _refuse_closed(referral: Referral) -> None:
    if referral.status is Status.DRAFT:
        raise Conflict("The referral is a draft: send it first, with $request.", code="conflict")
    if not referral.is_open:
        ended = referral.business_status if referral.kind is ReferralKind.ADVICE else referral.status
        raise Conflict(
            f"The referral has ended ({ended}) and takes no messages any more. If something has to be done, send a new "
            "referral: POST /fhir/ServiceRequest.",
            code="conflict",
        )


def _nothing_to_answer() -> Conflict:
    return Conflict(
        "There is no open question to answer. Send a question, to which the other side has to reply, or "
        "information. After a rejection or failure only information can be sent: use $redirect for another team.",
        code="conflict",
    )

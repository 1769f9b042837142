"""What the sides of a referral say to each other, and whose turn it is then. Pure: the same in, the same out.

A question gives the turn to the other side, an answer gives it back, and information leaves it where it is. Who is
responsible never changes by what is said.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from onestory.referral.clocks.domain import Clocks
from onestory.referral.lifecycle.decide import acting, finish
from onestory.referral.lifecycle.machine import (
    PROVIDER_RESPONSE_REQUIRED,
    REFERRER_TO_REVIEW_RESPONSE,
    REFERRER_TO_SUBMIT_FURTHER_INFORMATION,
    Doing,
    ReferralChange,
    Side,
    Written,
)
from onestory.referral.lifecycle.model import Json, Referral, ReferralKind, Status
from onestory.referral.lifecycle.render import ONESTORY, reference_to, subject
from onestory.referral.lifecycle.write import message_local_id
from onestory.shared.errors import Conflict, TooLarge, Unprocessable
from onestory.shared.fhir.dates import format_instant
from onestory.shared.identity import parse_shared_id

# A message between the sides of a referral, as FHIR (http://hl7.org/fhir/R4/communication.html).

MESSAGE = "https://onestory.nhs.uk/CodeSystem/referral-message"
AUTHOR = f"{ONESTORY}/message-author"
"""Extension on Communication: the user (`sub`) who wrote it."""
LARGEST = 5_000_000
"""Bytes of all attachments of one message."""
LONGEST = 1_000_000
"""Characters of a text: about as many as a FHIR string may have."""


class Category(StrEnum):
    """What a message wants of the other side: a reply, to be read as the reply to its question, or nothing."""

    QUESTION = "question"
    ANSWER = "answer"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class ConversationMessage:
    """What is said: texts and attachments (`payload`), and what of the record it is about (References)."""

    category: Category
    payload: tuple[Json, ...]
    about: tuple[Json, ...] = ()


def refuse_unfit(attachment: Json, path: str) -> int:
    """The bytes of an attachment. Raises `Unprocessable` for one that does not come along."""
    if not attachment.get("data") or not attachment.get("contentType"):
        raise Unprocessable(
            "Send the attachment itself, as data with its contentType. What is on the record is named by about.",
            code="required",
            expression=path,
        )
    return len(attachment["data"]) * 3 // 4


def refuse_too_large(size: int) -> None:
    """Raise `TooLarge` where the attachments of one message have more bytes than travel with a referral."""
    if size > LARGEST:
        raise TooLarge(
            f"The attachments have more than {LARGEST} bytes: publish them as DocumentReference, and name them by "
            "about.",
            expression="Parameters.parameter.where(name='attachment')",
        )


def refuse_too_long(text: str) -> None:
    """Raise `TooLarge` for a text that nobody can read as a message."""
    if len(text) > LONGEST:
        raise TooLarge(
            f"The text has more than {LONGEST} characters: send it as an attachment.",
            expression="Parameters.parameter.where(name='text')",
        )


def refuse_other_person(referral: Referral, message: ConversationMessage) -> None:
    """Raise `Unprocessable` unless all that the message is about is on the record of the referral's person."""
    for reference in message.about:
        kind, _, name = str(reference.get("reference", "")).partition("/")
        parsed = parse_shared_id(name)
        if not kind or parsed is None or parsed.person_key != referral.person_key:
            raise Unprocessable(
                "Name something on this person's record as it is read here, such as Observation/<id>.",
                code="value",
                expression="Parameters.parameter.where(name='about')",
            )


def communication(referral: Referral, message: ConversationMessage, doing: Doing, answers: str) -> Json:
    """The message. `answers` is the id of the one that it answers, if it does."""
    sender = doing.actor.party
    others = dict.fromkeys((referral.requester, referral.sender, referral.recipient))
    body: dict[str, Any] = {
        "extension": [{"url": AUTHOR, "valueString": doing.actor.subject}] if doing.actor.subject else [],
        "basedOn": [{"reference": f"ServiceRequest/{referral.referral_id}"}],
        "partOf": [{"reference": f"Task/{referral.task_id}"}],
        "inResponseTo": [{"reference": f"Communication/{answers}"}] if answers else [],
        "status": "completed",
        "category": [{"coding": [{"system": MESSAGE, "code": str(message.category)}]}],
        "subject": subject(referral),
        "about": list(message.about),
        "sent": format_instant(doing.at),
        "recipient": [reference_to(party) for party in others if party != sender],
        "sender": reference_to(sender),
        "payload": list(message.payload),
    }
    return {name: value for name, value in body.items() if value != []}


class Camp(StrEnum):
    """Who asked, requester and sender alike; and the team that was asked."""

    ASKING = "asking"
    ASKED = "asked"


MessageIds = Callable[[Referral, str], str]
"""The shared id of the message of a referral that has this name."""

_QUESTION, _ANSWER = Category.QUESTION, Category.ANSWER
_ASKING, _ASKED = Camp.ASKING, Camp.ASKED

# In this state, said by these: the state that follows. What is not listed is refused; information changes nothing.
_ADVICE: Mapping[str, Mapping[tuple[Camp, Category], str]] = {
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
_SIDES = {Camp.ASKING: "sender", Camp.ASKED: "recipient"}
_ACTIONS = {Category.QUESTION: "ask", Category.ANSWER: "answer", Category.INFORMATION: "message"}


def word_after(word: str, camp: Camp, category: Category) -> str | None:
    """The businessStatus of advice after this was said; None: it is refused."""
    return word if category is Category.INFORMATION else _ADVICE.get(word, {}).get((camp, category))


def turn_after(status: Status, acts_next: str, camp: Camp, category: Category) -> str | None:
    """`Referral.acts_next` of anything but advice after this was said; None: it is refused.

    Once a team has said no, or has failed, whoever is responsible has to find another way: no question takes that turn.
    """
    if category is Category.INFORMATION:
        return acts_next
    if status in (Status.REJECTED, Status.FAILED):
        return None
    if category is Category.QUESTION:
        return _SIDES[Camp.ASKED if camp is Camp.ASKING else Camp.ASKING]
    return "" if acts_next and _camp(acts_next) is camp else None


def say(
    referral: Referral,
    message: ConversationMessage,
    sides: Collection[Side],
    doing: Doing,
    clocks: Clocks,
    ids: MessageIds,
) -> ReferralChange:
    """The change that a message makes, by somebody who stands on these sides.

    Raises `Conflict` where nobody is left to hear it or where it answers nothing, `Unprocessable` where it is about
    another person.
    """
    _refuse_unheard(referral)
    refuse_other_person(referral, message)
    camp = _speaking(referral, sides)
    doing = acting(referral, [side for side in sides if _camp(side) is camp], doing)
    name = message_local_id(referral, referral.version + 1)
    shared_id = ids(referral, name)
    is_advice = referral.kind is ReferralKind.ADVICE
    after = (_advised if is_advice else _asked)(referral, camp, message.category, doing.at, clocks)
    after = replace(after, version=referral.version + 1)
    answered = ""
    if message.category is Category.QUESTION:
        after = replace(after, question_id=shared_id)
    elif message.category is Category.ANSWER:
        after, answered = replace(after, question_id=""), referral.question_id
    is_the_advice = is_advice and (camp, message.category) == (Camp.ASKED, Category.ANSWER)
    action = "advise" if is_the_advice else _ACTIONS[message.category]
    written = Written("Communication", shared_id, name, communication(after, message, doing, answered))
    return finish(referral, after, action, doing, [written])


def _advised(referral: Referral, camp: Camp, category: Category, at: datetime, clocks: Clocks) -> Referral:
    """Either side has the same time, from when the turn came to it."""
    word = word_after(referral.business_status, camp, category)
    if word is None:
        raise _answers_nothing()
    if category is Category.INFORMATION:
        return referral
    # What is said first by the team says that it has seen the request.
    status = Status.RECEIVED if camp is Camp.ASKED else referral.status
    acts_next = "" if word == PROVIDER_RESPONSE_REQUIRED else _SIDES[Camp.ASKING]
    after = replace(referral, status=status, business_status=word, acts_next=acts_next)
    if acts_next == referral.acts_next:
        return after
    return replace(after, due_at=clocks.due(after.kind, after.priority, after.status, at), escalated_at=None)


def _asked(referral: Referral, camp: Camp, category: Category, at: datetime, clocks: Clocks) -> Referral:
    """Who is asked has as long as a team has to look at a new referral. The time that the state gives runs on beneath:
    a question puts nothing off, but who gets the turn back from the other side has at least that long again.
    """
    acts_next = turn_after(referral.status, referral.acts_next, camp, category)
    if acts_next is None:
        raise _answers_nothing()
    if acts_next == referral.acts_next or referral.due_at is None:
        return referral
    look = clocks.due(referral.kind, referral.priority, Status.REQUESTED, at)
    of_state = referral.state_due_at or referral.due_at
    if acts_next:
        due = min(look, of_state) if acts_next == _SIDES[Camp.ASKED] else look
    else:
        due = of_state if camp is Camp.ASKED else max(look, of_state)
    beneath = of_state if acts_next else None
    escalated_at = referral.escalated_at if due == referral.due_at else None
    return replace(referral, acts_next=acts_next, due_at=due, state_due_at=beneath, escalated_at=escalated_at)


def _speaking(referral: Referral, sides: Collection[Side]) -> Camp:
    """For which side somebody speaks who stands on both: for the one whose turn it is."""
    camps = {_camp(side) for side in sides}
    if len(camps) == 1:
        return camps.pop()
    return Camp.ASKED if referral.next_actor == referral.recipient else Camp.ASKING


def _camp(side: str) -> Camp:
    return Camp.ASKED if side == Side.RECIPIENT else Camp.ASKING


def _refuse_unheard(referral: Referral) -> None:
    if referral.status is Status.DRAFT:
        raise Conflict("Nobody hears you yet: send it first, with $request.", code="conflict")
    if not referral.is_open:
        ended = referral.business_status if referral.kind is ReferralKind.ADVICE else referral.status
        raise Conflict(
            f"It has ended ({ended}), so nobody looks at messages any more. If something is still to be done, ask "
            "anew: POST /fhir/ServiceRequest.",
            code="conflict",
        )


def _answers_nothing() -> Conflict:
    return Conflict(
        "Nothing waits for your answer now. Send it as a question, to which the other side has to reply, or as "
        "information. Once a team has said no, only information can be sent: ask another team with $redirect.",
        code="conflict",
    )

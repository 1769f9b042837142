"""A message between the sides of a referral, as FHIR (http://hl7.org/fhir/R4/communication.html)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from onestory.referral.domain.command import Doing
from onestory.referral.domain.referral import Json, Referral
from onestory.referral.domain.render import ONESTORY, reference_to, subject
from onestory.shared.errors import TooLarge, Unprocessable
from onestory.shared.fhir.instants import format_instant
from onestory.shared.identity import parse_shared_id

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
class Message:
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


def refuse_other_person(referral: Referral, message: Message) -> None:
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


def communication(referral: Referral, message: Message, doing: Doing, answers: str) -> Json:
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

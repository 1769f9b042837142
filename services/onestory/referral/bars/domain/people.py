"""Who the person of a message may be among those that are known: never a guess, only what the Patient itself says."""

from __future__ import annotations

from onestory.referral.bars.domain.message import Message
from onestory.shared.errors import Forbidden, Malformed
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    PersonIdentifier,
    is_nhs_number,
    is_nhs_number_system,
    is_ods_code_system,
)


def numbers(message: Message) -> list[PersonIdentifier]:
    """The NHS numbers that the Patient says. Without one, only an id that we gave can lead to what is known of them."""
    said = message.patient.resource.get("identifier", ())
    found = (each.get("value", "") for each in said if is_nhs_number_system(each.get("system")))
    return [PersonIdentifier(NHS_NUMBER_SYSTEM, number) for number in found if is_nhs_number(number)]


def refuse_other_person(message: Message, said: PersonIdentifier, known: PersonIdentifier) -> None:
    """Raise `Malformed` where a message about something known has another person's number."""
    if said != known and said.is_nhs_number and known.is_nhs_number:
        says = "What this message is about belongs to somebody else: send the Patient whom it was sent for."
        raise Malformed(says, code="invariant", expression=message.patient.path)


def refuse_other_subject(message: Message) -> None:
    """Raise `Malformed` unless what the message is about is of its Patient."""
    focus = message.focus
    if focus.resource_type == "Appointment":
        actors = [message.at(each.get("actor")) for each in focus.resource.get("participant", ())]
        if message.patient not in actors:
            says = "The Patient of the message is a participant of its Appointment: name them by the entry's fullUrl."
            raise Malformed(says, code="invariant", expression=f"{focus.path}.participant")
    elif message.at(focus.resource.get("subject")) is not message.patient:
        says = f"The subject of the {focus.resource_type} is the Patient of the message: name them by the fullUrl."
        raise Malformed(says, code="invariant", expression=f"{focus.path}.subject")


def refuse_other_sender(message: Message, organisation: str) -> None:
    """Raise `Forbidden` where the header's sender has another ODS code than the token."""
    sender = message.at(message.header.resource.get("sender"))
    listed = sender.resource.get("identifier", ()) if sender else ()
    codes = {str(each.get("value", "")).upper() for each in listed if is_ods_code_system(each.get("system"))}
    if codes and organisation not in codes:
        says = "The sender is another organisation than the token's: send the token of the one that sends."
        raise Forbidden(says, expression=f"{message.header.path}.sender")

"""Checks what a message refers to: its person, its sender, the service that it is for, and the Slot of a booking.

A person is matched by what the Patient resource states only, never by a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from onestory.referral.bars.message import BarsMessage
from onestory.shared.errors import Forbidden, Malformed
from onestory.shared.fhir.dates import parse_instant
from onestory.shared.identity import (
    DOS_SERVICE_SYSTEM,
    NHS_NUMBER_SYSTEM,
    PersonIdentifier,
    is_dos_service_system,
    is_nhs_number,
    is_nhs_number_system,
    is_ods_code_system,
)


def nhs_numbers(message: BarsMessage) -> list[PersonIdentifier]:
    """The valid NHS numbers of the Patient. Without one, only an id that OneStory gave leads to the person's data."""
    identifiers = message.patient.resource.get("identifier", ())
    values = (
        identifier.get("value", "") for identifier in identifiers if is_nhs_number_system(identifier.get("system"))
    )
    return [PersonIdentifier(NHS_NUMBER_SYSTEM, number) for number in values if is_nhs_number(number)]


def refuse_other_person(message: BarsMessage, sent: PersonIdentifier, known: PersonIdentifier) -> None:
    """Raise `Malformed` where a message about a known resource has another person's NHS number."""
    if sent != known and sent.is_nhs_number and known.is_nhs_number:
        text = "The referral or booking belongs to another person: send the Patient for whom it was made."
        raise Malformed(text, code="invariant", expression=message.patient.path)


def refuse_other_subject(message: BarsMessage) -> None:
    """Raise `Malformed` unless the focus of the message is about its Patient."""
    focus = message.focus
    if focus.resource_type == "Appointment":
        participants = enumerate(focus.resource.get("participant", ()))
        actors = [message.resolve(each.get("actor"), focus, f"participant[{at}].actor") for at, each in participants]
        if not any(actor is message.patient for actor in actors):
            text = "Appointment.participant: name the Patient of the message by the fullUrl of its entry."
            raise Malformed(text, code="invariant", expression=f"{focus.path}.participant")
    elif message.resolve(focus.resource.get("subject"), focus, "subject") is not message.patient:
        text = f"{focus.resource_type}.subject: name the Patient of the message by the fullUrl of its entry."
        raise Malformed(text, code="invariant", expression=f"{focus.path}.subject")


def refuse_other_sender(message: BarsMessage, organisation: str) -> None:
    """Raise `Forbidden` where the header's sender has another ODS code than the token."""
    sender = message.resolve(message.header.resource.get("sender"), message.header, "sender")
    identifiers = sender.resource.get("identifier", ()) if sender else ()
    codes = {
        str(identifier.get("value", "")).upper()
        for identifier in identifiers
        if is_ods_code_system(identifier.get("system"))
    }
    if codes and organisation not in codes:
        text = "MessageHeader.sender is another organisation than the token's: use a token of the sender."
        raise Forbidden(text, expression=f"{message.header.path}.sender")


def receiver_organisations(message: BarsMessage) -> set[str]:
    """The ODS codes of the organisations that the header's destinations name as receivers."""
    found = set()
    for index, destination in enumerate(message.header.resource.get("destination", ())):
        receiver = message.resolve(destination.get("receiver"), message.header, f"destination[{index}].receiver")
        for identifier in receiver.resource.get("identifier", ()) if receiver else ():
            if is_ods_code_system(identifier.get("system")):
                found.add(str(identifier.get("value", "")).upper())
    return found


def dos_service_id(identifier: object) -> str:
    """The value of an Identifier of the Directory of Services; empty for any other."""
    if isinstance(identifier, Mapping) and is_dos_service_system(identifier.get("system")):
        return str(identifier.get("value") or "")
    return ""


def target_service(message: BarsMessage, header_target: str) -> str:
    """The DoS id of the one service that the message is for.

    `header_target` is the service that the HTTP header names, or empty. Raises `Malformed` for none and for several.
    """
    services = dict(_named_services(message))
    if header_target:
        services["http.NHSD-Target-Identifier"] = header_target
    if not services:
        raise Malformed(
            f"Name the service: MessageHeader.destination.endpoint is {DOS_SERVICE_SYSTEM}|<id>.",
            code="required",
            expression=f"{message.header.path}.destination.endpoint",
        )
    if len(set(services.values())) > 1:
        places = " and ".join(services)
        text = f"The message names more than one service, in {places}: send it to one."
        raise Malformed(text, code="invariant", expression=next(iter(services)))
    return next(iter(services.values()))


def _named_services(message: BarsMessage) -> Iterator[tuple[str, str]]:
    """Yield the FHIRPath of each element that names a service, and the service's DoS id."""
    for index, destination in enumerate(message.header.resource.get("destination", ())):
        system, _, value = str(destination.get("endpoint", "")).partition("|")
        if value and is_dos_service_system(system):
            yield f"{message.header.path}.destination[{index}].endpoint", value
    if message.focus.resource_type == "ServiceRequest":
        for index, performer in enumerate(message.focus.resource.get("performer", ())):
            entry = message.resolve(performer, message.focus, f"performer[{index}]")
            identifiers = entry.resource.get("identifier", ()) if entry else [performer.get("identifier")]
            for value in filter(None, map(dos_service_id, identifiers)):
                yield f"{message.focus.path}.performer[{index}]", value


def slot_id(message: BarsMessage) -> str:
    """The id of the Appointment's Slot; empty where it names none. Raises `Malformed` for several."""
    path = f"{message.focus.path}.slot"
    references = message.focus.resource.get("slot", ())
    if len(references) > 1:
        raise Malformed("Appointment.slot: name one Slot only.", code="invariant", expression=path)
    if not references:
        return ""
    entry = message.resolve(references[0], message.focus, "slot[0]")
    reference = str(references[0].get("reference", ""))
    slot = entry.resource.get("id", "") if entry else reference.rpartition("/")[2]
    if not slot or (entry and entry.resource_type != "Slot"):
        text = "Name the Slot by the id that GET /Slot gave: as Slot.id in the message, or as Slot/<id>."
        raise Malformed(text, code="required", expression=path)
    return str(slot)


def refuse_other_service(message: BarsMessage, header_target: str, dos_service_id: str) -> None:
    """Raise `Malformed` where the message is for another service than that of the Slot."""
    if target_service(message, header_target) != dos_service_id:
        text = "The Slot is offered by another service than the one that the message is for."
        raise Malformed(text, code="invariant", expression=f"{message.focus.path}.slot")


def refuse_other_time(message: BarsMessage, starts_at: datetime, ends_at: datetime) -> None:
    """Raise `Malformed` unless the Appointment lies within its Slot; otherwise nobody would expect the person."""
    appointment = message.focus.resource
    try:
        start, end = parse_instant(appointment.get("start", "")), parse_instant(appointment.get("end", ""))
    except ValueError as error:
        text = "Appointment.start and Appointment.end: send both, with time zone."
        raise Malformed(text, code="required", expression=f"{message.focus.path}.start") from error
    if not starts_at <= start < end <= ends_at:
        text = "The Appointment is at another time than its Slot: send the start and end that GET /Slot gave."
        raise Malformed(text, code="invariant", expression=f"{message.focus.path}.start")

"""Who the person of a message may be among those that are known: never a guess, only what the Patient itself says."""

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


def numbers(message: BarsMessage) -> list[PersonIdentifier]:
    """The NHS numbers that the Patient says. Without one, only an id that we gave can lead to what is known of them."""
    said = message.patient.resource.get("identifier", ())
    found = (each.get("value", "") for each in said if is_nhs_number_system(each.get("system")))
    return [PersonIdentifier(NHS_NUMBER_SYSTEM, number) for number in found if is_nhs_number(number)]


def refuse_other_person(message: BarsMessage, said: PersonIdentifier, known: PersonIdentifier) -> None:
    """Raise `Malformed` where a message about something known has another person's number."""
    if said != known and said.is_nhs_number and known.is_nhs_number:
        says = "What this message is about belongs to somebody else: send the Patient whom it was sent for."
        raise Malformed(says, code="invariant", expression=message.patient.path)


def refuse_other_subject(message: BarsMessage) -> None:
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


def refuse_other_sender(message: BarsMessage, organisation: str) -> None:
    """Raise `Forbidden` where the header's sender has another ODS code than the token."""
    sender = message.at(message.header.resource.get("sender"))
    listed = sender.resource.get("identifier", ()) if sender else ()
    codes = {str(each.get("value", "")).upper() for each in listed if is_ods_code_system(each.get("system"))}
    if codes and organisation not in codes:
        says = "The sender is another organisation than the token's: send the token of the one that sends."
        raise Forbidden(says, expression=f"{message.header.path}.sender")


# Which service a message is for, by its id in the Directory of Services.


def dos_id(identifier: object) -> str:
    """The value of an Identifier of the Directory of Services, else empty."""
    if isinstance(identifier, Mapping) and is_dos_service_system(identifier.get("system")):
        return str(identifier.get("value") or "")
    return ""


def service(message: BarsMessage, target: str) -> str:
    """The one service that the message is for. `target` is what the header named. Raises `Malformed`."""
    named = dict(_named(message))
    if target:
        named["http.NHSD-Target-Identifier"] = target
    if not named:
        raise Malformed(
            f"Name the service: MessageHeader.destination.endpoint is {DOS_SERVICE_SYSTEM}|<id>.",
            code="required",
            expression=f"{message.header.path}.destination.endpoint",
        )
    if len(set(named.values())) > 1:
        places = " and ".join(named)
        says = f"The message names more than one service, in {places}: send it to one."
        raise Malformed(says, code="invariant", expression=next(iter(named)))
    return next(iter(named.values()))


def _named(message: BarsMessage) -> Iterator[tuple[str, str]]:
    """Each place that names a service, with its id."""
    for index, destination in enumerate(message.header.resource.get("destination", ())):
        system, _, value = str(destination.get("endpoint", "")).partition("|")
        if value and is_dos_service_system(system):
            yield f"{message.header.path}.destination[{index}].endpoint", value
    if message.focus.resource_type == "ServiceRequest":
        for index, performer in enumerate(message.focus.resource.get("performer", ())):
            found = message.at(performer)
            identifiers = found.resource.get("identifier", ()) if found else [performer.get("identifier")]
            for value in filter(None, map(dos_id, identifiers)):
                yield f"{message.focus.path}.performer[{index}]", value


# Which Slot an Appointment is to be in, and whether it fits there.


def slot_id(message: BarsMessage) -> str:
    """The id of the one Slot; empty where the Appointment names none. Raises `Malformed`."""
    path = f"{message.focus.path}.slot"
    named = message.focus.resource.get("slot", ())
    if len(named) > 1:
        raise Malformed("An Appointment is in one Slot: name one.", code="invariant", expression=path)
    if not named:
        return ""
    found = message.at(named[0])
    reference = str(named[0].get("reference", ""))
    name = found.resource.get("id", "") if found else reference.rpartition("/")[2]
    if not name or (found and found.resource_type != "Slot"):
        says = "Name the Slot by the id that GET /Slot gave: as Slot.id in the message, or as Slot/<id>."
        raise Malformed(says, code="required", expression=path)
    return str(name)


def refuse_elsewhere(message: BarsMessage, target: str, dos_service_id: str) -> None:
    """Raise `Malformed` where the message is for another service than the one that offers the Slot."""
    if service(message, target) != dos_service_id:
        says = "The Slot is offered by another service than the one that the message is for."
        raise Malformed(says, code="invariant", expression=f"{message.focus.path}.slot")


def refuse_other_time(message: BarsMessage, starts_at: datetime, ends_at: datetime) -> None:
    """Raise `Malformed` unless the Appointment lies within its Slot: somebody would come when nobody expects them."""
    said = message.focus.resource
    try:
        start, end = parse_instant(said.get("start", "")), parse_instant(said.get("end", ""))
    except ValueError as error:
        says = "A booked Appointment has start and end, with time zone."
        raise Malformed(says, code="required", expression=f"{message.focus.path}.start") from error
    if not starts_at <= start < end <= ends_at:
        says = "The Appointment is at another time than its Slot: send the start and end that GET /Slot gave."
        raise Malformed(says, code="invariant", expression=f"{message.focus.path}.start")

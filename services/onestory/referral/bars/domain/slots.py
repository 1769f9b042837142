"""Which Slot an Appointment is to be in, and whether it fits there."""

from __future__ import annotations

from datetime import datetime

from onestory.referral.bars.domain.message import Message
from onestory.referral.bars.domain.services import service
from onestory.shared.errors import Malformed
from onestory.shared.fhir.instants import parse_instant


def slot_id(message: Message) -> str:
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


def refuse_elsewhere(message: Message, target: str, dos_service_id: str) -> None:
    """Raise `Malformed` where the message is for another service than the one that offers the Slot."""
    if service(message, target) != dos_service_id:
        says = "The Slot is offered by another service than the one that the message is for."
        raise Malformed(says, code="invariant", expression=f"{message.focus.path}.slot")


def refuse_other_time(message: Message, starts_at: datetime, ends_at: datetime) -> None:
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

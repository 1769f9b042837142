"""Which service a message is for, by its id in the Directory of Services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onestory.referral.bars.domain.message import Message
from onestory.shared.errors import Malformed
from onestory.shared.identity import DOS_SERVICE_SYSTEM, is_dos_service_system


def dos_id(identifier: object) -> str:
    """The value of an Identifier of the Directory of Services, else empty."""
    if isinstance(identifier, Mapping) and is_dos_service_system(identifier.get("system")):
        return str(identifier.get("value") or "")
    return ""


def service(message: Message, target: str) -> str:
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


def _named(message: Message) -> Iterator[tuple[str, str]]:
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

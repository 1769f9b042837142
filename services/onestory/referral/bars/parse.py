"""Bytes become a message, or are refused with everything that is wrong with its form.

Sources: NHS Booking and Referral Standard, message core; http://hl7.org/fhir/R4/messaging.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from onestory.referral.bars.definitions import BASE, Cardinality, Definition, bundle_versions, definitions
from onestory.referral.bars.message import BarsMessage, Carried, Json, codes, is_system
from onestory.shared.errors import Issue, Malformed, Unprocessable
from onestory.shared.fhir.outcome import MOST_ISSUES
from onestory.shared.fhir.validate import is_id, validate
from onestory.shared.identity import is_keepable

PROFILE = "https://fhir.nhs.uk/StructureDefinition/BARSBundleMessage"
EVENTS = "message-events-bars"
REASONS = "message-reason-bars"
_ABOUT = {
    "servicerequest-request": ("ServiceRequest",),
    # The published validation responses are about the receiver's Encounter, referral responses about the request.
    "servicerequest-response": ("ServiceRequest", "Encounter"),
    "booking-request": ("Appointment",),
}
_HEADER = "Bundle.entry[0].resource"


def open_message(body: bytes) -> BarsMessage:
    """The message. Raises `Malformed`, and `Unprocessable` for a version of the standard that is not spoken here."""
    bundle = _bundle(body.removeprefix(b"\xef\xbb\xbf"))
    carried = tuple(_carried(bundle.get("entry", [])))
    header = _header(bundle, carried)
    event = _event(header.resource)
    definition = _definition(header.resource, event)
    reason = _reason(header.resource)
    _refuse(list(_counted(carried, definition.of(reason), definition.name)))
    return BarsMessage(
        message_id=bundle["id"],
        version=bundle["meta"]["versionId"],
        event=event,
        reason=reason,
        definition=definition,
        header=header,
        focus=_focus(header.resource, event, carried),
        carried=carried,
        answers=_answers(header.resource, event),
        by_url={each.full_url: each for each in carried},
    )


def _bundle(body: bytes) -> dict[str, Any]:
    if issues := validate(body):
        raise Malformed(issues[0].diagnostics, issues=issues)
    bundle: dict[str, Any] = msgspec.json.decode(body)
    if bundle["resourceType"] != "Bundle" or bundle.get("type") != "message":
        says = "Send a Bundle of type message. What is said for the record goes to /fhir."
        raise Malformed(says, code="value", expression="Bundle.type")
    _refuse_version(bundle.get("meta", {}))
    if PROFILE not in bundle["meta"].get("profile", ()):
        raise Malformed(f"A BaRS message says so: give the profile {PROFILE}.", expression="Bundle.meta.profile")
    if not is_id(bundle.get("id", "")):
        says = "A message needs an id, for its response names it: give the Bundle a UUID as id."
        raise Malformed(says, code="value" if "id" in bundle else "required", expression="Bundle.id")
    return bundle


def _refuse_version(meta: Json) -> None:
    spoken = ", ".join(sorted(bundle_versions()))
    if "versionId" not in meta:
        says = f"Say in which version of the standard this message is written: {spoken}."
        raise Unprocessable(says, code="required", expression="Bundle.meta.versionId")
    if meta["versionId"] not in bundle_versions():
        says = f"This version of the standard is not spoken here: send {spoken}."
        raise Unprocessable(says, code="not-supported", expression="Bundle.meta.versionId")


def _carried(entries: Sequence[Json]) -> Iterator[Carried]:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        path, full_url = f"Bundle.entry[{index}]", entry.get("fullUrl", "")
        if not full_url or full_url in seen:
            says = "Each entry has a fullUrl of its own, such as urn:uuid:<UUID>: what refers to it finds it by that."
            raise Malformed(says, code="invariant" if full_url else "required", expression=f"{path}.fullUrl")
        if not is_keepable(full_url):
            says = "This fullUrl is too long: send at most 512 characters."
            raise Malformed(says, code="too-long", expression=f"{path}.fullUrl")
        seen.add(full_url)
        resource = entry.get("resource")
        if not isinstance(resource, Mapping):
            raise Malformed("The entry has no resource: send it.", code="required", expression=f"{path}.resource")
        yield Carried(index, full_url, resource["resourceType"], resource)


def _header(bundle: Json, carried: Sequence[Carried]) -> Carried:
    if not carried or carried[0].resource_type != "MessageHeader":
        raise Malformed("A message begins with its MessageHeader.", code="invariant", expression=_HEADER)
    return carried[0]


def _event(header: Json) -> str:
    coding, path = header.get("eventCoding", {}), f"{_HEADER}.eventCoding"
    event: str = coding.get("code", "")
    if not is_system(coding.get("system"), EVENTS):
        says = f"Say what the message is with a code of https://fhir.nhs.uk/CodeSystem/{EVENTS}."
        raise Malformed(says, code="code-invalid", expression=f"{path}.system")
    if event == "booking-response":
        says = "A booking is answered in the answer to its request: nobody sends booking-response to a receiver."
        raise Malformed(says, code="not-supported", expression=f"{path}.code")
    if event not in _ABOUT:
        raise Malformed(f"Messages here are {', '.join(_ABOUT)}.", code="not-supported", expression=f"{path}.code")
    return event


def _definition(header: Json, event: str) -> Definition:
    path = f"{_HEADER}.definition"
    said = str(header.get("definition", ""))
    if not said:
        raise Malformed("Name the MessageDefinition by which it is made.", code="required", expression=path)
    found = definitions().get(said.partition("|")[0].removeprefix(BASE))
    if found is None:
        spoken = ", ".join(sorted(definitions()))
        says = f"This MessageDefinition is not spoken here. GET /MessageDefinition lists them: {spoken}."
        raise Malformed(says, code="not-supported", expression=path)
    if found.event != event:
        says = f"This definition is one of {found.event}: send the definition of the eventCoding, or its eventCoding."
        raise Malformed(says, code="invariant", expression=path)
    return found


def _reason(header: Json) -> str:
    found = codes(header.get("reason"), REASONS)
    if len(found) != 1 or found[0] not in ("new", "update", "delete"):
        says = f"Say why it is sent with one code of https://fhir.nhs.uk/CodeSystem/{REASONS}: new or update."
        raise Malformed(says, code="code-invalid" if found else "required", expression=f"{_HEADER}.reason")
    return found[0]


def _counted(carried: Sequence[Carried], counts: Mapping[str, Cardinality], name: str) -> Iterator[Issue]:
    """An issue for each type that is there too seldom or too often."""
    for kind, count in counts.items():
        found = [each for each in carried if each.resource_type == kind]
        if len(found) < count.least:
            says = f"{name} needs at least {count.least} {kind}, and has {len(found)}: send what is missing."
            yield Issue("required", says, f"Bundle.entry.resource.ofType({kind})")
        elif count.most is not None and len(found) > count.most:
            says = f"{name} has at most {count.most} {kind}, and this is one more: send only what belongs to it."
            yield Issue("invariant", says, found[count.most].path)


def _focus(header: Json, event: str, carried: Sequence[Carried]) -> Carried:
    path = f"{_HEADER}.focus"
    named = [each.get("reference", "") for each in header.get("focus", ())]
    found = [each for each in carried if each.full_url in named]
    wanted = [each for each in found if each.resource_type in _ABOUT[event]]
    if len(named) != 1 or len(wanted) != 1:
        says = f"The focus of {event} is one {' or '.join(_ABOUT[event])} of the message, by its fullUrl."
        raise Malformed(says, code="required" if not named else "invariant", expression=path)
    return wanted[0]


def _answers(header: Json, event: str) -> str:
    response, path = header.get("response"), f"{_HEADER}.response"
    if not event.endswith("-response"):
        if response:
            raise Malformed("A request responds to nothing: leave it out.", code="invariant", expression=path)
        return ""
    if not response:
        says = "Say to which message this responds: response.identifier is the id of its Bundle."
        raise Malformed(says, code="required", expression=path)
    if response["code"] != "ok":
        says = "Only ok is understood: that a referral is refused or has failed is said by its ServiceRequest."
        raise Malformed(says, code="not-supported", expression=f"{path}.code")
    return str(response["identifier"])


def _refuse(issues: Sequence[Issue]) -> None:
    if issues:
        raise Malformed(issues[0].diagnostics, issues=issues[:MOST_ISSUES])

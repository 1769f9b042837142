"""Parses the bytes of a message and checks its form; an error names everything that is wrong with the counts.

Sources: NHS Booking and Referral Standard, message core; http://hl7.org/fhir/R4/messaging.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from onestory.referral.bars.definitions import (
    BarsDefinition,
    Cardinality,
    bundle_versions,
    definitions,
    deletion_definition,
    find_definition,
)
from onestory.referral.bars.message import BarsMessage, Json, MessageEntry, codes_of_system, is_bars_system
from onestory.shared.errors import Issue, Malformed, Unprocessable
from onestory.shared.fhir.bundle_index import BundleIndex
from onestory.shared.fhir.outcome import MAX_ISSUES
from onestory.shared.fhir.validate import is_fhir_id, validate
from onestory.shared.identity import is_storable

MESSAGE_PROFILE = "https://fhir.nhs.uk/StructureDefinition/BARSBundleMessage"
EVENT_SYSTEM = "message-events-bars"
REASON_SYSTEM = "message-reason-bars"
CATEGORY_SYSTEM = "message-category-servicerequest"
_FOCUS_TYPES = {
    "servicerequest-request": ("ServiceRequest",),
    # The published validation responses are about the receiver's Encounter, referral responses about the request.
    "servicerequest-response": ("ServiceRequest", "Encounter"),
    "booking-request": ("Appointment",),
}
_ONE = Cardinality(1, 1)
# A deletion takes a message back. It needs no more than what shows which one.
_DELETION_COUNTS = {
    "servicerequest-request": {"MessageHeader": _ONE, "Patient": _ONE, "ServiceRequest": _ONE},
    "booking-request": {"MessageHeader": _ONE, "Patient": _ONE, "Appointment": _ONE},
}
_HEADER = "Bundle.entry[0].resource"


def parse_message(body: bytes) -> BarsMessage:
    """Return the message. Raises `Malformed`, and `Unprocessable` for an unsupported version of the standard."""
    bundle = _parse_bundle(body.removeprefix(b"\xef\xbb\xbf"))
    entries = tuple(_parse_entries(bundle.get("entry", [])))
    header, index = _find_header(entries), BundleIndex(entries, "")
    event = _read_event(header.resource)
    reason = _read_reason(header.resource)
    definition = _find_definition(header.resource, event, reason, _categories(entries))
    counts = _DELETION_COUNTS[event] if reason == "delete" and event in _DELETION_COUNTS else None
    _raise_issues(list(_count_issues(entries, counts or definition.counts_for(reason), definition.name)))
    return BarsMessage(
        message_id=bundle["id"],
        version=bundle["meta"]["versionId"],
        event=event,
        reason=reason,
        definition=definition,
        header=header,
        focus=_find_focus(header, event, index),
        entries=entries,
        responds_to=_read_responds_to(header.resource, event),
        index=index,
    )


def _parse_bundle(body: bytes) -> dict[str, Any]:
    if issues := validate(body):
        raise Malformed(issues[0].diagnostics, issues=issues)
    try:
        bundle: dict[str, Any] = msgspec.json.decode(body)
    except msgspec.ValidationError as error:
        text = "The message has a whole number that is too large: send at most 18 digits."
        raise Malformed(text, code="value", expression="Bundle") from error
    if bundle["resourceType"] != "Bundle" or bundle.get("type") != "message":
        text = "Bundle.type: send message. A Bundle for the record goes to POST /fhir."
        raise Malformed(text, code="value", expression="Bundle.type")
    _refuse_version(bundle.get("meta", {}))
    if MESSAGE_PROFILE not in bundle["meta"].get("profile", ()):
        raise Malformed(f"Bundle.meta.profile: send the profile {MESSAGE_PROFILE}.", expression="Bundle.meta.profile")
    if not is_fhir_id(bundle.get("id", "")):
        text = "Bundle.id: send a UUID. The response to the message names it."
        raise Malformed(text, code="value" if "id" in bundle else "required", expression="Bundle.id")
    return bundle


def _refuse_version(meta: Json) -> None:
    supported = ", ".join(sorted(bundle_versions()))
    if "versionId" not in meta:
        # The guide has 400 here, and 422 only for a version that is not supported.
        text = f"Bundle.meta.versionId: send the version of the standard: {supported}."
        raise Malformed(text, code="invariant", expression="Bundle.meta.versionId")
    if meta["versionId"] not in bundle_versions():
        text = f"Bundle.meta.versionId: this version of the standard is not supported. Send {supported}."
        raise Unprocessable(text, code="not-supported", expression="Bundle.meta.versionId")


def _parse_entries(entries: Sequence[Json]) -> Iterator[MessageEntry]:
    seen_urls: set[str] = set()
    for index, entry in enumerate(entries):
        path, full_url = f"Bundle.entry[{index}]", entry.get("fullUrl", "")
        if not full_url or full_url in seen_urls:
            text = "fullUrl: send one that no other entry has, such as urn:uuid:<UUID>. References use it."
            raise Malformed(text, code="invariant" if full_url else "required", expression=f"{path}.fullUrl")
        if not is_storable(full_url):
            text = "This fullUrl is too long: send at most 512 characters."
            raise Malformed(text, code="too-long", expression=f"{path}.fullUrl")
        seen_urls.add(full_url)
        resource = entry.get("resource")
        if not isinstance(resource, Mapping):
            raise Malformed("The entry has no resource: send it.", code="required", expression=f"{path}.resource")
        yield MessageEntry(index, full_url, resource["resourceType"], resource)


def _find_header(entries: Sequence[MessageEntry]) -> MessageEntry:
    if not entries or entries[0].resource_type != "MessageHeader":
        raise Malformed("A message begins with its MessageHeader.", code="invariant", expression=_HEADER)
    return entries[0]


def _read_event(header: Json) -> str:
    coding, path = header.get("eventCoding", {}), f"{_HEADER}.eventCoding"
    event: str = coding.get("code", "")
    if not is_bars_system(coding.get("system"), EVENT_SYSTEM):
        text = f"MessageHeader.eventCoding: send a code of https://fhir.nhs.uk/CodeSystem/{EVENT_SYSTEM}."
        raise Malformed(text, code="code-invalid", expression=f"{path}.system")
    if event == "booking-response":
        text = "MessageHeader.eventCoding: booking-response is not accepted. The HTTP response is the answer."
        raise Malformed(text, code="not-supported", expression=f"{path}.code")
    if event not in _FOCUS_TYPES:
        raise Malformed(
            f"MessageHeader.eventCoding: send one of {', '.join(_FOCUS_TYPES)}.",
            code="not-supported",
            expression=f"{path}.code",
        )
    return event


def _categories(entries: Sequence[MessageEntry]) -> list[str]:
    """The message categories of the ServiceRequests, such as `validation`."""
    requests = (entry.resource for entry in entries if entry.resource_type == "ServiceRequest")
    return [code for request in requests for code in codes_of_system(request.get("category"), CATEGORY_SYSTEM)]


def _find_definition(header: Json, event: str, reason: str, categories: Sequence[str]) -> BarsDefinition:
    path = f"{_HEADER}.definition"
    canonical = str(header.get("definition", ""))
    if not canonical and reason == "delete" and (of_deletion := deletion_definition(event)):
        return of_deletion
    if not canonical:
        raise Malformed(
            "MessageHeader.definition: send the URL of a MessageDefinition.", code="required", expression=path
        )
    definition = find_definition(canonical, categories)
    if definition is None:
        supported = ", ".join(sorted(definitions()))
        text = f"MessageHeader.definition: not supported. GET /MessageDefinition lists the supported ones: {supported}."
        raise Malformed(text, code="not-supported", expression=path)
    if definition.event != event:
        text = f"MessageHeader.definition belongs to {definition.event}: send the definition of the eventCoding."
        raise Malformed(text, code="invariant", expression=path)
    return definition


def _read_reason(header: Json) -> str:
    reasons = codes_of_system(header.get("reason"), REASON_SYSTEM)
    if len(reasons) != 1 or reasons[0] not in ("new", "update", "delete"):
        system = f"https://fhir.nhs.uk/CodeSystem/{REASON_SYSTEM}"
        text = f"MessageHeader.reason: send one code of {system}: new, update or delete."
        raise Malformed(text, code="code-invalid" if reasons else "required", expression=f"{_HEADER}.reason")
    return reasons[0]


def _count_issues(entries: Sequence[MessageEntry], counts: Mapping[str, Cardinality], name: str) -> Iterator[Issue]:
    """Yield an issue for each resource type that occurs too seldom or too often."""
    for kind, count in counts.items():
        of_type = [entry for entry in entries if entry.resource_type == kind]
        if len(of_type) < count.minimum:
            text = f"{name} needs at least {count.minimum} {kind}, and has {len(of_type)}: send what is missing."
            yield Issue("required", text, f"Bundle.entry.resource.ofType({kind})")
        elif count.maximum is not None and len(of_type) > count.maximum:
            text = f"{name} has at most {count.maximum} {kind}, and this is one more: send only what belongs to it."
            yield Issue("invariant", text, of_type[count.maximum].path)


def _find_focus(header: MessageEntry, event: str, index: BundleIndex[MessageEntry]) -> MessageEntry:
    path = f"{_HEADER}.focus"
    references = [reference.get("reference", "") for reference in header.resource.get("focus", ())]
    try:
        referenced = [index.find(reference, header) for reference in references]
    except Unprocessable as error:
        raise Malformed(error.issues[0].diagnostics, code=error.issues[0].code, expression=path) from error
    focuses = [entry for entry in referenced if entry and entry.resource_type in _FOCUS_TYPES[event]]
    if len(references) != 1 or len(focuses) != 1:
        text = f"The focus of {event} is one {' or '.join(_FOCUS_TYPES[event])} of the message, by its fullUrl."
        raise Malformed(text, code="required" if not references else "invariant", expression=path)
    return focuses[0]


def _read_responds_to(header: Json, event: str) -> str:
    response, path = header.get("response"), f"{_HEADER}.response"
    if not event.endswith("-response"):
        if response:
            raise Malformed("MessageHeader.response: leave it out of a request.", code="invariant", expression=path)
        return ""
    if not response:
        text = "MessageHeader.response: send response.identifier, the Bundle.id of the message that this responds to."
        raise Malformed(text, code="required", expression=path)
    if response["code"] != "ok":
        text = "MessageHeader.response.code: send ok. The ServiceRequest shows a refused or failed referral."
        raise Malformed(text, code="not-supported", expression=f"{path}.code")
    return str(response["identifier"])


def _raise_issues(issues: Sequence[Issue]) -> None:
    if issues:
        raise Malformed(issues[0].diagnostics, issues=issues[:MAX_ISSUES])

"""Parses a message, and adds the code system that the clinical status of an urgent one lacks. Pure.

FHIR R4 requires the system of `clinicalStatus` and `verificationStatus`. A request for an ambulance is not refused for
want of it: the codes of these elements have one system each. The sender gets a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from onestory.referral.bars.deletion import reduced_deletion
from onestory.referral.bars.meaning import request_priority
from onestory.referral.bars.message import BarsMessage
from onestory.referral.bars.parse import parse_message
from onestory.shared.errors import Issue

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_CLINICAL = frozenset({"active", "recurrence", "relapse", "inactive", "remission", "resolved"})
_VERIFICATION = frozenset({"unconfirmed", "provisional", "differential", "confirmed", "refuted", "entered-in-error"})
# The system and the codes of each element, by resource type.
_SYSTEMS: Mapping[tuple[str, str], tuple[str, frozenset[str]]] = {
    ("Condition", "clinicalStatus"): (f"{_TERMINOLOGY}condition-clinical", _CLINICAL),
    ("Condition", "verificationStatus"): (f"{_TERMINOLOGY}condition-ver-status", _VERIFICATION),
    ("AllergyIntolerance", "clinicalStatus"): (
        f"{_TERMINOLOGY}allergyintolerance-clinical",
        frozenset({"active", "inactive", "resolved"}),
    ),
    ("AllergyIntolerance", "verificationStatus"): (
        f"{_TERMINOLOGY}allergyintolerance-verification",
        frozenset({"unconfirmed", "confirmed", "refuted", "entered-in-error"}),
    ),
}
_MAYBE_DELETION = b'"delete"'
_ELEMENTS = (b'"clinicalStatus"', b'"verificationStatus"')
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def with_status_systems(body: bytes) -> tuple[bytes, list[Issue]]:
    """The message with the missing systems, and a warning for each element; the same bytes where none is missing.

    All other values keep their bytes. A body that is no Bundle comes back as it is: the parser says what is wrong.
    """
    if not any(name in body for name in _ELEMENTS):
        return body, []
    try:
        return _repaired(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError):
        return body, []


class ParsedMessage(NamedTuple):
    """A message, its bytes as they are processed, and the warnings that its sender gets."""

    message: BarsMessage
    body: bytes
    warnings: Sequence[Issue]


def parse_repaired(body: bytes) -> ParsedMessage:
    """The message in these bytes, with the missing systems of an urgent request. Raises what the parser raises.

    A deletion is reduced to what shows which message it takes back.
    """
    if _MAYBE_DELETION in body:
        message = parse_message(body)
        if message.reason == "delete":
            reduced = reduced_deletion(message)
            return ParsedMessage(parse_message(reduced), reduced, ())
    repaired, warnings = with_status_systems(body)
    if warnings:
        message = parse_message(repaired)
        if message.event == "servicerequest-request" and request_priority(message) == "stat":
            return ParsedMessage(message, repaired, warnings)
    return ParsedMessage(parse_message(body), body, ())


def _repaired(body: bytes) -> tuple[bytes, list[Issue]]:
    bundle = _OBJECT.decode(body)
    entries, warnings = _LIST.decode(bundle["entry"]) if "entry" in bundle else [], list[Issue]()
    for index, raw in enumerate(entries):
        if not any(name in bytes(raw) for name in _ELEMENTS):
            continue
        entry = _OBJECT.decode(raw)
        resource = _OBJECT.decode(entry["resource"])
        kind = str(msgspec.json.decode(resource["resourceType"]))
        for element in ("clinicalStatus", "verificationStatus"):
            known = _SYSTEMS.get((kind, element))
            if known is None or element not in resource:
                continue
            concept = msgspec.json.decode(resource[element])
            if _add_system(concept, *known):
                resource[element] = msgspec.Raw(msgspec.json.encode(concept))
                warnings.append(_warning(index, kind, element, known[0]))
        entry["resource"] = msgspec.Raw(msgspec.json.encode(resource))
        entries[index] = msgspec.Raw(msgspec.json.encode(entry))
    if not warnings:
        return body, []
    return msgspec.json.encode({**bundle, "entry": entries}), warnings


def _add_system(concept: Any, system: str, codes: frozenset[str]) -> bool:
    """Add the system to each coding that has a known code and no system; return whether one was added."""
    codings = concept.get("coding") if isinstance(concept, dict) else None
    added = False
    for coding in codings if isinstance(codings, list) else ():
        if isinstance(coding, dict) and not coding.get("system") and coding.get("code") in codes:
            coding["system"] = system
            added = True
    return added


def _warning(index: int, kind: str, element: str, system: str) -> Issue:
    text = f"{kind}.{element}: the coding has no system. It was taken as {system}. Send the system."
    return Issue("incomplete", text, f"Bundle.entry[{index}].resource.{element}.coding.system", "warning")

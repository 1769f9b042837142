"""Confidentiality labels of a statement, and the Patient without address and phone. Pure.

FHIR R4, http://hl7.org/fhir/R4/security-labels.html.
"""

from __future__ import annotations

from typing import Any

import msgspec

REDACTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "REDACTED"}
"""The label of a resource from which something was taken out."""
CONTACT_DETAILS = ("telecom", "address")
"""The elements that a label withholds, of the Patient and of each `contact`."""
_RESTRICTED_CODES = {"R", "V"}


class _SecurityLabel(msgspec.Struct):
    system: str = ""
    code: str = ""


class _Meta(msgspec.Struct):
    security: list[_SecurityLabel] = []


class _Labelled(msgspec.Struct):
    meta: _Meta = msgspec.field(default_factory=_Meta)


_DECODER = msgspec.json.Decoder(_Labelled)


def is_restricted(resource: bytes) -> bool:
    """Whether a resource has a security label restricted or very restricted, in any spelling of v3-Confidentiality.

    Also true for a resource that cannot be parsed, because it may have such a label.
    """
    if b"security" not in resource and b"\\u" not in resource:  # an escaped letter may be part of the name
        return False
    try:
        labels = _DECODER.decode(resource).meta.security
    except msgspec.DecodeError:
        return True
    return any(label.code in _RESTRICTED_CODES and _is_confidentiality_system(label.system) for label in labels)


def _is_confidentiality_system(system: str) -> bool:
    # Without a system, these codes are commonly meant as v3-Confidentiality.
    return not system or "confidentiality" in system.lower()


def without_contact_details(patient: bytes) -> bytes:
    """The Patient without address, phone and narrative, and without those of its contacts. All else keeps its bytes.

    The label REDACTED says so, if anything was taken out.
    """
    members: dict[str, Any] = msgspec.json.decode(patient, type=dict[str, msgspec.Raw])
    kept = without_contact_members({name: raw for name, raw in members.items() if name != "text"})
    if kept == members:
        return patient
    meta: dict[str, Any] = msgspec.json.decode(members.get("meta", b"{}"))
    kept["meta"] = {**meta, "security": [*meta.get("security", ()), REDACTED]}
    return msgspec.json.encode(kept)


def without_contact_members(members: dict[str, Any]) -> dict[str, Any]:
    """The raw members of a Patient without address and phone, and without those of its contacts."""
    kept = {name: raw for name, raw in members.items() if name.removeprefix("_") not in CONTACT_DETAILS}
    if "contact" in kept:
        contacts = msgspec.json.decode(kept["contact"], type=list[dict[str, msgspec.Raw]])
        shown = [without_contact_members(contact) for contact in contacts]
        if shown != contacts:
            kept["contact"] = msgspec.Raw(msgspec.json.encode([contact for contact in shown if contact]))
        if not any(shown):
            del kept["contact"]
    return kept

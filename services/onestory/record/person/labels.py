"""Confidentiality labels of a statement, and persons without address and phone. Pure.

FHIR R4, http://hl7.org/fhir/R4/security-labels.html.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

REDACTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "REDACTED"}
"""The label of a resource from which something was taken out."""
CONTACT_DETAILS = ("telecom", "address")
"""The elements that a label withholds, of a person and of each `contact`."""
PERSON_TYPES = ("Patient", "RelatedPerson", "Person")
"""The resource types whose contact details a label withholds."""
_RESTRICTED_CODES = {"R", "V"}
_OPEN_CODES = {"U", "L", "M", "N"}
_CONFIDENTIALITY_OID = "2.16.840.1.113883.5.25"

# The data types of an extension that hold an address or a phone.
_CONTACT_VALUES = {f"value{name}" for name in ("Address", "ContactPoint", "ContactDetail", "Contributor")}
_MASKED = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}


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
    codes = _confidentiality(resource)
    return codes is None or not _RESTRICTED_CODES.isdisjoint(codes)


def is_open(resource: bytes) -> bool:
    """Whether a resource has a label of v3-Confidentiality, and none that is restricted or very restricted."""
    codes = _confidentiality(resource)
    return bool(codes) and _OPEN_CODES.issuperset(codes or ())


def _confidentiality(resource: bytes) -> set[str] | None:
    """The codes of v3-Confidentiality in the labels, in upper case. None if the resource cannot be parsed."""
    if b"security" not in resource and b"\\u" not in resource:  # an escaped letter may be part of the name
        return set()
    try:
        labels = _DECODER.decode(resource).meta.security
    except msgspec.DecodeError:
        return None
    return {label.code.strip().upper() for label in labels if _is_confidentiality_system(label.system)}


def _is_confidentiality_system(system: str) -> bool:
    # Without a system, these codes are commonly meant as v3-Confidentiality.
    name = system.strip().lower()
    return not name or "confidentiality" in name or name.removeprefix("urn:oid:") == _CONFIDENTIALITY_OID


class PatientLabel(NamedTuple):
    """A Patient statement with its source and its time, to compare its label with others."""

    organisation: str
    recorded_at: datetime | None
    content: bytes


def lasting_labels(
    labelled: Iterable[PatientLabel], practice: str | None, patients: Iterable[PatientLabel]
) -> frozenset[str]:
    """The organisations of labels R or V that the registered practice has not taken off.

    It takes off earlier ones when it states a Patient with another label of v3-Confidentiality, such as N. A Patient
    without a label takes nothing off: its source may not know of the label.
    """
    times = [
        patient.recorded_at
        for patient in patients
        if patient.organisation == practice and patient.recorded_at and is_open(patient.content)
    ]
    return frozenset(
        label.organisation
        for label in labelled
        if not any(label.recorded_at is not None and label.recorded_at < time for time in times)
    )


def without_contact_details(person: bytes) -> bytes:
    """A Patient or RelatedPerson without address, phone and narrative. Other elements keep their bytes.

    Contacts, extensions and contained persons lose theirs too. If anything was taken out, the label REDACTED says so,
    and the version id is that of `redacted_version`.
    """
    members: dict[str, Any] = msgspec.json.decode(person, type=dict[str, msgspec.Raw])
    kept = without_contact_members({name: raw for name, raw in members.items() if name != "text"})
    if kept == members:
        return person
    meta: dict[str, Any] = msgspec.json.decode(members.get("meta", b"{}"))
    if "versionId" in meta:
        meta["versionId"] = redacted_version(meta["versionId"])
    kept["meta"] = {**meta, "security": [*meta.get("security", ()), REDACTED]}
    return msgspec.json.encode(kept)


_REDACTED_SUFFIX = "-r"


def redacted_version(version_id: object) -> str:
    """The version id of a version from which contact details were taken out. A cache must not take it for the whole."""
    return f"{version_id}{_REDACTED_SUFFIX}"


def stored_version(version_id: str) -> str:
    """The id of the stored version that a version id names, whether something was taken out or not."""
    return version_id.removesuffix(_REDACTED_SUFFIX)


# A decimal keeps its digits, because FHIR R4 counts its precision.
_VALUES: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=lambda digits: msgspec.Raw(digits.encode()))


def without_contact_members(members: dict[str, Any]) -> dict[str, Any]:
    """The raw members of a person without address and phone, and without those of its contacts."""
    kept = {}
    for name, raw in members.items():
        if _is_contact_detail(name):
            continue
        value = _VALUES.decode(raw)
        shown = _without_contact({name: value})
        if shown.get(name) == value:
            kept[name] = raw
        elif name in shown:
            kept[name] = msgspec.Raw(msgspec.json.encode(shown[name]))
    return kept


def _is_contact_detail(name: str) -> bool:
    return name.removeprefix("_") in CONTACT_DETAILS


def _without_contact(members: dict[str, Any]) -> dict[str, Any]:
    """The parsed members of an object. Extensions, contacts and contained persons in it lose their contact details."""
    kept = {}
    for name, value in members.items():
        shown = _without_contact_in(name, value)
        if shown not in ([], {}) or shown == value:
            kept[name] = shown
    return kept


def _without_contact_in(name: str, value: Any) -> Any:
    match value:
        case list():
            items = [_item_without_contact(name, item) for item in value]
            if name.startswith("_"):
                # The place in the list counts: it is that of the value without `_`.
                return [item or None for item in items] if any(items) else []
            return [item for item in items if item != {}]
        case dict():
            return _item_without_contact(name, value)
        case _:
            return value


def _item_without_contact(name: str, item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    if name == "extension" and _has_contact_value(item):
        return {}
    if name == "modifierExtension" and _has_contact_value(item):
        # A reader must not miss that there is a modifier.
        return {"url": item.get("url"), "extension": [_MASKED]}
    if name == "contact":
        item = {inner: value for inner, value in item.items() if not _is_contact_detail(inner)}
    if item.get("resourceType") in PERSON_TYPES:
        item = {inner: value for inner, value in item.items() if not (_is_contact_detail(inner) or inner == "text")}
    return _without_contact(item)


def _has_contact_value(value: Any) -> bool:
    match value:
        case list():
            return any(map(_has_contact_value, value))
        case dict():
            return any(
                name.removeprefix("_") in _CONTACT_VALUES or _has_contact_value(inner) for name, inner in value.items()
            )
        case _:
            return False

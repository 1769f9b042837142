"""Whether a source says of a person that few may see them (http://hl7.org/fhir/R4/security-labels.html)."""

from __future__ import annotations

import msgspec

_FEW = {"R", "V"}


class _Coding(msgspec.Struct):
    system: str = ""
    code: str = ""


class _Meta(msgspec.Struct):
    security: list[_Coding] = []


class _Patient(msgspec.Struct):
    meta: _Meta = msgspec.field(default_factory=_Meta)


_DECODER = msgspec.json.Decoder(_Patient)


def is_restricted(patient: bytes) -> bool:
    """Whether a Patient is labelled restricted or very restricted, in whatever spelling of v3-Confidentiality.

    One that cannot be read may be labelled so.
    """
    try:
        labels = _DECODER.decode(patient).meta.security
    except msgspec.DecodeError:
        return True
    return any(label.code in _FEW and _is_confidentiality(label.system) for label in labels)


def _is_confidentiality(system: str) -> bool:
    # Without a system it is one of the few words that everybody takes for it.
    return not system or "confidentiality" in system.lower()

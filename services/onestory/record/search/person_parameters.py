"""Parameters that name the person whose record is searched: by reference, by id or by identifier.

FHIR R4, http://hl7.org/fhir/R4/search.html#reference and #chaining: `patient=Patient/[id]`, `patient:identifier=` and
`patient.identifier=`. The person is named, never searched for, so other chains are not supported.
"""

from __future__ import annotations

from onestory.record.person.identifiers import PersonRef, ref_from_identifier, ref_from_patient_id, ref_from_reference
from onestory.shared.errors import Malformed
from onestory.shared.identity import Keys

_BY_REFERENCE = ("patient", "subject", "patient:Patient", "subject:Patient")
_BY_ID = ("patient._id", "subject._id")
_BY_IDENTIFIER = (
    "patient:identifier",
    "subject:identifier",
    *[f"{name}.identifier" for name in _BY_REFERENCE],
)
PERSON_PARAMETERS = (*_BY_REFERENCE, *_BY_ID, *_BY_IDENTIFIER)
"""Names of the parameters that name the person."""
PERSON_HINT = (
    "Send patient=<NHS number>, patient=Patient/<id>, or patient.identifier=<system>|<value>, such as "
    "patient=9990000018."
)


def person_ref(name: str, value: str, keys: Keys, fhir: str) -> PersonRef | None:
    """The person that this parameter names; None for a parameter that names none. Raises `Malformed`.

    `fhir` is the FHIR base URL.
    """
    if name in _BY_REFERENCE:
        return ref_from_reference(value, keys, fhir)
    if name in _BY_IDENTIFIER:
        return ref_from_identifier(value, keys)
    return _ref_from_id(name, value, keys) if name in _BY_ID else None


def _ref_from_id(name: str, value: str, keys: Keys) -> PersonRef:
    ref = ref_from_patient_id(value, keys)
    if ref is None:
        raise Malformed(f"{name}: it is not the id of a Patient here. {PERSON_HINT}", code="value")
    return ref

"""Who a statement is about, and the names that follow from it: person keys and shared ids (design section 4)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import NamedTuple

from nhs_number.validate import is_valid

NHS_NUMBER_SYSTEM = "https://fhir.nhs.uk/Id/nhs-number"
ODS_CODE_SYSTEM = "https://fhir.nhs.uk/Id/ods-organization-code"
DOS_SERVICE_SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id"
SDS_USER_SYSTEM = "https://fhir.nhs.uk/Id/sds-user-id"
# Files that the NHS has published spell both in more than one way.
_NHS_NUMBER_SYSTEMS = re.compile(r"https?://fhir\.nhs\.(?:uk|net)/id/nhs-number", re.I)
_ODS_CODE_SYSTEMS = re.compile(r"https?://fhir\.nhs\.(?:uk|net)/id/ods-organization-code", re.I)
_DOS_SERVICE_SYSTEMS = re.compile(r"https?://fhir\.nhs\.(?:uk|net)/id/dos-service-id", re.I)
_SDS_USER_SYSTEMS = re.compile(r"https?://fhir\.nhs\.(?:uk|net)/id/sds-user-id", re.I)
PROVISIONAL_SYSTEM = "https://onestory.nhs.uk/Id/provisional-person"

_KEY_LENGTH = 26
_LONGEST_NAME = 512
_HASH = re.compile(rf"[a-z2-7]{{{_KEY_LENGTH}}}")
_SHARED_ID = re.compile(rf"(?P<person>[a-z2-7]{{{_KEY_LENGTH}}})-(?P<resource>[a-z2-7]{{{_KEY_LENGTH}}})")


class PersonIdentifier(NamedTuple):
    """An NHS number, or the provisional identity that one source gives a person until it knows the number."""

    system: str
    value: str

    @property
    def is_nhs_number(self) -> bool:
        return self.system == NHS_NUMBER_SYSTEM


class SharedId(NamedTuple):
    """A shared id taken apart: the person it leads to, and the hash of (organisation, system, type, local id)."""

    person_key: str
    resource_hash: str


@dataclass(frozen=True, slots=True)
class Keys:
    """Makes person keys and shared ids with a deployment's secret.

    Everything is an HMAC-SHA-256 cut to 128 bits in lower-case base32 without padding (26 characters), so that neither
    a key nor a shared id can be turned back into an NHS number by trying all of them.
    """

    secret: bytes

    def person_key(self, person: PersonIdentifier) -> str:
        return self._digest("person", person.system, person.value)

    def resource_hash(self, organisation: str, system: str, resource_type: str, local_id: str) -> str:
        return self._digest("resource", organisation, system, resource_type, local_id)

    def shared_id(self, person_key: str, organisation: str, system: str, resource_type: str, local_id: str) -> str:
        """`<person key>-<resource hash>`, 53 characters (FHIR allows 64)."""
        return f"{person_key}-{self.resource_hash(organisation, system, resource_type, local_id)}"

    def _digest(self, *parts: str) -> str:
        # NUL cannot occur in FHIR strings, so no two lists of parts give the same message.
        message = "\0".join(parts).encode()
        digest = hmac.digest(self.secret, message, hashlib.sha256)[:16]
        return base64.b32encode(digest).decode().rstrip("=").lower()


def provisional(organisation: str, system: str, local_patient_id: str) -> PersonIdentifier:
    """The identity of a person whose NHS number this source does not know yet."""
    return PersonIdentifier(PROVISIONAL_SYSTEM, f"{organisation}|{system}|{local_patient_id}")


def parse_shared_id(value: str) -> SharedId | None:
    """The parts of an id about a person in our own form, else None."""
    match = _SHARED_ID.fullmatch(value)
    return SharedId(match["person"], match["resource"]) if match else None


def is_directory_id(value: str) -> bool:
    """Whether this is the shared id of a directory resource: the resource hash alone, for it is about no person."""
    return _HASH.fullmatch(value) is not None


def is_person_key(value: str) -> bool:
    """Whether this has the form of a person key."""
    return _HASH.fullmatch(value) is not None


def is_keepable(name: str) -> bool:
    """Whether a name, such as a local id, can be kept and indexed: at most 512 bytes of UTF-8, without NUL."""
    return len(name.encode(errors="surrogatepass")) <= _LONGEST_NAME and "\0" not in name


def is_nhs_number_system(system: object) -> bool:
    """Whether this is the system of NHS numbers, in any spelling that the NHS itself has published."""
    return system == NHS_NUMBER_SYSTEM or (isinstance(system, str) and bool(_NHS_NUMBER_SYSTEMS.fullmatch(system)))


def is_ods_code_system(system: object) -> bool:
    """Whether this is the system of ODS codes, in any spelling that the NHS itself has published."""
    return system == ODS_CODE_SYSTEM or (isinstance(system, str) and bool(_ODS_CODE_SYSTEMS.fullmatch(system)))


def is_dos_service_system(system: object) -> bool:
    """Whether this is the system of service ids of the Directory of Services, in any spelling of the NHS's own."""
    return isinstance(system, str) and bool(_DOS_SERVICE_SYSTEMS.fullmatch(system))


def is_sds_user_system(system: object) -> bool:
    """Whether this is the system of user ids of the Spine Directory Service, in any spelling of the NHS's own."""
    return isinstance(system, str) and bool(_SDS_USER_SYSTEMS.fullmatch(system))


def is_nhs_number(value: str) -> bool:
    """Ten digits with a right modulus 11 check digit (NHS Data Dictionary, NHS NUMBER)."""
    return len(value) == 10 and value.isascii() and value.isdigit() and bool(is_valid(value))

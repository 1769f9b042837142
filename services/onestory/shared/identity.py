"""Identifiers: NHS numbers, provisional identities, person keys and shared ids (design section 4).

A person key is the Kafka key of a person's events. A shared id begins with it, and a directory id has no person key.
"""

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
# NHS publications spell these systems in more than one way.
_NHS_NUMBER_SYSTEMS = re.compile(r"https?://fhir\.nhs\.(?:uk|net)/id/nhs-number", re.I)
_ODS_CODE_SYSTEMS = re.compile(r"https?://fhir\.nhs\.(?:uk|net)/id/ods-organization-code", re.I)
_DOS_SERVICE_SYSTEMS = re.compile(r"https?://fhir\.nhs\.(?:uk|net)/id/dos-service-id", re.I)
_SDS_USER_SYSTEMS = re.compile(r"https?://fhir\.nhs\.(?:uk|net)/id/sds-user-id", re.I)
PROVISIONAL_SYSTEM = "https://onestory.nhs.uk/Id/provisional-person"

_KEY_LENGTH = 26
_MAX_NAME_BYTES = 512
_HASH = re.compile(rf"[a-z2-7]{{{_KEY_LENGTH}}}")
_SHARED_ID = re.compile(rf"(?P<person>[a-z2-7]{{{_KEY_LENGTH}}})-(?P<resource>[a-z2-7]{{{_KEY_LENGTH}}})")


class PersonIdentifier(NamedTuple):
    """An NHS number, or the provisional identity of a person whose number the source does not know yet."""

    system: str
    value: str

    @property
    def is_nhs_number(self) -> bool:
        """Return whether this is an NHS number, not a provisional identity."""
        return self.system == NHS_NUMBER_SYSTEM


class SharedId(NamedTuple):
    """The two parts of a shared id. `resource_hash` is the hash of (organisation, system, type, local id)."""

    person_key: str
    resource_hash: str


@dataclass(frozen=True, slots=True)
class Keys:
    """Computes person keys and shared ids with the secret of a deployment.

    Each hash is HMAC-SHA-256, cut to 128 bits, in lower-case base32 without padding: 26 characters. Without the secret
    no one can find the NHS number by hashing all possible numbers.
    """

    secret: bytes

    def person_key(self, person: PersonIdentifier) -> str:
        """Return the 26 characters that stand for a person."""
        return self._hash("person", person.system, person.value)

    def resource_hash(self, organisation: str, system: str, resource_type: str, local_id: str) -> str:
        """Return the 26 characters that stand for a resource of one source."""
        return self._hash("resource", organisation, system, resource_type, local_id)

    def shared_id(self, person_key: str, organisation: str, system: str, resource_type: str, local_id: str) -> str:
        """Return `<person key>-<resource hash>`: 53 characters (FHIR allows 64)."""
        return f"{person_key}-{self.resource_hash(organisation, system, resource_type, local_id)}"

    def _hash(self, *parts: str) -> str:
        # FHIR strings cannot contain NUL, so two different lists of parts never give the same message.
        message = "\0".join(parts).encode()
        digest = hmac.digest(self.secret, message, hashlib.sha256)[:16]
        return base64.b32encode(digest).decode().rstrip("=").lower()


def provisional_identity(organisation: str, system: str, local_patient_id: str) -> PersonIdentifier:
    """Return the identity of a person whose NHS number this source does not know yet."""
    return PersonIdentifier(PROVISIONAL_SYSTEM, f"{organisation}|{system}|{local_patient_id}")


def parse_shared_id(value: str) -> SharedId | None:
    """Return the parts of a shared id about a person, or None for any other text."""
    match = _SHARED_ID.fullmatch(value)
    return SharedId(match["person"], match["resource"]) if match else None


def person_key_of(shared_id: str) -> str:
    """Return the person key with which the shared id of a resource about a person begins."""
    return shared_id[:_KEY_LENGTH]


def is_directory_id(value: str) -> bool:
    """Return whether this has the form of a directory resource's shared id: a resource hash without a person key."""
    return _HASH.fullmatch(value) is not None


def is_person_key(value: str) -> bool:
    """Return whether this has the form of a person key."""
    return _HASH.fullmatch(value) is not None


def is_storable(name: str) -> bool:
    """Return whether PostgreSQL can store and index this text: at most 512 bytes of UTF-8, without NUL."""
    return len(name.encode(errors="surrogatepass")) <= _MAX_NAME_BYTES and "\0" not in name


def is_former_use(use: object) -> bool:
    """Return whether an Identifier with this `use` no longer names its holder, or did so only for a while.

    Another person may have the value now, so it decides nobody (http://hl7.org/fhir/R4/valueset-identifier-use.html).
    """
    return use in ("old", "temp")


def is_nhs_number_system(system: object) -> bool:
    """Return whether this is the system of NHS numbers, in any spelling that the NHS has published."""
    return system == NHS_NUMBER_SYSTEM or (isinstance(system, str) and bool(_NHS_NUMBER_SYSTEMS.fullmatch(system)))


def is_ods_code_system(system: object) -> bool:
    """Return whether this is the system of ODS codes, in any spelling that the NHS has published."""
    return system == ODS_CODE_SYSTEM or (isinstance(system, str) and bool(_ODS_CODE_SYSTEMS.fullmatch(system)))


def is_dos_service_system(system: object) -> bool:
    """Return whether this is the system of Directory of Services ids, in any spelling that the NHS has published."""
    return isinstance(system, str) and bool(_DOS_SERVICE_SYSTEMS.fullmatch(system))


def is_sds_user_system(system: object) -> bool:
    """Return whether this is the system of Spine user ids (SDS), in any spelling that the NHS has published."""
    return isinstance(system, str) and bool(_SDS_USER_SYSTEMS.fullmatch(system))


def is_nhs_number(value: str) -> bool:
    """Return whether this is ten digits with a correct modulus 11 check digit (NHS Data Dictionary, NHS NUMBER)."""
    return len(value) == 10 and value.isascii() and value.isdigit() and bool(is_valid(value))

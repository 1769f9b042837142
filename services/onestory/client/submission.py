"""What one piece of FHIR JSON asks of the door: the request that carries it, and whom it speaks for.

Only the outermost fields are read; whether it is good FHIR is decided at the door, once.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import quote

import msgspec
import orjson

from onestory.shared.errors import Malformed, TooLarge

MAX_BYTES = 10_000_000
"""The largest body that the door takes, after decompression."""

ORGANISATION_TAG = "https://fhir.nhs.uk/Id/ods-organization-code"
SYSTEM_TAG = "https://onestory.nhs.uk/CodeSystem/source-system"

_RESOURCE_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_PERSON = re.compile(rb'nhs-number"\s*,\s*"value"\s*:\s*"(\d{10})"|"Patient/(\d{10})"')


@dataclass(frozen=True, slots=True)
class Submission:
    """One request: `method` and `path` (below the base URL), and what the content says of itself."""

    method: str
    path: str
    resources: int
    """Entries of a Bundle; 1 for another resource."""
    organisation: str
    """ODS code in `meta.tag`, or empty."""
    system: str
    """Name of the source system in `meta.tag`, or empty."""
    person: str
    """The first NHS number found, or empty. Only for keeping one person's items in order: never shown or stored."""


class _Outline(msgspec.Struct, rename="camel"):
    """A resource's outermost fields, of any type: what is wrong with them is for the door to say."""

    resource_type: object = None
    id: object = None
    meta: object = None
    entry: msgspec.Raw = msgspec.Raw(b"[]")


def read(content: bytes) -> Submission:
    """The request for `content`. Raises `TooLarge`, or `Malformed` with line and column, when it cannot be one."""
    if len(content) > MAX_BYTES:
        raise TooLarge(f"The item is larger than {MAX_BYTES // 1_000_000} MB: split it.")
    outline = _outline(content)
    kind = outline.resource_type
    if not isinstance(kind, str) or not _RESOURCE_TYPE.fullmatch(kind):
        raise Malformed("The item is no FHIR resource: resourceType is missing or not a name.", code="required")
    tags = _tags(outline.meta)
    bundle = kind == "Bundle"
    if kind == "ServiceRequest" and not outline.id:
        # By itself it would be sent as a referral, and a file is kept of what was.
        raise Malformed(
            "A ServiceRequest is published in a Bundle: posted by itself it is a referral.", code="business-rule"
        )
    local_id = outline.id if isinstance(outline.id, str) and outline.id else None
    path = "/fhir" if bundle else f"/fhir/{kind}" + (f"/{quote(local_id, safe='')}" if local_id else "")
    return Submission(
        method="PUT" if local_id and not bundle else "POST",
        path=path,
        resources=_length(outline.entry) if bundle else 1,
        organisation=tags.get(ORGANISATION_TAG, ""),
        system=tags.get(SYSTEM_TAG, ""),
        person=_person(content),
    )


def content_key(organisation: str, system: str, content: bytes) -> str:
    """An idempotency key that is the same whenever the same source says the same bytes."""
    digest = hashlib.sha256()
    for part in (organisation.encode(), system.encode(), content):
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()[:32]


def _outline(content: bytes) -> _Outline:
    try:
        return msgspec.json.decode(content, type=_Outline)
    except msgspec.ValidationError as error:
        raise Malformed("The item is no FHIR resource: it is not a JSON object.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"The item is not JSON{_whereabouts(content)}.") from error


def _whereabouts(content: bytes) -> str:
    """Line and column of the fault. Its own words are left out: they could quote the resource."""
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return f": line {error.lineno}, column {error.colno}"
    return ""


def _tags(meta: object) -> dict[str, str]:
    tags = meta.get("tag") if isinstance(meta, dict) else None
    found = {}
    for tag in tags if isinstance(tags, list) else []:
        if isinstance(tag, dict) and isinstance(tag.get("system"), str) and isinstance(tag.get("code"), str):
            found[tag["system"]] = tag["code"]
    return found


def _length(entries: msgspec.Raw) -> int:
    try:
        return len(msgspec.json.decode(entries, type=list[msgspec.Raw]))
    except msgspec.DecodeError:
        return 0


def _person(content: bytes) -> str:
    match = _PERSON.search(content)
    return (match[1] or match[2]).decode() if match else ""

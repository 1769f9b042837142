"""The summary of a person: an IPS 2.0 document, made of what a reader may know at a moment.

http://hl7.org/fhir/uv/ips/STU2/. Resources are carried as they are stored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec
import orjson

from onestory.record.domain.summary.known import Known, Summary
from onestory.record.domain.summary.section import Section, as_fhir, div
from onestory.shared.fhir.instants import format_instant

_PROFILE = "http://hl7.org/fhir/uv/ips/StructureDefinition/"
_AUTHOR = f"urn:uuid:{uuid5(NAMESPACE_URL, 'https://onestory.nhs.uk')}"
_ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
# What `served` puts at the beginning of a resource: when and by which event we heard it, which is none of its content.
_HEARD = re.compile(rb'("meta":\{)"versionId":"[^"]*","lastUpdated":"[^"]*",?')


def summarise(known: Known, at: datetime) -> Summary:
    """What is known of the person at a moment; the same for the same, in whatever order it is known."""
    patient = msgspec.json.decode(known.patient, type=dict[str, msgspec.Raw])
    number = msgspec.json.decode(patient["id"], type=str)
    sections: Sequence[Section] = (
        Section("48765-2", "Allergies and intolerances", "<p>Unavailable.</p>", empty="unavailable"),
        Section("10160-0", "Medicines", "<p>Unavailable.</p>", empty="unavailable"),
        Section("11450-4", "Problems", "<p>Unavailable.</p>", empty="unavailable"),
    )
    carried: Mapping[str, bytes] = {}
    digest = _digest(known.patient, sections, carried)
    subject = f"{known.base}/Patient/{number}"
    addresses: dict[str, str] = {}
    resources = [
        (f"urn:uuid:{uuid5(NAMESPACE_URL, digest)}", _composition(subject, sections, addresses, at)),
        (subject, msgspec.json.encode(_as_ips(patient))),
        (_AUTHOR, _author()),
        *[(addresses[shared_id], content) for shared_id, content in carried.items()],
    ]
    return Summary(_bundle(digest, at, resources), digest, known.known_until)


def _as_ips(patient: dict[str, msgspec.Raw]) -> dict[str, Any]:
    """The Patient with what IPS requires and nobody has said, marked as unknown."""
    shown: dict[str, Any] = dict(patient)
    if "birthDate" not in patient:
        shown.setdefault("_birthDate", {"extension": [_ABSENT]})
    if "name" not in patient:
        shown["name"] = [{"text": "Name not known"}]
    return shown


def _composition(subject: str, sections: Sequence[Section], addresses: dict[str, str], at: datetime) -> bytes:
    return orjson.dumps(
        {
            "resourceType": "Composition",
            "meta": {"profile": [f"{_PROFILE}Composition-uv-ips"]},
            "text": {"status": "generated", "div": div(f"<p>Patient summary of {format_instant(at)}</p>")},
            "status": "final",
            "type": {"coding": [{"system": "http://loinc.org", "code": "60591-5"}]},
            "subject": {"reference": subject},
            "date": format_instant(at),
            "author": [{"reference": _AUTHOR}],
            "title": "Patient summary",
            "section": [as_fhir(section, addresses) for section in sections],
        }
    )


def _author() -> bytes:
    name = {"name": "OneStory", "type": "user-friendly-name"}
    return orjson.dumps({"resourceType": "Device", "deviceName": [name], "type": {"text": "Shared care record"}})


def _bundle(digest: str, at: datetime, resources: Sequence[tuple[str, bytes]]) -> bytes:
    moment = format_instant(at)
    head = {
        "resourceType": "Bundle",
        "meta": {"profile": [f"{_PROFILE}Bundle-uv-ips"]},
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{uuid5(NAMESPACE_URL, digest + moment)}"},
        "type": "document",
        "timestamp": moment,
    }
    entries = b",".join(b'{"fullUrl":%b,"resource":%b}' % (orjson.dumps(url), content) for url, content in resources)
    return b'%b,"entry":[%b]}' % (orjson.dumps(head)[:-1], entries)


def _digest(patient: bytes, sections: Sequence[Section], carried: Mapping[str, bytes]) -> str:
    said = [
        *[orjson.dumps([each.code, each.title, each.body, each.entries, each.empty]) for each in sections],
        *[_HEARD.sub(rb"\1", content, count=1) for content in (patient, *carried.values())],
    ]
    digest = hashlib.sha256()
    for part in said:
        digest.update(b"%d:%b" % (len(part), part))
    return digest.hexdigest()

"""The summary of a person: an IPS 2.0 document, made of what a reader may know at a moment.

http://hl7.org/fhir/uv/ips/STU2/. Resources are carried as they are stored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec
import orjson

from onestory.record.domain.summary.carried import carried
from onestory.record.domain.summary.known import Known, Summary
from onestory.record.domain.summary.moments import NEVER, clock
from onestory.record.domain.summary.order import SECTIONS
from onestory.record.domain.summary.record import Record, ended
from onestory.record.domain.summary.section import Section, as_fhir, div
from onestory.shared.fhir.instants import format_instant

_PROFILE = "http://hl7.org/fhir/uv/ips/StructureDefinition/"
_AUTHOR = f"urn:uuid:{uuid5(NAMESPACE_URL, 'https://onestory.nhs.uk')}"
_ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
# What `served` puts at the beginning of a resource: when and by which event we heard it, which is none of its content.
_HEARD = re.compile(rb'("meta":\{)"versionId":"[^"]*"(?:,"lastUpdated":"[^"]*")?,?')


def summarise(known: Known, at: datetime) -> Summary:
    """What is known of the person at a moment; the same for the same, in whatever order it is known."""
    record = Record(known, at)
    sections = [section for make in SECTIONS if (section := make(record))]
    resources = carried(record, (shared_id for section in sections for shared_id, _ in section.entries))
    addresses = {shared_id: f"{known.base}/{kind}/{shared_id}" for shared_id, (kind, _) in resources.items()}
    patient = msgspec.json.decode(known.patient, type=dict[str, msgspec.Raw])
    subject = f"{known.base}/Patient/{msgspec.json.decode(patient['id'], type=str)}"
    digest = _digest(sections, [known.patient, *[content for _, content in resources.values()]])
    entries = [
        (f"urn:uuid:{uuid5(NAMESPACE_URL, digest)}", _composition(subject, sections, addresses, at)),
        (subject, msgspec.json.encode(_as_ips(patient))),
        (_AUTHOR, _author()),
        *[(addresses[shared_id], content) for shared_id, (_, content) in resources.items()],
    ]
    return Summary(_bundle(digest, at, entries), digest, _valid_until(known, sections, at))


def _valid_until(known: Known, sections: Iterable[Section], at: datetime) -> datetime | None:
    former = [ended(each.former_until) for each in known.freshness if each.former_until]
    changes = [known.known_until or NEVER, *former, *[section.until for section in sections]]
    return min((change for change in changes if at < change < NEVER), default=None)


def _as_ips(patient: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """The Patient with what IPS requires and nobody has said, marked as unknown."""
    shown: dict[str, Any] = dict(patient)
    if "birthDate" not in patient:
        shown.setdefault("_birthDate", {"extension": [_ABSENT]})
    if not _has_name(patient.get("name")):
        shown["name"] = [{"text": "Name not known"}]
    return shown


def _has_name(names: msgspec.Raw | None) -> bool:
    found = msgspec.json.decode(names) if names else []
    return bool(found) and all(isinstance(name, dict) and name.keys() & {"family", "given", "text"} for name in found)


def _composition(subject: str, sections: Sequence[Section], addresses: Mapping[str, str], at: datetime) -> bytes:
    return orjson.dumps(
        {
            "resourceType": "Composition",
            "meta": {"profile": [f"{_PROFILE}Composition-uv-ips"]},
            "text": {"status": "generated", "div": div(f"<p>As of {clock(at)}</p>")},
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


def _bundle(digest: str, at: datetime, entries: Iterable[tuple[str, bytes]]) -> bytes:
    moment = format_instant(at)
    head = {
        "resourceType": "Bundle",
        "meta": {"profile": [f"{_PROFILE}Bundle-uv-ips"]},
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{uuid5(NAMESPACE_URL, digest + moment)}"},
        "type": "document",
        "timestamp": moment,
    }
    written = b",".join(b'{"fullUrl":%b,"resource":%b}' % (orjson.dumps(url), content) for url, content in entries)
    return b'%b,"entry":[%b]}' % (orjson.dumps(head)[:-1], written)


def _digest(sections: Iterable[Section], contents: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for section in sections:
        body = section.body if section.timeless is None else section.timeless
        digest.update(orjson.dumps([section.code, section.title, body, section.entries, section.empty]))
    for content in contents:
        part = _HEARD.sub(rb"\1", content, count=1)
        digest.update(b"%d:%b" % (len(part), part))
    return digest.hexdigest()

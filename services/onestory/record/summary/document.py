"""The summary of a person: an IPS 2.0 document, made of what a reader may know at a moment.

http://hl7.org/fhir/uv/ips/STU2/. Resources are carried as they are stored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

import orjson

from onestory.record.summary import person
from onestory.record.summary.model import MergedRecord, Summary, SummaryInput, ended
from onestory.record.summary.moments import NEVER, clock
from onestory.record.summary.narrative import paragraph
from onestory.record.summary.section import Section, as_fhir, div
from onestory.record.summary.sections.about_me import about_me, alerts
from onestory.record.summary.sections.allergies import allergies
from onestory.record.summary.sections.medicines import medicines
from onestory.record.summary.sections.notices import also_held, notices, sources_heard
from onestory.record.summary.sections.plans import plan_of_care, plans
from onestory.record.summary.sections.problems import past_illness, problems
from onestory.record.summary.sections.procedures import assessments, devices, immunisations, procedures
from onestory.record.summary.sections.results import pregnancy, results, social_history, vital_signs
from onestory.shared.fhir.dates import format_instant

# Which resources a document carries: what its sections refer to, and what these refer to in turn.

# A quote inside a JSON string is escaped, so text that looks like a reference does not match.
_REFERENCE = re.compile(rb'"reference"\s*:\s*"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]+)"')
_ALONG = frozenset(
    [
        "BodyStructure",
        "Device",
        "Location",
        "Medication",
        "Organization",
        "Practitioner",
        "PractitionerRole",
        "RelatedPerson",
        "Specimen",
    ]
)
"""What a reader needs to read the rest; anything clinical is in a section, or is left out on purpose."""


def carried(record: MergedRecord, listed: Iterable[str]) -> dict[str, tuple[str, bytes]]:
    """Type and bytes by shared id, what is listed first; cycles end where they began."""
    found: dict[str, tuple[str, bytes]] = {}
    ahead = list(dict.fromkeys(listed))
    while ahead:
        further: list[str] = []
        for shared_id in ahead:
            said, content = record.said(shared_id), record.known.contents.get(shared_id)
            if said is None or content is None or shared_id in found:
                continue
            found[shared_id] = (said.resource_type, content)
            named = _REFERENCE.findall(content)
            further += sorted({target.decode() for kind, target in named if kind.decode() in _ALONG})
        ahead = further
    return found


# The sections of a summary in the order in which they are read: the person's own words and alerts come first.

SECTIONS: tuple[Callable[[MergedRecord], Section | None], ...] = (
    notices,
    about_me,
    alerts,
    plans,
    allergies,
    medicines,
    problems,
    plan_of_care,
    results,
    vital_signs,
    immunisations,
    procedures,
    devices,
    pregnancy,
    social_history,
    assessments,
    past_illness,
    also_held,
    sources_heard,
)

_PROFILE = "http://hl7.org/fhir/uv/ips/StructureDefinition/"
_AUTHOR = f"urn:uuid:{uuid5(NAMESPACE_URL, 'https://onestory.nhs.uk')}"
# What `served` puts at the beginning of a resource: when and by which event we heard it, which is none of its content.
_HEARD = re.compile(rb'("meta":\{)"versionId":"[^"]*"(?:,"lastUpdated":"[^"]*")?,?')


def summarise(known: SummaryInput, at: datetime) -> Summary:
    """What is known of the person at a moment; the same for the same, in whatever order it is known."""
    record = MergedRecord(known, at)
    sections = [section for make in SECTIONS if (section := make(record))]
    resources = carried(record, (shared_id for section in sections for shared_id, _ in section.entries))
    addresses = {shared_id: f"{known.base}/{kind}/{shared_id}" for shared_id, (kind, _) in resources.items()}
    subject = f"{known.base}/Patient/{record.patient.get('id', 'unknown')}"
    parts = _parts(known.patient, sections, resources)
    digest = _digest(f"{code}={part}".encode() for code, part in parts.items())
    entries = [
        (f"urn:uuid:{uuid5(NAMESPACE_URL, digest)}", _composition(record, subject, sections, addresses)),
        (subject, person.as_ips(known.patient)),
        (_AUTHOR, _author()),
        *[(addresses[shared_id], content) for shared_id, (_, content) in resources.items()],
    ]
    return Summary(_bundle(digest, at, entries), digest, parts, _valid_until(known, sections, at))


def _valid_until(known: SummaryInput, sections: Iterable[Section], at: datetime) -> datetime | None:
    former = [ended(each.former_until) for each in known.freshness if each.former_until]
    # A source may go stale at the very moment that was asked for.
    stale = max(known.known_until, at + timedelta.resolution) if known.known_until else NEVER
    changes = [stale, *former, *[section.until for section in sections]]
    return min((change for change in changes if at < change < NEVER), default=None)


def _composition(
    record: MergedRecord, subject: str, sections: Sequence[Section], addresses: Mapping[str, str]
) -> bytes:
    whose = person.in_words(record.patient) + paragraph(f"As of {clock(record.at)}")
    return orjson.dumps(
        {
            "resourceType": "Composition",
            "meta": {"profile": [f"{_PROFILE}Composition-uv-ips"]},
            "text": {"status": "generated", "div": div(whose)},
            "status": "final",
            "type": {"coding": [{"system": "http://loinc.org", "code": "60591-5"}]},
            "subject": {"reference": subject},
            "date": format_instant(record.at),
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


def _parts(
    patient: bytes, sections: Iterable[Section], resources: Mapping[str, tuple[str, bytes]]
) -> Mapping[str, str]:
    parts, listed = {"patient": _digest([_unheard(patient)])}, set()
    for section in sections:
        body = section.body if section.timeless is None else section.timeless
        entries = [shared_id for shared_id, _ in section.entries if shared_id in resources]
        listed.update(entries)
        said = orjson.dumps([section.code, section.title, body, section.entries, section.empty])
        parts[section.code] = _digest([said, *[_unheard(resources[shared_id][1]) for shared_id in entries]])
    rest = [_unheard(content) for shared_id, (_, content) in resources.items() if shared_id not in listed]
    return {**parts, "refer": _digest(rest)}


def _unheard(content: bytes) -> bytes:
    return _HEARD.sub(rb"\1", content, count=1)


def _digest(contents: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in contents:
        digest.update(b"%d:%b" % (len(part), part))
    return digest.hexdigest()

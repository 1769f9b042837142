"""Builds the summary of a person: an IPS 2.0 document of the record that the caller sees, as it is at a moment.

http://hl7.org/fhir/uv/ips/STU2/. Resources are included as they are stored, without
references that lead nowhere and numbers that open doors.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

import orjson

from onestory.record.summary import person
from onestory.record.summary.confidentiality import hide_access_codes, hide_in_resource, hide_in_resources
from onestory.record.summary.dates import clock
from onestory.record.summary.header import header, next_birthday
from onestory.record.summary.model import Summary, SummaryInput, SummaryRecord, end_of_day
from onestory.record.summary.narrative import paragraph, strong, text
from onestory.record.summary.person_copy import left_out_remark
from onestory.record.summary.references import IncludedResources
from onestory.record.summary.section import Section, div, section_json, with_placed_entries
from onestory.record.summary.sections.about_me import about_me, alerts
from onestory.record.summary.sections.allergies import allergies
from onestory.record.summary.sections.appointments import appointments
from onestory.record.summary.sections.care_plans import plan_of_care
from onestory.record.summary.sections.contacts import contacts
from onestory.record.summary.sections.documents import documents
from onestory.record.summary.sections.family_history import family_history
from onestory.record.summary.sections.medicines import medicines
from onestory.record.summary.sections.notices import also_held, notices, source_freshness
from onestory.record.summary.sections.plans import plans
from onestory.record.summary.sections.problems import past_illness, problems
from onestory.record.summary.sections.procedures import assessments, devices, immunisations, procedures
from onestory.record.summary.sections.results import pregnancy, results, social_history, vital_signs
from onestory.record.summary.sections.stay import stay, stay_words
from onestory.shared.fhir.dates import NEVER, format_instant

_PROFILE = "http://hl7.org/fhir/uv/ips/StructureDefinition/"
BUNDLE_PROFILE = f"{_PROFILE}Bundle-uv-ips"
"""The profile of the document."""
_AUTHOR = f"urn:uuid:{uuid5(NAMESPACE_URL, 'https://onestory.nhs.uk')}"
# The `meta` that a resource is served with: event id and time received. No digest covers it, as it is no content.
_RECEIVED_META = re.compile(rb'("meta":\{)"versionId":"[^"]*"(?:,"lastUpdated":"[^"]*")?,?')


# In the order in which a reader sees them: the person's own words and alerts come early.
SECTIONS: tuple[Callable[[SummaryRecord], Section | None], ...] = (
    notices,
    about_me,
    alerts,
    pregnancy,
    plans,
    allergies,
    medicines,
    problems,
    contacts,
    stay,
    appointments,
    plan_of_care,
    documents,
    results,
    vital_signs,
    immunisations,
    procedures,
    devices,
    social_history,
    assessments,
    past_illness,
    family_history,
    also_held,
    source_freshness,
    left_out_remark,
)


COPY_TITLE = "Patient summary: copy for the person"
"""The title of the copy, by which a page tells it from the ordinary summary."""


def summarise(summary_input: SummaryInput, at: datetime) -> Summary:
    """The summary of the person at a moment. The same input gives the same bytes, in whatever order it arrived."""
    record = SummaryRecord(summary_input, at)
    made = [section for make in SECTIONS if (section := make(record))]
    sections = [_without_access_codes(section) for section in with_placed_entries(record, made)]
    included = IncludedResources(record)
    listed = (shared_id for section in sections for shared_id, _ in section.entries)
    resources = hide_in_resources(included.include(listed, summary_input.patient))
    patient = hide_in_resource(included.without_dangling(summary_input.patient))
    addresses = {
        shared_id: f"{summary_input.base_url}/{kind}/{shared_id}" for shared_id, (kind, _) in resources.items()
    }
    subject = f"{summary_input.base_url}/Patient/{record.patient.get('id', 'unknown')}"
    parts = _part_digests(patient, sections, resources)
    digest = _digest(f"{code}={part}".encode() for code, part in parts.items())
    entries = [
        (f"urn:uuid:{uuid5(NAMESPACE_URL, digest)}", _composition(record, subject, sections, addresses)),
        (subject, person.ips_patient(patient)),
        (_AUTHOR, _author()),
        *[(addresses[shared_id], content) for shared_id, (_, content) in resources.items()],
    ]
    return Summary(_bundle(digest, at, entries), digest, parts, _valid_until(record, sections, at))


def _without_access_codes(section: Section) -> Section:
    body = hide_access_codes(section.body)
    return section if body == section.body else replace(section, body=body)


def _valid_until(record: SummaryRecord, sections: Iterable[Section], at: datetime) -> datetime | None:
    summary_input = record.input
    former = [end_of_day(each.former_until) for each in summary_input.freshness if each.former_until]
    # A source may become stale at exactly this moment.
    stale = (
        max(summary_input.freshness_valid_until, at + timedelta.resolution)
        if summary_input.freshness_valid_until
        else NEVER
    )
    changes = [stale, next_birthday(record), *former, *[section.valid_until for section in sections]]
    return min((change for change in changes if at < change < NEVER), default=None)


def _composition(
    record: SummaryRecord, subject: str, sections: Sequence[Section], addresses: Mapping[str, str]
) -> bytes:
    now = "".join(paragraph(strong(text(each))) for each in stay_words(record))
    head = hide_access_codes(header(record) + now) + paragraph(f"As of {clock(record.at)}")
    return orjson.dumps(
        {
            "resourceType": "Composition",
            "meta": {"profile": [f"{_PROFILE}Composition-uv-ips"]},
            "text": {"status": "generated", "div": div(head)},
            "status": "final",
            "type": {"coding": [{"system": "http://loinc.org", "code": "60591-5"}]},
            "subject": {"reference": subject},
            "date": format_instant(record.at),
            "author": [{"reference": _AUTHOR}],
            "title": COPY_TITLE if record.input.for_person else "Patient summary",
            "section": [section_json(section, addresses) for section in sections],
        }
    )


def _author() -> bytes:
    name = {"name": "OneStory", "type": "user-friendly-name"}
    return orjson.dumps({"resourceType": "Device", "deviceName": [name], "type": {"text": "Shared care record"}})


def _bundle(digest: str, at: datetime, entries: Iterable[tuple[str, bytes]]) -> bytes:
    moment = format_instant(at)
    head = {
        "resourceType": "Bundle",
        "meta": {"profile": [BUNDLE_PROFILE]},
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{uuid5(NAMESPACE_URL, digest + moment)}"},
        "type": "document",
        "timestamp": moment,
    }
    written = b",".join(b'{"fullUrl":%b,"resource":%b}' % (orjson.dumps(url), content) for url, content in entries)
    return b'%b,"entry":[%b]}' % (orjson.dumps(head)[:-1], written)


def _part_digests(
    patient: bytes, sections: Iterable[Section], resources: Mapping[str, tuple[str, bytes]]
) -> Mapping[str, str]:
    parts, listed = {"patient": _digest([_without_received_meta(patient)])}, set()
    for section in sections:
        body = section.body if section.digest_body is None else section.digest_body
        entries = [shared_id for shared_id, _ in section.entries if shared_id in resources]
        listed.update(entries)
        described = orjson.dumps([section.code, section.title, body, section.entries, section.empty])
        parts[section.code] = _digest(
            [described, *[_without_received_meta(resources[shared_id][1]) for shared_id in entries]]
        )
    rest = [_without_received_meta(content) for shared_id, (_, content) in resources.items() if shared_id not in listed]
    return {**parts, "refer": _digest(rest)}


def _without_received_meta(content: bytes) -> bytes:
    return _RECEIVED_META.sub(rb"\1", content, count=1)


def _digest(contents: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in contents:
        digest.update(b"%d:%b" % (len(part), part))
    return digest.hexdigest()

"""Each fact is on a line of the summary, or is named or counted in the section where a reader looks for it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import pytest
from tests.clinical_cases import case, case_numbers, needs_clinical_cases
from tests.contract.shared_data import example, needs_shared_data, verdicts
from tests.heard import Person, Published, heard, network

from onestory.intake.domain.request import Submission
from onestory.record.merge.model import Fact
from onestory.record.summary.document import SECTIONS
from onestory.record.summary.model import VITAL_SIGN, SummaryRecord, observation_kind
from onestory.record.summary.narrative import plain_text
from onestory.record.summary.places import DISSENT, PLAN
from onestory.record.summary.section import Section
from onestory.record.summary.sections.care_plans import is_shown_referral
from onestory.record.summary.sections.notices import is_named, says_nothing_alone
from onestory.record.summary.sources import is_section_list
from onestory.record.summary.wording import NOT_NAMED, name_of
from onestory.shared.fhir.json import object_of, objects_at, text_at

PEOPLE = 40
SECTION_OF_TYPE = {
    "Appointment": "appointments",
    "CarePlan": "18776-5",
    "CareTeam": "contacts",
    "DeviceUseStatement": "46264-8",
    "DiagnosticReport": "30954-2",
    "Encounter": "stay",
    "EpisodeOfCare": "contacts",
    "Flag": "104605-1",
    "MedicationAdministration": "10160-0",
    "MedicationDispense": "10160-0",
    "MedicationRequest": "10160-0",
    "MedicationStatement": "10160-0",
    "Observation": "30954-2",
    "Procedure": "47519-4",
    "RelatedPerson": "contacts",
}
"""The section that names or counts what it has no line for. A fact of any other type must have a line."""
COUNTED = re.compile(r"More is held: (\d+)")
"""Each remark counts facts that its section leaves out."""


def cut(person: Person) -> Iterator[str]:
    """Yields the facts that are on no line, if their section neither names them nor counts enough of them."""
    record = SummaryRecord(person.known(), person.at)
    sections = [section for make in SECTIONS if (section := make(record))]
    on_lines = {fact.id for section in sections for fact in section.facts}
    words = {section.code: plain_text(section.body) for section in sections}
    on_no_line: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact in record.all_facts():
        if fact.id not in on_lines and not _is_told(record, fact, sections, words):
            on_no_line[_section_of(record, fact)].append(fact)
    for code, facts in on_no_line.items():
        body = words.get(code, "")
        nameless = [fact for fact in facts if not (name := _name(record, fact)) or name not in body]
        if len(nameless) > sum(map(int, COUNTED.findall(body))):
            yield from (f"{fact.resource_type} {fact.id}: {code or 'no section'}" for fact in nameless)


def _section_of(record: SummaryRecord, fact: Fact) -> str:
    if record.place(fact) == PLAN:
        return "42348-3"
    if fact.resource_type == "Observation" and observation_kind(record.shown(fact).content) == VITAL_SIGN:
        return "8716-3"
    return SECTION_OF_TYPE.get(fact.resource_type, "")


def _name(record: SummaryRecord, fact: Fact) -> str:
    """The name that a section would write; "" if the source gives none."""
    statement = record.shown(fact)
    name = name_of(statement.content)
    if fact.resource_type == "DeviceUseStatement":
        device = object_of(statement.content, "device")
        found = record.resolve(statement, device)
        name = name_of(found) if found else text_at(device, "display")
    return "" if name == NOT_NAMED else name


def _is_told(record: SummaryRecord, fact: Fact, sections: Sequence[Section], words: Mapping[str, str]) -> bool:
    """Whether a fact is told without a line: it says nothing alone, is an entry, or stands in a list or a notice."""
    content, kind = record.shown(fact).content, fact.resource_type
    if says_nothing_alone(kind) or (kind == "List" and is_section_list(content)) or is_shown_referral(record, fact):
        return True
    if kind == "DiagnosticReport" and objects_at(content, "result"):
        # Its results have lines of their own.
        return True
    if record.place(fact) == DISSENT:
        return "notices" in words
    if is_named(record, fact):
        held = sum(other.resource_type == kind and is_named(record, other) for other in record.all_facts())
        return f"{kind}: {held}" in words["also-held"]
    return any(entry == record.shown(fact).shared_id for section in sections for entry, _ in section.entries)


def _published(name: str) -> Submission:
    body = example(name)
    resource = json.loads(body)
    kind, own = resource.get("resourceType", ""), resource.get("id", "")
    return Submission("POST", body) if kind == "Bundle" else Submission("PUT" if own else "POST", body, kind, own)


@needs_clinical_cases
@pytest.mark.parametrize("number", case_numbers())
def test_no_fact_of_a_case_is_cut_in_silence(number: str) -> None:
    assert [each for person in case(number) for each in cut(person)] == []


@needs_shared_data
@pytest.mark.parametrize("name", sorted(verdicts()))
def test_no_fact_of_a_published_example_is_cut_in_silence(name: str) -> None:
    people = heard([Published("A81001", "emis-web", _published(name))])

    assert [each for person in people for each in cut(person)] == []


def test_no_fact_of_a_synthetic_person_is_cut_in_silence() -> None:
    assert [each for person in network(PEOPLE) for each in cut(person)] == []

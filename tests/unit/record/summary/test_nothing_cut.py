"""Each fact is on a line of the summary, or is named or counted where a reader looks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.clinical_cases import case, case_numbers, needs_clinical_cases
from tests.heard import Person, network

from onestory.record.merge.model import Fact
from onestory.record.summary.document import SECTIONS
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.places import DISSENT
from onestory.record.summary.section import Section
from onestory.record.summary.sections.care_plans import is_shown_referral
from onestory.record.summary.sections.notices import TYPES_WITH_SECTION, is_named, says_nothing_alone
from onestory.record.summary.sources import is_section_list
from onestory.shared.fhir.json import objects_at

PEOPLE = 12
COUNTS = ("More is held", "No longer in force", "Older", "Declined", "Not given", "not shown", "Ended", "Also", "more")


def uncounted(person: Person) -> Iterator[str]:
    """Yields each fact that is on no line, when no section that may count it has a remark."""
    record = SummaryRecord(person.known(), person.at)
    sections = [section for make in SECTIONS if (section := make(record))]
    on_lines = {fact.id for section in sections for fact in section.facts}
    remarks = any(word in section.body for section in sections for word in COUNTS)
    for fact in record.all_facts():
        if fact.id in on_lines or says_nothing_alone(fact.resource_type) or _is_list_of_section(record, fact):
            continue
        if not _is_told(record, fact, sections) and not (fact.resource_type in TYPES_WITH_SECTION and remarks):
            yield f"{fact.resource_type} {fact.id}"


def _is_list_of_section(record: SummaryRecord, fact: Fact) -> bool:
    return fact.resource_type == "List" and is_section_list(record.shown(fact).content)


def _is_told(record: SummaryRecord, fact: Fact, sections: list[Section]) -> bool:
    # The results of a report stand on lines of their own.
    if fact.resource_type == "DiagnosticReport" and objects_at(record.shown(fact).content, "result"):
        return True
    quoted = any(entry == record.shown(fact).shared_id for section in sections for entry, _ in section.entries)
    return quoted or record.place(fact) == DISSENT or is_named(record, fact) or is_shown_referral(record, fact)


@needs_clinical_cases
@pytest.mark.parametrize("number", case_numbers())
def test_no_fact_of_a_case_is_cut_in_silence(number: str) -> None:
    assert [cut for person in case(number) for cut in uncounted(person)] == []


def test_no_fact_of_a_synthetic_person_is_cut_in_silence() -> None:
    assert [cut for person in network(PEOPLE) for cut in uncounted(person)] == []

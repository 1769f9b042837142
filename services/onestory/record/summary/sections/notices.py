"""Notices at the head of a summary, and the freshness of its sources.

Notices warn of another person's entries, a death, plans that disagree, withheld content, and sources that are stale or
incomplete.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from onestory.record.clinical_data import clinical_table, unreviewed_files
from onestory.record.freshness.domain import Freshness
from onestory.record.merge.model import Fact
from onestory.record.summary import dates as summary_dates
from onestory.record.summary import sources, wording
from onestory.record.summary.confidentiality import marks
from onestory.record.summary.model import SummaryRecord, end_of_day
from onestory.record.summary.narrative import Row, bullet_list, paragraph, strong, table, text
from onestory.record.summary.section import ONESTORY_SECTIONS, Section
from onestory.record.summary.sections.about_me import dissent_notices, is_about_me
from onestory.record.summary.sections.care_plans import is_open_elsewhere, is_shown_referral
from onestory.record.summary.sections.documents import is_letter
from onestory.record.summary.sections.identity import identity_notices
from onestory.record.summary.sections.medicine_notices import medicine_notices
from onestory.record.summary.sections.plans import plan_notices
from onestory.record.summary.sections.stay import stay_notices
from onestory.record.summary.wording import name_of
from onestory.shared.fhir.json import concept_texts, text_at

_COLUMNS = ("Source", "Last statement about this person", "Last contact with this system", "To note")


def notices(record: SummaryRecord) -> Section | None:
    """The notices; None if there are none."""
    items = [
        *identity_notices(record),
        *plan_notices(record),
        *medicine_notices(record),
        *dissent_notices(record),
        *stay_notices(record),
        *_record_notices(record),
    ]
    return Section("notices", "Please note", bullet_list(items), system=ONESTORY_SECTIONS) if items else None


def _record_notices(record: SummaryRecord) -> Iterator[str]:
    if record.input.withheld:
        yield "Some of this record is withheld from you. What is shown here may not be all that is known."
    if any(is_incomplete(line) for line in record.input.freshness):
        yield "Some sources are silent, or some of their statements are missing: see the sources at the end."


def source_freshness(record: SummaryRecord) -> Section | None:
    """The sources with one line each: when they were last heard of, and gaps. The times are not part of the digest."""
    lines = sorted(record.input.freshness, key=lambda each: (each.organisation, each.system))
    if not lines:
        return None
    rows = [_row(record, line, with_times=True) for line in lines]
    rows_without_times = [_row(record, line, with_times=False) for line in lines]
    return Section(
        "sources",
        "Sources, and how fresh they are",
        table("Sources", _COLUMNS, rows)
        + paragraph("What a source did not send is not in this summary.")
        + review_remark(),
        system=ONESTORY_SECTIONS,
        digest_body=table("Sources", _COLUMNS, rows_without_times),
    )


@clinical_table
def review_remark() -> str:
    """A paragraph of XHTML that says that no clinician has reviewed the rules of the page; "" if all are reviewed."""
    unreviewed = "The rules that made this page have not been reviewed by a clinician."
    return paragraph(unreviewed) if unreviewed_files() else ""


def is_incomplete(line: Freshness) -> bool:
    """Whether the statements of this source may be old or incomplete."""
    return bool(line.stale or line.missing or line.parked)


def _row(record: SummaryRecord, line: Freshness, *, with_times: bool) -> Row:
    heard = [[summary_dates.clock(each)] if with_times else [] for each in (line.last_statement_at, line.heard_at)]
    known = record.organisation_name(line.organisation)
    code = "" if known == line.organisation else f"{line.organisation}, "
    name = [text(known), text(f"{code}{line.system}")]
    return Row((name, *heard, list(_remarks(record, line))))


def _remarks(record: SummaryRecord, line: Freshness) -> Iterator[str]:
    if line.stale:
        yield strong("Silent for longer than expected: its statements may be out of date.")
    if line.missing:
        yield strong(f"{line.missing} of its statements are missing.")
    if line.parked:
        yield strong(f"{line.parked} of its statements could not be used yet.")
    if line.former_until and end_of_day(line.former_until) <= record.at:
        yield strong(f"Former practice, until {summary_dates.day(line.former_until)}.")


MAX_NAMES = 10
"""Names of one type; the others are counted."""
TYPES_WITH_SECTION = frozenset(
    [
        "AllergyIntolerance",
        "Appointment",
        "CarePlan",
        "CareTeam",
        "ClinicalImpression",
        "Condition",
        "Device",
        "DeviceUseStatement",
        "DiagnosticReport",
        "Encounter",
        "EpisodeOfCare",
        "FamilyMemberHistory",
        "Flag",
        "Immunization",
        "MedicationAdministration",
        "MedicationDispense",
        "MedicationRequest",
        "MedicationStatement",
        "Observation",
        "Procedure",
        "RelatedPerson",
    ]
)
"""Types with a section of their own; each section counts what it leaves out."""
_NOT_CLINICAL = frozenset(
    [
        "HealthcareService",
        "Location",
        "Medication",
        "MessageHeader",
        "Organization",
        "Patient",
        "Practitioner",
        "PractitionerRole",
    ]
)
"""Types that say nothing about the person by themselves."""


def also_held(record: SummaryRecord) -> Section | None:
    """The names and numbers of the resources of each other type."""
    found: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact in record.all_facts():
        if is_named(record, fact):
            found[fact.resource_type].append(fact)
    if not found:
        return None
    named = bullet_list(_named(record, kind, facts) for kind, facts in sorted(found.items()))
    return Section(
        "also-held",
        "Also held",
        paragraph("The record has these too. They are not shown in full in this summary.") + named,
        system=ONESTORY_SECTIONS,
    )


def _named(record: SummaryRecord, kind: str, facts: Sequence[Fact]) -> str:
    """The type, the number of its resources, and their names with the number of each that occurs more than once."""
    names = Counter(_name(record, fact) for fact in wording.newest_first(record, facts))
    named = [f"{name} ({number})" if number > 1 else name for name, number in list(names.items())[:MAX_NAMES] if name]
    more = len(names) - MAX_NAMES
    listed = [*named, f"and {more} more"] if more > 0 else named
    return f"{text(kind)}: {len(facts)}" + (f" ({text('; '.join(listed))})" if named else "")


_OUTCOMES = (("prediction", "qualitativeRisk"), ("achievementStatus",), ("recommendation", "forecastStatus"))
"""What came of it, or is to come: the risk, whether a goal was met, that a vaccine is due."""


def _name(record: SummaryRecord, fact: Fact) -> str:
    """The name and status of a resource; a restricted one is only counted, because its name alone tells much."""
    statement = record.shown(fact)
    if marks([each.content for each in record.valid_statements(fact)]):
        return "restricted"
    name = text_at(statement.content, "title") or name_of(statement.content)
    status = text_at(statement.content, "status") or text_at(statement.content, "lifecycleStatus")
    outcome = [each for path in _OUTCOMES for each in concept_texts(statement.content, *path)]
    outcome += [text_at(statement.content, "detail"), text_at(statement.content, "mitigation")]
    told = ": ".join(dict.fromkeys(part for part in (name, *outcome) if part))
    return "" if name == wording.NOT_NAMED else ", ".join(part for part in (told, status) if part)


def says_nothing_alone(resource_type: str) -> bool:
    """Whether resources of a type say nothing about the person by themselves."""
    return resource_type in _NOT_CLINICAL


def is_named(record: SummaryRecord, fact: Fact) -> bool:
    """Whether no other section shows or counts a fact, so that it is named here."""
    if record.place(fact) or fact.id in record.allergies:
        return False
    if fact.resource_type in TYPES_WITH_SECTION or says_nothing_alone(fact.resource_type):
        return False
    if fact.resource_type == "List":
        return not sources.is_section_list(record.shown(fact).content)
    return not (
        is_letter(record, fact)
        or is_about_me(record, fact)
        or is_shown_referral(record, fact)
        or is_open_elsewhere(record, fact)
    )

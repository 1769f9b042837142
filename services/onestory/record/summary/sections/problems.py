"""Problems: active ones newest first, and past illness newest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from onestory.record.merge.model import Fact
from onestory.record.summary import sources
from onestory.record.summary.allergy_words import allergy_name, recorded_as_problems
from onestory.record.summary.clinical_dates import date_text
from onestory.record.summary.dates import shown as date_shown
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.sections.topics import superseded_ids
from onestory.record.summary.wording import name_of, newest_of_each_kind, notes, status_of
from onestory.shared.fhir.dates import parse_date
from onestory.shared.fhir.json import concept_text, concept_texts, text_at, values_at

_PROBLEMS = SectionDefinition(
    "11450-4",
    "Problems",
    "No current problems received. Ask the person and check the GP record.",
)
_PAST = SectionDefinition("11348-0", "Past illness")
_ACTIVE = ("active", "recurrence", "relapse")
_PAST_STATUSES = ("inactive", "remission", "resolved")
MAX_PAST = 50
"""Past illnesses that are shown: the newest of each kind first."""


def problems(record: SummaryRecord) -> Section | None:
    """The active problems."""
    lines = [_line(record, fact) for fact in _newest_first(record) if _is_active(record, fact)]
    stated = sources.none_known_remarks(record, "problems", [line.fact for line in lines])
    return build_section(
        record,
        _PROBLEMS,
        [Group("Active", lines)],
        remarks=[*stated, _allergies_remark(record)],
        empty="nilknown" if stated else "unavailable",
        also_entries=recorded_as_problems(record),
    )


def _allergies_remark(record: SummaryRecord) -> str:
    """A remark for the allergies that a source recorded as problems, because they are not listed here."""
    names = [text(allergy_name(record, fact)) for fact in recorded_as_problems(record)]
    return f"Recorded as problems, and shown among the allergies: {'; '.join(names)}." if names else ""


def past_illness(record: SummaryRecord) -> Section | None:
    """The problems that are resolved, inactive or ruled out."""
    past = [fact for fact in _newest_first(record) if not _is_active(record, fact)]
    lines = [_line(record, fact) for fact in newest_of_each_kind(record, past, MAX_PAST)]
    more = len(past) - len(lines)
    remarks = [f"More is held: {more} older resolved problems are not shown here."] if more else []
    return build_section(record, _PAST, [Group("Resolved, inactive or ruled out", lines)], remarks=remarks)


def _newest_first(record: SummaryRecord) -> list[Fact]:
    # What a newer statement on the same topic has replaced stands behind that one, as in the pregnancy of another year.
    elsewhere = superseded_ids(record).union(record.allergies)
    facts = (fact for fact in record.facts("Condition") if fact.id not in elsewhere)
    return sorted(facts, key=lambda fact: (-_since(record, fact).timestamp(), fact.id))


def _since(record: SummaryRecord, fact: Fact) -> datetime:
    statement = record.shown(fact)
    onset = text_at(statement.content, "onsetDateTime") or text_at(statement.content, "onsetPeriod", "start")
    known = parse_date(fact.onset) or parse_date(onset) or parse_date(statement.content.get("recordedDate"))
    return known.begin if known else statement.recorded_at


def _is_active(record: SummaryRecord, fact: Fact) -> bool:
    return any(_states_active(statement.content) for statement in record.valid_statements(fact))


def _states_active(content: Mapping[str, Any]) -> bool:
    if "refuted" in values_at(content, "verificationStatus", "coding", "code"):
        return False
    stated = values_at(content, "clinicalStatus", "coding", "code")
    # A source may add a code of its own to that of FHIR.
    if any(status in stated for status in (*_ACTIVE, *_PAST_STATUSES)):
        return any(status in stated for status in _ACTIVE)
    # Without a known status, a problem is over only if an abatement is stated.
    return not any(name.startswith("abatement") for name in content)


def _line(record: SummaryRecord, fact: Fact) -> Line:
    shown = record.shown(fact).content
    contents = [statement.content for statement in record.valid_statements(fact)]
    return Line(
        fact,
        [strong(text(name_of(shown))), *[text(site) for site in concept_texts(shown, "bodySite")]],
        [text(detail) for detail in dict.fromkeys(_details(fact, shown, contents)) if detail],
    )


def _details(fact: Fact, shown: Mapping[str, Any], contents: list[Mapping[str, Any]]) -> Iterator[str]:
    yield status_of(shown)
    if onset := date_shown(fact.onset) or date_text(shown, "onset"):
        yield f"Since {onset}"
    if ended := date_text(shown, "abatement"):
        yield f"Ended {ended}"
    for content in contents:
        if severity := concept_text(content.get("severity")):
            yield f"Severity: {severity}"
        for stage in concept_texts(content, "stage", "summary"):
            yield f"Stage: {stage}"
    for content in contents:
        yield from notes(content)

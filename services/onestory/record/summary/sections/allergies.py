"""Allergies and intolerances: active, resolved and refuted ones, and lists by which a source states "none known"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.merge.model import Fact
from onestory.record.summary import dates as summary_dates
from onestory.record.summary import sources
from onestory.record.summary.clinical_dates import date_text
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.wording import name_of, notes, status_of
from onestory.shared.fhir.json import concept_text, concept_texts, extensions, objects_at, text_at, values_at

_ALLERGIES = SectionDefinition(
    "48765-2",
    "Allergies and intolerances",
    "No source here states anything about allergies. This does not mean that there are none.",
)
_CRITICALITIES = ("high", "unable-to-assess", "low")
_GROUPS = ("Active", "Inactive or resolved", "Refuted")


def allergies(record: SummaryRecord) -> Section | None:
    """The section. Its emptyReason is `nilknown` only if a source states so itself."""
    groups: dict[str, list[Line]] = {caption: [] for caption in _GROUPS}
    for fact in record.facts("AllergyIntolerance"):
        groups[_fact_group(record, fact)].append(_line(record, fact))
    stated = sources.none_known_remarks(record, "allergies", [line.fact for line in groups["Active"]])
    return build_section(
        record,
        _ALLERGIES,
        [Group(caption, sorted(lines, key=_order)) for caption, lines in groups.items()],
        remarks=stated,
        empty="nilknown" if stated else "unavailable",
    )


def _fact_group(record: SummaryRecord, fact: Fact) -> str:
    groups = {_group_name(statement.content) for statement in record.valid_statements(fact)}
    return next(caption for caption in _GROUPS if caption in groups)


def _group_name(content: Mapping[str, Any]) -> str:
    if "refuted" in values_at(content, "verificationStatus", "coding", "code"):
        return "Refuted"
    # A missing status means active: an allergy is not dismissed because its status is missing.
    stated = values_at(content, "clinicalStatus", "coding", "code")
    is_resolved = "inactive" in stated or "resolved" in stated
    return "Inactive or resolved" if is_resolved and "active" not in stated else "Active"


def _line(record: SummaryRecord, fact: Fact) -> Line:
    shown = record.shown(fact).content
    contents = [statement.content for statement in record.valid_statements(fact)]
    name = name_of(shown)
    substances = [each for content in contents for each in concept_texts(content, "reaction", "substance")]
    return Line(
        fact,
        [strong(text(name)), *[text(f"Substance: {each}") for each in dict.fromkeys(substances) if each != name]],
        [text(detail) for detail in dict.fromkeys(_details(shown, contents))],
    )


def _details(shown: Mapping[str, Any], contents: list[Mapping[str, Any]]) -> Iterator[str]:
    stated = [content.get("criticality") for content in contents]
    if worst := next((level for level in _CRITICALITIES if level in stated), None):
        yield f"Criticality: {worst}"
    yield status_of(shown)
    for content in contents:
        yield from (_reaction(reaction) for reaction in objects_at(content, "reaction"))
    if onset := date_text(shown, "onset"):
        yield f"Since {onset}"
    for ended in extensions(shown, "/allergyintolerance-abatement"):
        yield f"Ended {date_text(ended, 'value')}"
    if last := text_at(shown, "lastOccurrence"):
        yield f"Last reaction {summary_dates.shown(last)}"
    for content in contents:
        yield from notes(content)


def _reaction(reaction: Mapping[str, Any]) -> str:
    manifestations = [*concept_texts(reaction, "manifestation"), text_at(reaction, "description")]
    symptoms = ", ".join(each for each in manifestations if each)
    severity = text_at(reaction, "severity")
    by = concept_text(reaction.get("exposureRoute"))
    said = f"severity {severity}" if severity else ""
    parts = [f"Reaction: {symptoms}" if symptoms else "", said, by, *notes(reaction)]
    return ", ".join(part for part in parts if part)


def _order(line: Line) -> tuple[str, str]:
    return (line.what[0].casefold(), line.fact.id)

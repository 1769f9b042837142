"""Allergies and intolerances: active, then resolved with dates, then what a source says there is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.merge.model import Fact
from onestory.record.summary import moments, sources
from onestory.record.summary.model import MergedRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, section
from onestory.record.summary.wording import dated, name_of, notes, status_of
from onestory.shared.fhir.json import all_named, each, extensions, first, named, objects

_ABOUT = SectionDefinition(
    "48765-2",
    "Allergies and intolerances",
    "No source here says anything of allergies. This does not mean that there are none.",
)
_WORST = ("high", "unable-to-assess", "low")
_GROUPS = ("Active", "Inactive or resolved", "Said not to be so")


def allergies(record: MergedRecord) -> Section | None:
    """The section; with `nilknown` only where a source says so itself."""
    groups: dict[str, list[Line]] = {caption: [] for caption in _GROUPS}
    for fact in record.facts("AllergyIntolerance"):
        groups[_group(record, fact)].append(_line(record, fact))
    stated = sources.stated(record, "allergies", [line.fact for line in groups["Active"]])
    return section(
        record,
        _ABOUT,
        [Group(caption, sorted(lines, key=_order)) for caption, lines in groups.items()],
        remarks=stated,
        empty="nilknown" if stated else "unavailable",
    )


def _group(record: MergedRecord, fact: Fact) -> str:
    said = {_standing(one.content) for one in record.standing(fact)}
    return next(caption for caption in _GROUPS if caption in said)


def _standing(content: Mapping[str, Any]) -> str:
    if "refuted" in each(content, "verificationStatus", "coding", "code"):
        return "Said not to be so"
    # A missing status means active: an allergy is not put aside for want of one.
    stated = each(content, "clinicalStatus", "coding", "code")
    resolved = "inactive" in stated or "resolved" in stated
    return "Inactive or resolved" if resolved and "active" not in stated else "Active"


def _line(record: MergedRecord, fact: Fact) -> Line:
    shown = record.shown(fact).content
    contents = [said.content for said in record.standing(fact)]
    name = name_of(shown)
    reacted_to = [one for content in contents for one in all_named(content, "reaction", "substance") if one != name]
    return Line(
        fact,
        [strong(text(name)), *[text(f"Substance: {one}") for one in dict.fromkeys(reacted_to)]],
        [text(detail) for detail in dict.fromkeys(_details(shown, contents))],
    )


def _details(shown: Mapping[str, Any], contents: list[Mapping[str, Any]]) -> Iterator[str]:
    if worst := next((level for level in _WORST if any(one.get("criticality") == level for one in contents)), None):
        yield f"Criticality: {worst}"
    yield status_of(shown)
    for content in contents:
        yield from (_reaction(reaction) for reaction in objects(content, "reaction"))
    if onset := dated(shown, "onset"):
        yield f"Since {onset}"
    for ended in extensions(shown, "/allergyintolerance-abatement"):
        yield f"Ended {dated(ended, 'value')}"
    if last := first(shown, "lastOccurrence"):
        yield f"Last reaction {moments.shown(last)}"
    for content in contents:
        yield from notes(content)


def _reaction(reaction: Mapping[str, Any]) -> str:
    happened = [*all_named(reaction, "manifestation"), first(reaction, "description")]
    said = ", ".join(each for each in happened if each)
    severity = first(reaction, "severity")
    by = named(reaction.get("exposureRoute"))
    parts = [f"Reaction: {said}" if said else "", f"severity {severity}" if severity else "", by]
    return ", ".join(part for part in parts if part)


def _order(line: Line) -> tuple[str, str]:
    return (line.what[0].casefold(), line.fact.id)

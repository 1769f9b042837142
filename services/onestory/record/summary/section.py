"""One section of a summary, as FHIR writes it.

http://hl7.org/fhir/R4/composition-definitions.html#Composition.section
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from onestory.record.merge.model import Fact
from onestory.record.merge.reading import MODIFYING
from onestory.record.summary import sources
from onestory.record.summary.model import MergedRecord
from onestory.record.summary.moments import NEVER
from onestory.record.summary.narrative import Row, paragraph, strong, table

LOINC = "http://loinc.org"
OWN = "https://onestory.nhs.uk/CodeSystem/summary-section"
_EMPTY_REASON = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
_REASONS = {"unavailable": "Unavailable", "nilknown": "Nil Known"}


@dataclass(frozen=True, slots=True)
class Section:
    """`body` is XHTML inside the div. `entries` are the shared ids of what it refers to, each with its extensions.

    `empty` is the reason (http://hl7.org/fhir/R4/valueset-list-empty-reason.html) where it has no entries. From
    `until` on it says something else, though nobody says anything. `timeless` is what of the body counts as content,
    where not all of it does.
    """

    code: str
    title: str
    body: str
    entries: tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...] = ()
    empty: str | None = None
    system: str = LOINC
    until: datetime = NEVER
    timeless: str | None = None


def div(body: str) -> str:
    """XHTML as a narrative holds it."""
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>'


def as_fhir(section: Section, addresses: Mapping[str, str]) -> dict[str, Any]:
    """The section; `addresses` are the full URLs of shared ids."""
    entries = [
        {**({"extension": extensions} if extensions else {}), "reference": addresses[shared_id]}
        for shared_id, extensions in section.entries
        if shared_id in addresses
    ]
    empty = section.empty if not entries else None
    return {
        "title": section.title,
        "code": {"coding": [{"system": section.system, "code": section.code}]},
        "text": {"status": "generated", "div": div(section.body)},
        **({"entry": entries} if entries else {}),
        **({"emptyReason": _reason(empty)} if empty else {}),
    }


def _reason(code: str) -> dict[str, Any]:
    return {"coding": [{"system": _EMPTY_REASON, "code": code, "display": _REASONS[code]}]}


# Lines of a summary: one for one fact, and the section that they make.

HEADS = ("What", "Details", "Who says so")


class Line(NamedTuple):
    """`what` and `details` are paragraphs of XHTML. From `until` on the line stands elsewhere, or nowhere."""

    fact: Fact
    what: Sequence[str]
    details: Sequence[str]
    until: datetime = NEVER


class Group(NamedTuple):
    """Lines under a caption."""

    caption: str
    lines: Sequence[Line]


class SectionDefinition(NamedTuple):
    """What a section is: its LOINC code, its title, and what it says where it has no line; None: it is left out.

    `types` are those that IPS lets it refer to; None: any. Other lines are narrative alone.
    """

    code: str
    title: str
    if_empty: str | None = None
    types: frozenset[str] | None = None


def section(
    record: MergedRecord,
    about: SectionDefinition,
    groups: Sequence[Group],
    *,
    remarks: Iterable[str] = (),
    empty: str = "unavailable",
    until: datetime = NEVER,
) -> Section | None:
    """A section of lines, with remarks (XHTML) under them; None where there is nothing to say."""
    tables = "".join(table(group.caption, HEADS, [_row(record, line) for line in group.lines]) for group in groups)
    said = "".join(paragraph(remark) for remark in remarks if remark)
    if not tables and about.if_empty is None:
        if not said:
            return None
    elif not tables:
        tables = paragraph(about.if_empty or "")
    lines = [line for group in groups for line in group.lines]
    return Section(
        about.code,
        about.title,
        tables + said,
        entries=tuple(entry for line in lines for entry in _entries(record, about, line)),
        empty=empty,
        until=min([*[line.until for line in lines], until]),
    )


def _row(record: MergedRecord, line: Line) -> Row:
    details = [*_qualified(record, line.fact), *line.details, *sources.conflicts(record, line.fact)]
    return Row((line.what, details, sources.in_words(record, line.fact)))


def _qualified(record: MergedRecord, fact: Fact) -> Iterable[str]:
    """What nobody may pass over who does not know it (http://hl7.org/fhir/R4/extensibility.html#modifierExtension)."""
    if any(MODIFYING & said.content.keys() for said in record.standing(fact)):
        yield strong("Its source qualifies this in a way that is not understood here: read the resource.")


def _entries(
    record: MergedRecord, about: SectionDefinition, line: Line
) -> Iterable[tuple[str, tuple[dict[str, object], ...]]]:
    if about.types is not None and line.fact.resource_type not in about.types:
        return
    shown, *others = sources.statements(record, line.fact)
    yield shown, (sources.extension(record, line.fact),)
    for other in others:
        yield other, ()

"""Lines of a summary: one for one fact, and the section that they make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from onestory.record.domain.merge.fact import Fact
from onestory.record.domain.merge.reading import MODIFYING
from onestory.record.domain.summary import sources
from onestory.record.domain.summary.moments import NEVER
from onestory.record.domain.summary.narrative import Row, paragraph, strong, table
from onestory.record.domain.summary.record import Record
from onestory.record.domain.summary.section import Section

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


class About(NamedTuple):
    """What a section is: its LOINC code, its title, and what it says where it has no line; None: it is left out.

    `types` are those that IPS lets it refer to; None: any. Other lines are narrative alone.
    """

    code: str
    title: str
    if_empty: str | None = None
    types: frozenset[str] | None = None


def section(
    record: Record,
    about: About,
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


def _row(record: Record, line: Line) -> Row:
    details = [*_qualified(record, line.fact), *line.details, *sources.conflicts(record, line.fact)]
    return Row((line.what, details, sources.in_words(record, line.fact)))


def _qualified(record: Record, fact: Fact) -> Iterable[str]:
    """What nobody may pass over who does not know it (http://hl7.org/fhir/R4/extensibility.html#modifierExtension)."""
    if any(MODIFYING & said.content.keys() for said in record.standing(fact)):
        yield strong("Its source qualifies this in a way that is not understood here: read the resource.")


def _entries(record: Record, about: About, line: Line) -> Iterable[tuple[str, tuple[dict[str, object], ...]]]:
    if about.types is not None and line.fact.resource_type not in about.types:
        return
    shown, *others = sources.statements(record, line.fact)
    yield shown, (sources.extension(record, line.fact),)
    for other in others:
        yield other, ()

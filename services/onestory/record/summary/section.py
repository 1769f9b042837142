"""Builds one section of a summary from its lines, and writes it as FHIR JSON.

http://hl7.org/fhir/R4/composition-definitions.html#Composition.section
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from onestory.record.merge.model import Fact
from onestory.record.merge.reading import MODIFIER_ELEMENTS
from onestory.record.summary import sources
from onestory.record.summary.confidentiality import marks
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.names import name_remarks
from onestory.record.summary.narrative import Row, paragraph, strong, table, text
from onestory.shared.fhir.dates import NEVER
from onestory.shared.fhir.json import Code, codes_of

LOINC = "http://loinc.org"
ONESTORY_SECTIONS = "https://onestory.nhs.uk/CodeSystem/summary-section"
_EMPTY_REASON = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
_REASONS = {"unavailable": "Unavailable", "nilknown": "Nil Known"}


COLUMNS = ("What", "Details", "Source")


@dataclass(frozen=True, slots=True)
class Section:
    """One section. `body` is the XHTML inside the div; `entries` are the shared ids it lists, with their extensions.

    `empty` is the emptyReason code (http://hl7.org/fhir/R4/valueset-list-empty-reason.html) if there are no entries.
    After `valid_until` the section has other content without any new event. `digest_body` is the body without
    times of OneStory, for the digest; None: the whole body counts. `facts` are those of its lines.
    """

    code: str
    title: str
    body: str
    entries: tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...] = ()
    empty: str | None = None
    system: str = LOINC
    valid_until: datetime = NEVER
    digest_body: str | None = None
    facts: tuple[Fact, ...] = ()


class Line(NamedTuple):
    """The line of one fact. `what`, `details` and `kind` are paragraphs of XHTML; `kind` is a cell of its own.

    `cells` are the paragraphs of the further cells of a line in a grid; the details then stand below `what`.

    `others` are further facts that the line stands for: earlier results of a kind, or copies in another type.
    `conflicts` are paragraphs about the conflicts of the line; None: those that every fact has. After `valid_until`
    the line moves to another group, or is no longer shown. `is_listed`: the section may refer to its resources.
    """

    fact: Fact
    what: Sequence[str]
    details: Sequence[str]
    valid_until: datetime = NEVER
    conflicts: Sequence[str] | None = None
    others: Sequence[Fact] = ()
    is_listed: bool = True
    kind: Sequence[str] | None = None
    cells: Sequence[Sequence[str]] | None = None


class Group(NamedTuple):
    """The lines under one caption. A grid keeps its heads and its columns on every screen and on paper."""

    caption: str
    lines: Sequence[Line]
    columns: Sequence[str] = COLUMNS
    is_grid: bool = False


class SectionDefinition(NamedTuple):
    """The LOINC code and title of a section, and the text for a section without lines (None: it is left out).

    `types` are the resource types that IPS lets the section refer to; None: any. Lines of other types are narrative
    only. Of each of the codes `once` IPS allows one entry: the first is referred to, further ones are narrative only.
    """

    code: str
    title: str
    text_if_empty: str | None = None
    types: frozenset[str] | None = None
    once: frozenset[Code] = frozenset()


def build_section(
    record: SummaryRecord,
    definition: SectionDefinition,
    groups: Sequence[Group],
    *,
    remarks: Iterable[str] = (),
    empty: str = "unavailable",
    also_entries: Iterable[Fact] = (),
) -> Section | None:
    """A section of lines, followed by the remarks (XHTML); None if there is nothing to show.

    `also_entries` are facts that the section refers to without a line, because another section shows them.
    """
    tables = "".join(
        table(group.caption, group.columns, [_row(record, line) for line in group.lines], is_grid=group.is_grid)
        for group in groups
    )
    remark_paragraphs = "".join(paragraph(remark) for remark in remarks if remark)
    if not tables and definition.text_if_empty is None:
        if not remark_paragraphs:
            return None
    elif not tables:
        tables = paragraph(definition.text_if_empty or "")
    lines = [line for group in groups for line in group.lines]
    return Section(
        definition.code,
        definition.title,
        tables + remark_paragraphs,
        entries=tuple(
            _entries(
                record,
                definition,
                [*(fact for line in lines if line.is_listed for fact in (line.fact, *line.others)), *also_entries],
            )
        ),
        empty=empty,
        valid_until=min([line.valid_until for line in lines], default=NEVER),
        facts=tuple(fact for line in lines for fact in (line.fact, *line.others)),
    )


def _row(record: SummaryRecord, line: Line) -> Row:
    facts = [line.fact, *line.others]
    own = line.conflicts
    if own is None:
        own = [paragraph for fact in facts for paragraph in sources.conflict_paragraphs(record, fact)]
    warnings = [
        warning for fact in facts for warning in (*_modifier_warning(record, fact), *name_remarks(record, fact))
    ]
    says = [paragraph for fact in facts for paragraph in sources.source_paragraphs(record, fact)]
    contents = [statement.content for fact in facts for statement in record.valid_statements(fact)]
    what = [*line.what, *[strong(text(mark)) for mark in marks(contents)]]
    kind = [] if line.kind is None else [line.kind]
    details = list(dict.fromkeys([*warnings, *line.details, *own]))
    if line.cells is not None:
        return Row(([*what, *details], *line.cells, list(dict.fromkeys(says))))
    return Row((what, details, *kind, list(dict.fromkeys(says))))


def _modifier_warning(record: SummaryRecord, fact: Fact) -> Iterable[str]:
    """The warning for an unknown modifier (http://hl7.org/fhir/R4/extensibility.html#modifierExtension)."""
    if any(MODIFIER_ELEMENTS & statement.content.keys() for statement in record.valid_statements(fact)):
        yield strong("The source adds a modifier that OneStory does not know: read the resource.")


def _entries(
    record: SummaryRecord, definition: SectionDefinition, facts: Iterable[Fact]
) -> Iterator[tuple[str, tuple[dict[str, object], ...]]]:
    found: set[Code] = set()
    for fact in facts:
        if definition.types is not None and fact.resource_type not in definition.types:
            continue
        shown = record.shown(fact).shared_id
        for shared_id in sources.referenced_ids(record, fact):
            statement = record.statement(shared_id)
            once = codes_of(statement.content, "code") & definition.once if definition.once and statement else set()
            if once.isdisjoint(found):
                found |= once
                yield shared_id, (sources.fact_extension(record, fact),) if shared_id == shown else ()


_PLANS_CODE, _ALERTS_CODE = "42348-3", "104605-1"
_PLACES = frozenset([_PLANS_CODE, _ALERTS_CODE])
"""The sections of the plans and the alerts, whose lines may be of any type."""
_SECTION_OF_TYPE = {
    "CarePlan": ("18776-5", "Plan of care"),
    "Condition": ("11450-4", "Problems"),
    "Flag": ("104605-1", "Alerts"),
    "Observation": ("30954-2", "Results"),
    "Procedure": ("47519-4", "Procedures"),
}
"""The section whose entries IPS lets refer to a type."""


def with_placed_entries(record: SummaryRecord, sections: Sequence[Section]) -> list[Section]:
    """The sections, with the resources of lines that stand among the plans or alerts as entries where IPS allows them.

    Their lines are not repeated: a remark says where they stand. The order stays. New alerts come
    after the plans, any other new section after the last that is coded by LOINC.
    """
    listed = {shared_id for section in sections for shared_id, _ in section.entries}
    elsewhere: dict[str, list[Fact]] = {}
    for section in sections:
        if section.code in _PLACES:
            for fact in section.facts:
                if fact.resource_type in _SECTION_OF_TYPE and record.shown(fact).shared_id not in listed:
                    elsewhere.setdefault(fact.resource_type, []).append(fact)
    if not elsewhere:
        return list(sections)
    found = {section.code: section for section in sections}
    last = max((index for index, section in enumerate(sections) if section.system == LOINC), default=len(sections) - 1)
    order = [section.code for section in sections[: last + 1]]
    for kind, facts in elsewhere.items():
        code, title = _SECTION_OF_TYPE[kind]
        section = found.get(code) or Section(code, title, "")
        entries = [(sources.referenced_ids(record, fact)[0], (sources.fact_extension(record, fact),)) for fact in facts]
        verb = "stands" if len(facts) == 1 else "stand"
        remark = paragraph(f"{len(facts)} more {verb} in the plans or alerts above.")
        found[code] = replace(section, body=section.body + remark, entries=(*section.entries, *entries), empty=None)
        if code not in order:
            order.insert(order.index(_PLANS_CODE) + 1 if code == _ALERTS_CODE else len(order), code)
    return [found[code] for code in [*order, *[section.code for section in sections[last + 1 :]]]]


def div(body: str) -> str:
    """XHTML as the div of a narrative."""
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>'


def section_json(section: Section, addresses: Mapping[str, str]) -> dict[str, Any]:
    """The section as FHIR JSON. `addresses` are the full URLs by shared id; entries without one are left out."""
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

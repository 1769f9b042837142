"""About Me (PRSB): what matters to the person, in their own words; and the alerts.

http://hl7.org/fhir/R4/flag.html. Alerts are the Flags in force, ordered by their effect on what to do next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from onestory.record.merge.model import Fact
from onestory.record.summary import sources, wording
from onestory.record.summary.model import ABOUT_ME, SummaryRecord, summary_codes
from onestory.record.summary.narrative import own_words, paragraph, plain_text, strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.values import period_text, value_text
from onestory.record.summary.wording import name_of, notes
from onestory.shared.fhir.dates import NEVER, parse_date
from onestory.shared.fhir.json import codes_of, concept_texts, objects_at, text_at

_ABOUT_ME_CODE = "81338-6"
_DOCUMENT_TYPES = ("Composition", "DocumentReference")


_ALERTS = SectionDefinition("104605-1", "Alerts", types=frozenset(["Flag"]))
_IN_FORCE = {"", "active"}
OUT_OF_FORCE = "are no longer in force"
"""Why a section leaves out flags and plans."""


def about_me(record: SummaryRecord) -> Section | None:
    """All About Me documents, newest first. A Composition is text only, because an IPS document has only its own."""
    documents = [fact for fact in record.facts(*_DOCUMENT_TYPES) if is_about_me(record, fact)]
    facts = wording.newest_first(record, [*documents, *record.observations_by_kind.get(ABOUT_ME, ())])
    if not facts:
        return None
    entries = [(sources.referenced_ids(record, fact)[0], (sources.fact_extension(record, fact),)) for fact in facts]
    kept = [entry for entry, fact in zip(entries, facts, strict=True) if fact.resource_type != "Composition"]
    return Section(_ABOUT_ME_CODE, "About Me", "".join(_narrative(record, fact) for fact in facts), entries=tuple(kept))


def is_about_me(record: SummaryRecord, fact: Fact) -> bool:
    """Whether it is a document of the person's own words."""
    return fact.resource_type in _DOCUMENT_TYPES and bool(
        codes_of(record.shown(fact).content, "type") & summary_codes().about_me
    )


def _narrative(record: SummaryRecord, fact: Fact) -> str:
    own = "".join(_words(record.shown(fact).content))
    lines = [*sources.source_paragraphs(record, fact), *sources.conflict_paragraphs(record, fact)]
    return own + paragraph("<br/>".join(lines))


def _words(content: Mapping[str, Any]) -> Iterator[str]:
    parts = list(_sections(content))
    if not parts:
        own = plain_text(text_at(content, "text", "div")) or text_at(content, "description") or value_text(content)
        yield own_words(own)
    for part in parts:
        if title := text_at(part, "title"):
            yield paragraph(strong(text(title)))
        yield own_words(plain_text(text_at(part, "text", "div")))
    for note in notes(content):
        yield own_words(note)


def _sections(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    ahead = deque(objects_at(content, "section"))
    while ahead:
        part = ahead.popleft()
        yield part
        ahead.extendleft(reversed(objects_at(part, "section")))


def alerts(record: SummaryRecord) -> Section | None:
    """The Flags that any source calls active and whose period is not over."""
    flags = list(record.facts("Flag"))
    active = [fact for fact in flags if _in_force(record, fact)]
    facts = sorted(wording.newest_first(record, active), key=lambda fact: _rank(record, fact))
    lines = [_line(record, fact) for fact in facts]
    remark = wording.omitted_remark(len(flags) - len(active), OUT_OF_FORCE)
    return build_section(record, _ALERTS, [Group("In force", lines)], remarks=[remark])


def _in_force(record: SummaryRecord, fact: Fact) -> bool:
    contents = [statement.content for statement in record.valid_statements(fact)]
    return any(text_at(content, "status") in _IN_FORCE and period_end(content) > record.at for content in contents)


def period_end(content: Mapping[str, Any]) -> datetime:
    """When the period of a resource ends; `NEVER` if no end is stated."""
    known = parse_date(text_at(content, "period", "end"))
    return known.end if known else NEVER


def next_period_end(record: SummaryRecord, fact: Fact) -> datetime:
    """The next end of a period among the statements whose period is not over."""
    return min(
        (end for statement in record.valid_statements(fact) if (end := period_end(statement.content)) > record.at),
        default=NEVER,
    )


def _rank(record: SummaryRecord, fact: Fact) -> int:
    content = record.shown(fact).content
    codes = codes_of(content, "category") | codes_of(content, "code")
    return next((rank for rank, kind in enumerate(summary_codes().alerts) if codes & kind), len(summary_codes().alerts))


def _line(record: SummaryRecord, fact: Fact) -> Line:
    shown = record.shown(fact).content
    name = name_of(shown)
    kinds = [kind for kind in concept_texts(shown, "category") if kind != name]
    details = dict.fromkeys(_details(record, fact))
    what = [strong(text(name)), *[text(kind) for kind in kinds]]
    return Line(fact, what, [text(each) for each in details if each], next_period_end(record, fact))


def _details(record: SummaryRecord, fact: Fact) -> Iterator[str]:
    for statement in record.valid_statements(fact):
        yield period_text(statement.content.get("period"))
        yield from notes(statement.content)

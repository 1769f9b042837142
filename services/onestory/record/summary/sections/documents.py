"""The last letters and documents by title, date and author; older ones by title and date.

The text of a document is not in the summary, and neither is the resource: an attachment may have megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from onestory.record.merge.model import Fact
from onestory.record.summary import wording
from onestory.record.summary.around import actor
from onestory.record.summary.clinical_dates import date_or_none_stated
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import ONESTORY_SECTIONS, Group, Line, Section, SectionDefinition, build_section
from onestory.record.summary.sections.about_me import is_about_me
from onestory.shared.fhir.json import concept_texts, object_of, objects_at, text_at

_DOCUMENTS = SectionDefinition("documents", "Last letters and documents", types=frozenset())
_TYPES = ("Composition", "DocumentReference")
_MAX_SHOWN, _MAX_NAMED = 5, 10


def documents(record: SummaryRecord) -> Section | None:
    """The last five documents that are neither plans nor About Me; None if there are none."""
    facts = wording.newest_first(record, (fact for fact in record.facts(*_TYPES) if is_letter(record, fact)))
    replaced = _replaced(record, facts)
    newest = [fact for fact in facts if record.shown(fact).shared_id not in replaced]
    current = [fact for fact in newest if text_at(record.shown(fact).content, "status") != "superseded"]
    once = _each_once(record, current)
    older = [f"{_title(record, fact)} ({date_or_none_stated(record.shown(fact))})" for fact in once[_MAX_SHOWN:]]
    more = f" and {len(older) - _MAX_NAMED} more" if len(older) > _MAX_NAMED else ""
    remarks = [
        f"Older: {text('; '.join(older[:_MAX_NAMED]))}{more}." if older else "",
        wording.omitted_remark(len(facts) - len(once), "are earlier versions or copies"),
    ]
    lines = [_line(record, fact) for fact in once[:_MAX_SHOWN]]
    built = build_section(record, _DOCUMENTS, [Group("Last five", lines)], remarks=remarks)
    return replace(built, system=ONESTORY_SECTIONS, empty=None) if built else None


def is_letter(record: SummaryRecord, fact: Fact) -> bool:
    """Whether it is a document that no other section shows."""
    return fact.resource_type in _TYPES and not (record.place(fact) or is_about_me(record, fact))


def _replaced(record: SummaryRecord, facts: Sequence[Fact]) -> set[str]:
    """The ids of the documents that another one says it replaces."""
    found = set()
    for fact in facts:
        statement = record.shown(fact)
        for each in objects_at(statement.content, "relatesTo"):
            if text_at(each, "code") == "replaces":
                target = object_of(each, "target") or object_of(each, "targetReference")
                found.add(text_at(record.resolve(statement, target) or {}, "id"))
    return found - {""}


def _each_once(record: SummaryRecord, facts: Sequence[Fact]) -> list[Fact]:
    """The documents without copies: the same identifier, or the same title, time and file."""
    seen: set[object] = set()
    kept = []
    for fact in facts:
        keys = _keys(record, fact)
        if not keys & seen:
            kept.append(fact)
        seen |= keys
    return kept


def _keys(record: SummaryRecord, fact: Fact) -> set[object]:
    content = record.shown(fact).content
    identifiers = [*objects_at(content, "masterIdentifier"), *objects_at(content, "identifier")]
    found: set[object] = {
        (text_at(each, "system"), text_at(each, "value"))
        for each in identifiers
        if text_at(each, "system") and text_at(each, "value")
    }
    attached = objects_at(content, "content", "attachment")
    file = next((each for each in attached if text_at(each, "hash") or text_at(each, "url")), {})
    if file:
        when = text_at(content, "date")
        found.add((_title(record, fact), when, text_at(file, "hash") or text_at(file, "url")))
    return found


def _title(record: SummaryRecord, fact: Fact) -> str:
    content = record.shown(fact).content
    attached = objects_at(content, "content", "attachment")
    titles = [
        text_at(content, "title"),
        *(text_at(each, "title") for each in attached),
        text_at(content, "description"),
    ]
    return next((each for each in [*titles, *_kinds(content)] if each), "Document without a title")


def _kinds(content: Mapping[str, Any]) -> list[str]:
    return [*concept_texts(content, "type"), *concept_texts(content, "category")]


def _line(record: SummaryRecord, fact: Fact) -> Line:
    statement = record.shown(fact)
    content = statement.content
    title = _title(record, fact)
    kinds = [each for each in _kinds(content) if each.casefold() not in title.casefold()]
    by = [actor(record, statement, each) for name in ("author", "custodian") for each in objects_at(content, name)]
    authors = list(dict.fromkeys(each.name for each in by if each))
    details = [date_or_none_stated(statement), f"By {', '.join(authors)}" if authors else "", *kinds]
    if text_at(content, "docStatus") == "preliminary" or text_at(content, "status") == "preliminary":
        details.append("Draft")
    if (described := text_at(content, "description")) != title:
        details.append(described)
    return Line(fact, [strong(text(title))], [text(each) for each in details if each])

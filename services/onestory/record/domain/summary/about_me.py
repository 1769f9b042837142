"""About Me (PRSB): what matters to the person, in the person's own words, before everything else."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.domain.merge.fact import Fact
from onestory.record.domain.summary import dates, sources
from onestory.record.domain.summary.kinds import ABOUT_ME
from onestory.record.domain.summary.narrative import paragraph, plain, strong, text, words
from onestory.record.domain.summary.plain import codes, first, objects
from onestory.record.domain.summary.record import Record
from onestory.record.domain.summary.reviewed import reviewed
from onestory.record.domain.summary.section import Section
from onestory.record.domain.summary.wording import notes, value_of

_CODE = "81338-6"
_DOCUMENTS = ("Composition", "DocumentReference")


def about_me(record: Record) -> Section | None:
    """All that is said of it, newest first. A Composition stays outside: an IPS document has only its own."""
    documents = [fact for fact in record.facts(*_DOCUMENTS) if is_about_me(record, fact)]
    facts = dates.newest_first(record, [*documents, *record.observed.get(ABOUT_ME, ())])
    if not facts:
        return None
    entries = [(sources.statements(record, fact)[0], (sources.extension(record, fact),)) for fact in facts]
    kept = [entry for entry, fact in zip(entries, facts, strict=True) if fact.resource_type != "Composition"]
    return Section(_CODE, "About Me", "".join(_told(record, fact) for fact in facts), entries=tuple(kept))


def is_about_me(record: Record, fact: Fact) -> bool:
    """Whether it is a document of the person's own words."""
    return fact.resource_type in _DOCUMENTS and bool(codes(record.shown(fact).content, "type") & reviewed().about_me)


def _told(record: Record, fact: Fact) -> str:
    told = "".join(_words(record.shown(fact).content))
    return f"{told}{paragraph('<br/>'.join([*sources.in_words(record, fact), *sources.conflicts(record, fact)]))}"


def _words(content: Mapping[str, Any]) -> Iterator[str]:
    parts = list(_sections(content))
    if not parts:
        own = plain(first(content, "text", "div")) or first(content, "description") or value_of(content)
        yield words(own)
    for part in parts:
        if title := first(part, "title"):
            yield paragraph(strong(text(title)))
        yield words(plain(first(part, "text", "div")))
    for note in notes(content):
        yield words(note)


def _sections(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    ahead = deque(objects(content, "section"))
    while ahead:
        part = ahead.popleft()
        yield part
        ahead.extendleft(reversed(objects(part, "section")))

"""About Me (PRSB): what matters to the person, in the person's own words, before everything else."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from onestory.record.merge.model import Fact
from onestory.record.summary import sources, wording
from onestory.record.summary.model import ABOUT_ME, MergedRecord, reviewed
from onestory.record.summary.moments import NEVER, moment
from onestory.record.summary.narrative import paragraph, plain, strong, text, words
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, section
from onestory.record.summary.wording import name_of, notes, period_of, value_of
from onestory.shared.fhir.json import all_named, codes, first, objects

_CODE = "81338-6"
_DOCUMENTS = ("Composition", "DocumentReference")


def about_me(record: MergedRecord) -> Section | None:
    """All that is said of it, newest first. A Composition stays outside: an IPS document has only its own."""
    documents = [fact for fact in record.facts(*_DOCUMENTS) if is_about_me(record, fact)]
    facts = wording.newest_first(record, [*documents, *record.observed.get(ABOUT_ME, ())])
    if not facts:
        return None
    entries = [(sources.statements(record, fact)[0], (sources.extension(record, fact),)) for fact in facts]
    kept = [entry for entry, fact in zip(entries, facts, strict=True) if fact.resource_type != "Composition"]
    return Section(_CODE, "About Me", "".join(_told(record, fact) for fact in facts), entries=tuple(kept))


def is_about_me(record: MergedRecord, fact: Fact) -> bool:
    """Whether it is a document of the person's own words."""
    return fact.resource_type in _DOCUMENTS and bool(codes(record.shown(fact).content, "type") & reviewed().about_me)


def _told(record: MergedRecord, fact: Fact) -> str:
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


# Alerts: Flags in force, those first that change what anybody does next.

_ABOUT = SectionDefinition("104605-1", "Alerts", types=frozenset(["Flag"]))
_IN_FORCE = {"", "active"}


def alerts(record: MergedRecord) -> Section | None:
    """The Flags that somebody says are active, and whose time has not passed."""
    every = [fact for fact in record.facts("Flag") if _in_force(record, fact)]
    facts = sorted(wording.newest_first(record, every), key=lambda fact: _rank(record, fact))
    return section(record, _ABOUT, [Group("In force", [_line(record, fact) for fact in facts])])


def _in_force(record: MergedRecord, fact: Fact) -> bool:
    said = [each.content for each in record.standing(fact)]
    return any(first(each, "status") in _IN_FORCE and ends(each) > record.at for each in said)


def ends(content: Mapping[str, Any]) -> datetime:
    """When its period is over."""
    known = moment(first(content, "period", "end"))
    return known.end if known else NEVER


def ends_next(record: MergedRecord, fact: Fact) -> datetime:
    """When the period of the first of its statements is over, of those that are not over."""
    return min((end for said in record.standing(fact) if (end := ends(said.content)) > record.at), default=NEVER)


def _rank(record: MergedRecord, fact: Fact) -> int:
    content = record.shown(fact).content
    said = codes(content, "category") | codes(content, "code")
    return next((place for place, kind in enumerate(reviewed().alerts) if said & kind), len(reviewed().alerts))


def _line(record: MergedRecord, fact: Fact) -> Line:
    shown = record.shown(fact).content
    name = name_of(shown)
    kinds = [kind for kind in all_named(shown, "category") if kind != name]
    details = dict.fromkeys(_details(record, fact))
    what = [strong(text(name)), *[text(kind) for kind in kinds]]
    return Line(fact, what, [text(each) for each in details if each], ends_next(record, fact))


def _details(record: MergedRecord, fact: Fact) -> Iterator[str]:
    for said in record.standing(fact):
        yield period_of(said.content.get("period"))
        yield from notes(said.content)

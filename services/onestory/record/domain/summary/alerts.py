"""Alerts: Flags in force, those first that change what anybody does next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from onestory.record.domain.merge.fact import Fact
from onestory.record.domain.summary import dates
from onestory.record.domain.summary.lines import About, Group, Line, section
from onestory.record.domain.summary.moments import NEVER, moment
from onestory.record.domain.summary.narrative import strong, text
from onestory.record.domain.summary.plain import all_named, codes, first
from onestory.record.domain.summary.record import Record
from onestory.record.domain.summary.reviewed import reviewed
from onestory.record.domain.summary.section import Section
from onestory.record.domain.summary.wording import name_of, notes, period_of

_ABOUT = About("104605-1", "Alerts", types=frozenset(["Flag"]))
_IN_FORCE = {"", "active"}


def alerts(record: Record) -> Section | None:
    """The Flags that somebody says are active, and whose time has not passed."""
    every = [fact for fact in record.facts("Flag") if _in_force(record, fact)]
    facts = sorted(dates.newest_first(record, every), key=lambda fact: _rank(record, fact))
    return section(record, _ABOUT, [Group("In force", [_line(record, fact) for fact in facts])])


def _in_force(record: Record, fact: Fact) -> bool:
    said = [each.content for each in record.standing(fact)]
    return any(first(each, "status") in _IN_FORCE and ends(each) > record.at for each in said)


def ends(content: Mapping[str, Any]) -> datetime:
    """When its period is over."""
    known = moment(first(content, "period", "end"))
    return known.end if known else NEVER


def ends_next(record: Record, fact: Fact) -> datetime:
    """When the period of the first of its statements is over, of those that are not over."""
    return min((end for said in record.standing(fact) if (end := ends(said.content)) > record.at), default=NEVER)


def _rank(record: Record, fact: Fact) -> int:
    content = record.shown(fact).content
    said = codes(content, "category") | codes(content, "code")
    return next((place for place, kind in enumerate(reviewed().alerts) if said & kind), len(reviewed().alerts))


def _line(record: Record, fact: Fact) -> Line:
    shown = record.shown(fact).content
    name = name_of(shown)
    kinds = [kind for kind in all_named(shown, "category") if kind != name]
    details = dict.fromkeys(_details(record, fact))
    what = [strong(text(name)), *[text(kind) for kind in kinds]]
    return Line(fact, what, [text(each) for each in details if each], ends_next(record, fact))


def _details(record: Record, fact: Fact) -> Iterator[str]:
    for said in record.standing(fact):
        yield period_of(said.content.get("period"))
        yield from notes(said.content)

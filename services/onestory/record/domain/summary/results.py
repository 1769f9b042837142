"""Results: of each kind the last five, and none older than six months, or twelve in microbiology and the like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from onestory.record.domain.merge.fact import Fact
from onestory.record.domain.summary import dates, kinds
from onestory.record.domain.summary.lines import About, Group, Line, section
from onestory.record.domain.summary.moments import NEVER, months_after
from onestory.record.domain.summary.narrative import strong, text
from onestory.record.domain.summary.plain import all_named, codes, first, objects
from onestory.record.domain.summary.record import Record
from onestory.record.domain.summary.reviewed import reviewed
from onestory.record.domain.summary.section import Section
from onestory.record.domain.summary.wording import name_of, notes, quantity, value_of

LAST = 5
MONTHS = 6
MONTHS_LONG = 12
_RESULTS = About("30954-2", "Results")
_VITAL_SIGNS = About("8716-3", "Vital signs")
_SOCIAL = About("29762-2", "Social history")
_PREGNANCY = About("10162-6", "Pregnancy")


class _Limit(NamedTuple):
    last: int
    timed: bool


def results(record: Record) -> Section | None:
    """Results of all kinds: whatever is no vital sign, social history or pregnancy."""
    return _limited(record, _RESULTS, kinds.RESULT, _Limit(LAST, timed=True))


def vital_signs(record: Record) -> Section | None:
    """Vital signs, under the same limits."""
    return _limited(record, _VITAL_SIGNS, kinds.VITAL_SIGN, _Limit(LAST, timed=True))


def social_history(record: Record) -> Section | None:
    """The last of each kind, however old; its date stands beside it."""
    return _limited(record, _SOCIAL, kinds.SOCIAL_HISTORY, _Limit(1, timed=False))


def pregnancy(record: Record) -> Section | None:
    """The last of each kind, however old; its date stands beside it."""
    return _limited(record, _PREGNANCY, kinds.PREGNANCY, _Limit(1, timed=False))


def _limited(record: Record, about: About, kind: str, limit: _Limit) -> Section | None:
    facts = dates.newest_first(record, record.observed.get(kind, ()))
    shown = dict(_last_of_each(record, facts, limit))
    lines = [_line(record, fact, shown[fact.id]) for fact in facts if fact.id in shown]
    more = len(facts) - len(lines)
    which = "older than six months, or twelve in microbiology and the like, or beyond the last five of their kind"
    why = which if limit.timed else "older ones of a kind that is shown"
    remarks = [f"More is held: {more} are not shown here ({why})."] if more else []
    return section(record, about, [Group("Newest first", lines)], remarks=remarks)


def _last_of_each(record: Record, facts: Iterable[Fact], limit: _Limit) -> Iterator[tuple[str, datetime]]:
    """The ids of those that are shown, and until when."""
    kinds: defaultdict[object, list[Fact]] = defaultdict(list)
    for fact in facts:
        kinds[_same(record, fact)].append(fact)
    for found in kinds.values():
        for fact in found[: limit.last]:
            until = _until(record, fact) if limit.timed else NEVER
            if until > record.at:
                yield fact.id, until


def _same(record: Record, fact: Fact) -> tuple[object, ...]:
    content = record.shown(fact).content
    said = codes(content, "code")
    # Reports of every kind often have one code; what they are of stands in their category.
    category = frozenset(codes(content, "category")) if fact.resource_type == "DiagnosticReport" else frozenset()
    return (fact.resource_type, category, min(said) if said else name_of(content).casefold())


def _until(record: Record, fact: Fact) -> datetime:
    said = record.shown(fact)
    return months_after(dates.when(said).end, MONTHS_LONG if _counts_long(said.content) else MONTHS)


def _counts_long(content: Mapping[str, Any]) -> bool:
    if codes(content, "category") & reviewed().long_results:
        return True
    told = " ".join([*all_named(content, "category"), *all_named(content, "code")]).casefold()
    return any(word in told for word in reviewed().long_result_words)


def _line(record: Record, fact: Fact, until: datetime) -> Line:
    shown = record.shown(fact)
    remarks = (remark for said in record.standing(fact) for remark in _remarks(said.content))
    details = dict.fromkeys(detail for detail in [*_details(record.exact(shown)), *remarks] if detail)
    date = dates.in_words(shown)
    what = [strong(text(name_of(shown.content))), *([text(date)] if date else [])]
    return Line(fact, what, [text(detail) for detail in details], until)


def _details(content: Mapping[str, Any]) -> Iterator[str]:
    yield value_of(content)
    for usual in objects(content, "referenceRange"):
        between = " to ".join(part for part in (quantity(usual.get("low")), quantity(usual.get("high"))) if part)
        if said := first(usual, "text") or between:
            yield f"Reference range: {said}"
    status = first(content, "status")
    yield f"Status: {status}" if status != "final" else ""


def _remarks(content: Mapping[str, Any]) -> Iterator[str]:
    """What is made of a result: whoever says it, for who is shown may have copied the value alone."""
    yield ", ".join(all_named(content, "interpretation"))
    yield first(content, "conclusion")
    yield from all_named(content, "conclusionCode")
    yield from notes(content)

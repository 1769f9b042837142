"""Results: of each kind the last five, and none older than six months, or twelve in microbiology and the like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from onestory.record.merge.model import Fact
from onestory.record.summary import model as summary_model
from onestory.record.summary import wording
from onestory.record.summary.model import MergedRecord, reviewed
from onestory.record.summary.moments import NEVER, months_after
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.section import Group, Line, Section, SectionDefinition, section
from onestory.record.summary.wording import name_of, notes, quantity, value_of
from onestory.shared.fhir.json import all_named, codes, first, objects

LAST = 5
MONTHS = 6
MONTHS_LONG = 12
_RESULTS = SectionDefinition("30954-2", "Results")
_VITAL_SIGNS = SectionDefinition("8716-3", "Vital signs")
_SOCIAL = SectionDefinition("29762-2", "Social history")
_PREGNANCY = SectionDefinition("10162-6", "Pregnancy")


class _Limit(NamedTuple):
    last: int
    timed: bool


def results(record: MergedRecord) -> Section | None:
    """Results of all kinds: whatever is no vital sign, social history or pregnancy."""
    return _limited(record, _RESULTS, summary_model.RESULT, _Limit(LAST, timed=True))


def vital_signs(record: MergedRecord) -> Section | None:
    """Vital signs, under the same limits."""
    return _limited(record, _VITAL_SIGNS, summary_model.VITAL_SIGN, _Limit(LAST, timed=True))


def social_history(record: MergedRecord) -> Section | None:
    """The last of each kind, however old; its date stands beside it."""
    return _limited(record, _SOCIAL, summary_model.SOCIAL_HISTORY, _Limit(1, timed=False))


def pregnancy(record: MergedRecord) -> Section | None:
    """The last of each kind, however old; its date stands beside it."""
    return _limited(record, _PREGNANCY, summary_model.PREGNANCY, _Limit(1, timed=False))


def _limited(record: MergedRecord, about: SectionDefinition, kind: str, limit: _Limit) -> Section | None:
    facts = wording.newest_first(record, record.observed.get(kind, ()))
    shown = dict(_last_of_each(record, facts, limit))
    lines = [_line(record, fact, shown[fact.id]) for fact in facts if fact.id in shown]
    more = len(facts) - len(lines)
    which = "older than six months, or twelve in microbiology and the like, or beyond the last five of their kind"
    why = which if limit.timed else "older ones of a kind that is shown"
    remarks = [f"More is held: {more} are not shown here ({why})."] if more else []
    return section(record, about, [Group("Newest first", lines)], remarks=remarks)


def _last_of_each(record: MergedRecord, facts: Iterable[Fact], limit: _Limit) -> Iterator[tuple[str, datetime]]:
    """The ids of those that are shown, and until when."""
    kinds: defaultdict[object, list[Fact]] = defaultdict(list)
    for fact in facts:
        kinds[_same(record, fact)].append(fact)
    for found in kinds.values():
        for fact in found[: limit.last]:
            until = _until(record, fact) if limit.timed else NEVER
            if until > record.at:
                yield fact.id, until


def _same(record: MergedRecord, fact: Fact) -> tuple[object, ...]:
    content = record.shown(fact).content
    said = codes(content, "code")
    # Reports of every kind often have one code; what they are of stands in their category.
    category = frozenset(codes(content, "category")) if fact.resource_type == "DiagnosticReport" else frozenset()
    return (fact.resource_type, category, min(said) if said else name_of(content).casefold())


def _until(record: MergedRecord, fact: Fact) -> datetime:
    said = record.shown(fact)
    return months_after(wording.when(said).end, MONTHS_LONG if _counts_long(said.content) else MONTHS)


def _counts_long(content: Mapping[str, Any]) -> bool:
    if codes(content, "category") & reviewed().long_results:
        return True
    told = " ".join([*all_named(content, "category"), *all_named(content, "code")]).casefold()
    return any(word in told for word in reviewed().long_result_words)


def _line(record: MergedRecord, fact: Fact, until: datetime) -> Line:
    shown = record.shown(fact)
    remarks = (remark for said in record.standing(fact) for remark in _remarks(said.content))
    details = dict.fromkeys(detail for detail in [*_details(record.exact(shown)), *remarks] if detail)
    date = wording.in_words(shown)
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
